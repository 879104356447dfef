"""The synthetic dataset of a generator: what it will hold, and its shards and manifest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.device import describe_environment
from pipeline.files import hash_file
from pipeline.gan.labels import Labels, choose_labels
from pipeline.gan.sampling import Sampler
from pipeline.images import Indices, Pixels
from pipeline.params.schema import SynthesizeParams
from pipeline.runtime.errors import StoppedError, UserError
from pipeline.runtime.progress import Progress, bar_name
from pipeline.runtime.resources import need_disk, size_below
from pipeline.shards.digest import ContentDigest
from pipeline.shards.manifest import DATA_FOLDER, DatasetRecipe, write_manifest
from pipeline.shards.plan import SplitPlan
from pipeline.shards.png import stored_size
from pipeline.shards.schema import describe_format
from pipeline.shards.writer import write_shards


@dataclass(frozen=True)
class Synthesis:
    """A dataset to be: its recipe with what carries it out, and the environment that its files' bytes depend on."""

    values: SynthesizeParams
    sampler: Sampler
    labels: Labels
    recipe: DatasetRecipe
    environment: dict[str, str | int]


def plan_synthesis(
    values: SynthesizeParams,
    generator: Path,
    sampler: Sampler,
    real_counts: Sequence[int],
    *,
    seed: int,
    device: torch.device,
) -> Synthesis:
    """What `values` ask of the generator in the folder `generator`, whose latents `seed` draws.

    `real_counts` has train's images of every class.

    Raises:
        UserError: fewer images than classes are asked for, or there is not one share a class.
    """
    if values.num_images < len(sampler.class_names):
        raise UserError(f"params.yaml: synthesize.num_images is {values.num_images}, below one image a class")
    recipe = DatasetRecipe(
        num_images=values.num_images,
        class_balance=values.class_balance,
        class_shares=tuple(values.class_shares),
        seed=seed,
        latent_std=values.latent_std,
        generator_sha256=hash_file(generator / "generator.safetensors"),
        real_counts=tuple(real_counts),
    )
    labels = choose_labels(values.class_balance, values.class_shares, real_counts)
    return Synthesis(values, sampler, labels, recipe, describe_environment(device) | describe_format(values.encoding))


def write_dataset(root: Path, synthesis: Synthesis, key: str, stop_wanted: Callable[[], int]) -> None:
    """Writes shards and manifest below `root`; goes on where an earlier call with the same `key` was stopped.

    Raises:
        UserError: the disk is full, or too small for all images.
        StoppedError: `stop_wanted` gave a signal's number; what is finished is kept.
    """
    values, sampler = synthesis.values, synthesis.sampler
    if values.encoding == "stored_png":  # of the other, nobody knows how small it gets
        shape = (sampler.shape.size, sampler.shape.size, sampler.shape.channels)
        missing = values.num_images * stored_size(shape) - size_below(root)
        need_disk(missing, root, f"params.yaml: synthesize.num_images {values.num_images}", "lower it")
    plan = SplitPlan(
        split="train",
        num_images=values.num_images,
        class_names=sampler.class_names,
        seed=synthesis.recipe.seed,
        generator=synthesis.recipe.generator_sha256,
        recipe_digest=key,
        encoding=values.encoding,
    )
    digest = ContentDigest()
    with Progress(bar_name("synthesize"), total=values.num_images, unit="image") as progress:

        def draw(start: int, stop: int) -> tuple[Pixels, Indices]:
            if number := stop_wanted():
                raise StoppedError(number, f"synthesize, image {start} of {values.num_images}")
            drawn = sampler.draw(start, stop, seed=plan.seed, std=values.latent_std, labels=synthesis.labels)
            progress.advance(stop - start)
            return drawn

        records = write_shards(root / DATA_FOLDER, plan, draw, digest)
    write_manifest(root, {"train": records}, digest, recipe=synthesis.recipe, environment=synthesis.environment)
