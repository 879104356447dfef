"""Whether the rows of a dataset are what its generator draws."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.dataset.verify import FoundProblemsError
from pipeline.files import hash_file
from pipeline.images import Indices, Pixels
from pipeline.params.load import PARAMS_FILE, load_all_params
from pipeline.randomness import Stream, permutation
from pipeline.runtime.errors import UserError
from pipeline.shards.manifest import DATA_FOLDER, read_manifest
from pipeline.shards.reader import group_sizes, read_file_column, read_group, read_header, shard_files

CHOICE_SEED = 0


@dataclass(frozen=True)
class FoundRow:
    """A row found again: its file, its row there, index, pixels (uint8 HWC) and label."""

    file: Path
    row: int
    index: int
    image: Pixels
    label: int


@dataclass(frozen=True)
class RegeneratedRows:
    """Rows drawn again.

    Attributes:
        rows: how many.
        fraction: of their pixel values (H * W * C an image) that differ, 0-1.
        largest: difference, in levels of 0-255.
        problems: a line for each row with another label, or a pixel further off than was tolerated.
    """

    rows: int
    fraction: float
    largest: int
    problems: list[str]


def compare_rows(
    folder: Path, count: int, draw: Callable[[int, int], tuple[Pixels, Indices]], *, tolerance: int
) -> RegeneratedRows:
    """Draws `count` rows of the split in `folder` again, always the same ones, and compares them.

    Args:
        folder: holds the shards.
        count: rows; all of them where there are fewer.
        draw: (start, stop) => uint8 NHWC images and int64 labels of these index.
        tolerance: largest difference of a pixel that is no problem, in levels.

    Raises:
        UserError: a shard cannot be read.
    """
    index = np.concatenate([read_file_column(file, "index") for file in shard_files(folder)])
    chosen = permutation(len(index), seed=CHOICE_SEED, stream=Stream.REGENERATED_ROWS, epoch=0)[:count]
    differing, values, largest, problems = 0, 0, 0, []
    for i in np.sort(index[chosen]):
        found = find_row(folder, int(i))
        images, labels = draw(found.index, found.index + 1)
        where = f"{found.file}: row {found.row} (index {found.index})"
        if images[0].shape != found.image.shape or labels[0] != found.label:
            problems.append(
                f"{where}: has label {found.label} and shape {found.image.shape}, "
                f"the generator draws {labels[0]} and {images[0].shape}"
            )
            continue
        distance = np.abs(images[0].astype(np.int16) - found.image)
        differing, values = differing + int(np.count_nonzero(distance)), values + distance.size
        largest = max(largest, int(distance.max()))
        if distance.max() > tolerance:
            problems.append(f"{where}: differs from what the generator draws by up to {distance.max()} levels")
    return RegeneratedRows(len(chosen), differing / max(values, 1), largest, problems)


def find_row(folder: Path, index: int) -> FoundRow:
    """The row whose column `index` has this value.

    Raises:
        UserError: there is none, or a shard cannot be read.
    """
    for file in shard_files(folder):
        rows = np.flatnonzero(read_file_column(file, "index") == index)
        if len(rows):
            row, ends = int(rows[0]), np.cumsum(group_sizes(file))
            group = int(np.searchsorted(ends, row, side="right"))
            images, labels = read_group(file, group, read_header(file))
            offset = row - (int(ends[group - 1]) if group else 0)
            return FoundRow(file, row, index, images[offset], int(labels[offset]))
    raise UserError(f"{folder}: no row has index {index}; ask its shards: SELECT min(index), max(index)")


def regenerate_rows(folder: Path, count: int, generator: Path, *, tolerance: int) -> str:
    """Draws `count` rows of the dataset `folder` again; says how much they differ.

    Raises:
        UserError: the generator is not the one that drew the dataset, or none did.
        FoundProblemsError: rows differ by more than `tolerance` levels.
    """
    from pipeline.device import describe_environment, pick_device
    from pipeline.gan.labels import choose_labels
    from pipeline.gan.sampling import Sampler  # here, because nothing else needs a network

    manifest = read_manifest(folder)
    recipe = manifest.recipe
    if recipe is None:
        raise UserError(
            f"{folder}: its images were taken from a set, not drawn: there is no generator to draw them again"
        )
    networks = load_all_params().gan.networks if PARAMS_FILE.exists() else ""
    threads = manifest.environment.get("threads")
    device = pick_device(int(threads) if threads else None)  # as many as drew it, else sums round otherwise
    sampler = Sampler.load(generator, device, networks=networks)
    found, wanted = hash_file(generator / "generator.safetensors"), recipe.generator_sha256
    if found != wanted:
        raise UserError(
            f"{generator}: is generator {found[:12]}…, {folder} was drawn by {wanted[:12]}…; "
            "name that one's folder with --generator"
        )
    classes = choose_labels(recipe.class_balance, recipe.class_shares, recipe.real_counts)
    here = describe_environment(device)
    made = {key: manifest.environment.get(key) for key in here}
    compared = compare_rows(
        folder / DATA_FOLDER,
        count,
        lambda start, stop: sampler.draw(start, stop, seed=recipe.seed, std=recipe.latent_std, labels=classes),
        tolerance=tolerance,
    )
    summary = (
        f"{folder}: {compared.rows} rows drawn again: {100 * compared.fraction:.4f} % of their pixel values differ, "
        f"by {compared.largest} levels at most"
    )
    if compared.problems and made != here:
        compared.problems.append(f"{folder}: was made on {made}, this is {here}: try --tolerance 1")
    if compared.problems:
        raise FoundProblemsError([summary, *compared.problems])
    return summary
