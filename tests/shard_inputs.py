"""Small datasets that the tests of shards are about."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.images import Indices, LabelledImages, Pixels
from pipeline.shards.card import write_card
from pipeline.shards.content import Content
from pipeline.shards.job import ShardRecord
from pipeline.shards.manifest import write_manifest
from pipeline.shards.schema import Encoding, describe_format
from pipeline.shards.writer import write_shards

NAMES = ("cat", "dög", "no", "7")
Draw = Callable[[int, int], tuple[Pixels, Indices]]


def labelled(count: int, size: tuple[int, int, int] = (8, 8, 3), seed: int = 0) -> LabelledImages:
    """Random pixels, classes in turn."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, *size), dtype=np.uint8)
    return LabelledImages(pixels, np.arange(count) % len(NAMES), NAMES)


def drawing(images: LabelledImages) -> Draw:
    """Draws rows of `images`."""
    return lambda start, stop: (images.images[start:stop], images.labels[start:stop])


def write(
    folder: Path, images: LabelledImages, draw: Draw | None = None, digest: str = "d",
    encoding: Encoding = "stored_png", content: Content | None = None,
) -> list[ShardRecord]:  # fmt: skip
    """Shards of drawn images."""
    return write_shards(
        folder, "train", num_images=len(images), class_names=images.class_names, seed=5, generator="test",
        draw=draw or drawing(images), recipe_digest=digest, encoding=encoding, content=content or Content(),
    )  # fmt: skip


def dataset(root: Path, images: LabelledImages, encoding: Encoding = "stored_png") -> Path:
    """A finished dataset folder."""
    content = Content()
    splits = {"train": write(root / "data", images, encoding=encoding, content=content)}
    write_manifest(root, splits, content, recipe={"seed": 5}, environment=describe_format(encoding))
    write_card(root, name="Test images", licence="other", about={"images_seen": 64, "small_cas": 0.5})
    return root


def tree(root: Path) -> dict[str, bytes]:
    """All files below `root`."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def failing_at(images: LabelledImages, row: int) -> Draw:
    """Draws until a row is reached."""

    def draw(start: int, stop: int) -> tuple[Pixels, Indices]:
        if start <= row < stop:
            raise KeyboardInterrupt
        return drawing(images)(start, stop)

    return draw
