"""The images of a set without those that copy judged ones: their folder, and the dataset that is made of them."""

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.files import write_json, write_picture
from pipeline.images import Indices, LabelledImages, Pixels, class_grid
from pipeline.params.schema import SynthesizeParams
from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.errors import UserError
from pipeline.shards.digest import ContentDigest
from pipeline.shards.imported import SET_FILE, CopyCount, ImportedSet
from pipeline.shards.manifest import DATA_FOLDER, write_manifest
from pipeline.shards.plan import SplitPlan
from pipeline.shards.reader import read_images
from pipeline.shards.schema import Encoding, describe_format
from pipeline.shards.writer import write_shards, write_split
from pipeline.sources.taken import Taken

Judged = Literal["test", "val", "select"]
FILES, SAMPLES_FILE = "files.csv", "samples.png"
COLUMNS = 10  # of its images
IMAGES = "images"
SPLIT = "train"


class Found(NamedTuple):
    """Images that copy one of a split, bool (N,), and how many there are of each kind."""

    copies: NDArray[np.bool_]
    counts: CopyCount


class Screened(NamedTuple):
    """What is left of images that were taken, the file of each, and what is known of them."""

    images: LabelledImages
    files: list[str]
    record: ImportedSet


def screen(taken: Taken, found: Mapping[Judged, Found], values: SynthesizeParams, *, replicate: int) -> Screened:
    """Leaves out what was found to copy a judged image, unless `values.drop_copies` is off.

    Raises:
        UserError: a class has no other images.
    """
    images = taken.images
    copies = np.any([entry.copies for entry in found.values()], axis=0) & values.drop_copies
    kept = np.flatnonzero(~copies)
    if lost := [name for label, name in enumerate(images.class_names) if label not in images.labels[kept]]:
        why = "all copy images of test, val or select" if copies.any() else "raise synthesize.num_images"
        raise UserError(f"{values.path}: no image of {lost} is left among the {len(copies)} taken: {why}")
    record = ImportedSet(
        source="folder" if values.source == "folder" else "parquet",
        name=Path(values.path).name,
        seed=replicate,
        num_found=taken.num_found,
        num_images=len(images),
        subset=taken.subset,
        class_mapping=taken.class_mapping,
        copies={split: entry.counts for split, entry in found.items()},
        num_dropped=int(copies.sum()),
        images_sha256=images.digest(),
    )
    return Screened(images.select(kept), [taken.files[row] for row in kept], record)


def save_screened(folder: Path, screened: Screened) -> None:
    """Writes the images as shards, their files, a picture of some of every class and, last, set.json."""
    images, record = screened.images, screened.record
    shutil.rmtree(folder, ignore_errors=True)
    index = np.arange(len(images), dtype=np.int64)
    write_split(folder / IMAGES, SPLIT, images, index=index, seed=record.seed, generator=record.images_sha256)
    write_bytes(folder / FILES, _to_csv(screened.files))
    write_picture(folder / SAMPLES_FILE, class_grid(images, COLUMNS))
    write_json(folder / SET_FILE, record.model_dump())


def _to_csv(files: Sequence[str]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["index", "file"])
    writer.writerows(enumerate(files))
    return text.getvalue().encode(errors="surrogateescape")


def write_taken(root: Path, folder: Path, record: ImportedSet, encoding: Encoding) -> None:
    """Writes shards, files.csv and manifest below `root`, of the images that `save_screened` wrote to `folder`.

    Raises:
        UserError: an image cannot be read, or the disk is full.
    """
    images = read_images(folder / IMAGES)

    def draw(start: int, stop: int) -> tuple[Pixels, Indices]:
        return images.images[start:stop], images.labels[start:stop]

    digest = ContentDigest()
    plan = SplitPlan(
        split=SPLIT,
        num_images=len(images),
        class_names=images.class_names,
        seed=record.seed,
        generator=record.images_sha256,
        recipe_digest=images.digest(),
        encoding=encoding,
    )
    records = write_shards(root / DATA_FOLDER, plan, draw, digest)
    shutil.copyfile(folder / FILES, root / FILES)
    write_manifest(root, {SPLIT: records}, digest, recipe=record, environment=dict(describe_format(encoding)))
