"""The splits on disk: Parquet shards of every replicate, and of the test images that all share."""

from pathlib import Path

import numpy as np

from pipeline.files import write_json
from pipeline.images import LabelledImages
from pipeline.params.schema import DatasetParams
from pipeline.shards.writer import write_split
from pipeline.sources.description import describe
from pipeline.sources.splits import Splits


def write_splits(out: Path, replicate: int, splits: Splits, dataset: DatasetParams) -> None:
    """Writes the splits of a replicate to OUT/<replicate>, and test, the same in all of them, to OUT/test.

    dataset.json comes last: where it stands, the splits are whole.
    """
    folder = out / str(replicate)
    (folder / "dataset.json").unlink(missing_ok=True)
    for name, images in splits.images.items():
        _write((out if name == "test" else folder) / name, name, images, dataset)
    write_json(folder / "dataset.json", describe(dataset.name, splits).model_dump())


def write_novel(out: Path, replicate: int, novel: Splits, dataset: DatasetParams) -> None:
    """Writes the images of held-out classes to OUT/<replicate>/novel, and their test images to OUT/novel_test."""
    for name, images in novel.images.items():
        _write(out / "novel_test" if name == "test" else out / str(replicate) / "novel" / name, name, images, dataset)


def _write(folder: Path, name: str, images: LabelledImages, dataset: DatasetParams) -> None:
    index = np.arange(len(images), dtype=np.int64)
    write_split(folder, name, images, index=index, seed=dataset.seed, generator=f"real:{dataset.name}")
