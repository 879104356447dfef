"""Small datasets that the tests of shards are about."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.images import Indices, LabelledImages, Pixels
from pipeline.shards.card import write_card
from pipeline.shards.digest import ContentDigest
from pipeline.shards.manifest import DatasetRecipe, write_manifest
from pipeline.shards.plan import ShardRecord, SplitPlan
from pipeline.shards.schema import Encoding, describe_format
from pipeline.shards.writer import write_shards

NAMES = ("cat", "dög", "no", "7")
RECIPE = DatasetRecipe(
    num_images=40,
    class_balance="balanced",
    class_shares=(),
    seed=5,
    latent_std=1.0,
    generator_sha256="test",
    real_counts=(1,) * len(NAMES),
)
Draw = Callable[[int, int], tuple[Pixels, Indices]]


def labelled(count: int, size: tuple[int, int, int] = (8, 8, 3), seed: int = 0) -> LabelledImages:
    """Random pixels, classes in turn."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, *size), dtype=np.uint8)
    return LabelledImages(pixels, np.arange(count) % len(NAMES), NAMES)


def drawing(images: LabelledImages) -> Draw:
    """Draws rows of `images`."""
    return lambda start, stop: (images.images[start:stop], images.labels[start:stop])


def write(
    folder: Path,
    images: LabelledImages,
    draw: Draw | None = None,
    recipe_digest: str = "d",
    encoding: Encoding = "stored_png",
    digest: ContentDigest | None = None,
) -> list[ShardRecord]:
    """Shards of drawn images."""
    plan = SplitPlan("train", len(images), images.class_names, RECIPE.seed, "test", recipe_digest, encoding)
    return write_shards(folder, plan, draw or drawing(images), digest or ContentDigest())


def dataset(root: Path, images: LabelledImages, encoding: Encoding = "stored_png") -> Path:
    """A finished dataset folder."""
    digest = ContentDigest()
    splits = {"train": write(root / "data", images, encoding=encoding, digest=digest)}
    recipe = RECIPE.model_copy(update={"real_counts": (1,) * len(images.class_names)})
    write_manifest(root, splits, digest, recipe=recipe, environment=describe_format(encoding))
    write_card(root, name="Test images", licence="other", about={"images_seen": 64, "small_cas": 0.5})
    return root


def tree(root: Path) -> dict[str, bytes]:
    """All files below `root`."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def recording(images: LabelledImages, starts: list[int]) -> Draw:
    """Draws rows of `images`, and appends the first row of each call to `starts`."""

    def draw(start: int, stop: int) -> tuple[Pixels, Indices]:
        starts.append(start)
        return drawing(images)(start, stop)

    return draw


def failing_at(images: LabelledImages, row: int) -> Draw:
    """Draws until a row is reached."""

    def draw(start: int, stop: int) -> tuple[Pixels, Indices]:
        if start <= row < stop:
            raise KeyboardInterrupt
        return drawing(images)(start, stop)

    return draw
