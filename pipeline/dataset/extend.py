"""A class more for a trained generator, from a folder of pictures, and the dataset that it then draws."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.device import pick_device
from pipeline.extend.extension import DatasetPlan, ExtensionPlan, extend_generator, write_extended
from pipeline.gan.description import read_description
from pipeline.images import LabelledImages, Pixels
from pipeline.params.load import load_all_params
from pipeline.runtime.atomic import creating
from pipeline.runtime.errors import UserError
from pipeline.sources.image_set import ImageSet, read_rows
from pipeline.sources.listing import list_files
from pipeline.sources.pictures import SUFFIXES

SEED = 0


def extend_by_folder(name: str, images: Path, generator: Path, out: Path) -> str:
    """Writes OUT/generator, which draws the class `name` too, and OUT/dataset; says where they are.

    The block `extend` of params.yaml says how its rows are fitted, `synthesize` how many images are drawn.

    Args:
        name: of the new class.
        images: folder with pictures of it.
        generator: folder of a trained generator and its discriminator.
        out: must not be there.

    Raises:
        UserError: there are no pictures, the generator draws such a class, or `out` is there.
    """
    params, about = load_all_params(), read_description(generator, "generator")
    if name in about.class_names or not name.strip():
        raise UserError(f"--name {name!r}: give a name of its own; {generator} draws {', '.join(about.class_names)}")
    names = (*about.class_names, name)
    pixels = _read(name, images, (about.image_size, about.image_size, about.channels))
    shots = LabelledImages(pixels, np.full(len(pixels), len(names) - 1, np.int64), names)
    plan = ExtensionPlan(generator, params.gan.networks, shots, params.extend, SEED)
    dataset = DatasetPlan(params.synthesize, f"synthetic {params.dataset.title} with {name}", _counts(names, shots))
    with creating(out) as part:
        sampler = extend_generator(plan, part / "generator", pick_device(params.ablation.threads))
        write_extended(part / "dataset", dataset, sampler, part / "generator", lambda: 0, seed=SEED)
    return (
        f"{out}: generator of {len(names)} classes, '{name}' from {len(shots)} images, and {out / 'dataset'}; check it "
        f"by: synthmix dataset regenerate {out / 'dataset'} --generator {out / 'generator'}"
    )


def _read(name: str, folder: Path, shape: tuple[int, int, int]) -> Pixels:
    """All pictures in a folder, as images of `shape` (HWC)."""
    if not folder.is_dir():
        raise UserError(f"--images {folder}: is no folder; name one with pictures of the class")
    files = list_files(folder, SUFFIXES)
    if not files:
        raise UserError(f"--images {folder}: no images in it (looked for {' '.join(sorted(SUFFIXES))}): add some")
    rows = np.arange(len(files), dtype=np.int64)
    found = ImageSet(folder, (name,), np.zeros_like(rows), lambda row: files[row].name, files.__getitem__)
    return read_rows(found, rows, shape)


def _counts(names: Sequence[str], shots: LabelledImages) -> list[int]:
    return [int((shots.labels == label).sum()) for label in range(len(names))]
