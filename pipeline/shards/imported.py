"""set.json: what was taken from a set of images that no generator of ours made, and what was found in it."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pipeline.files import Record, read_record

SET_FILE = "set.json"
AGAIN = "dvc repro screen_set"
Count = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class CopyCount(Record):
    """Images of a set that show an image of a split on which classifiers are judged."""

    exact: Count
    """Images with the very pixels of one."""
    near: Count
    """Further ones, nearer to one than nearly all unseen real images are, by the test for memorised images."""
    near_expected_percent: Annotated[float, Field(ge=0, le=100)]
    """Percent of unseen real images that count as near: what a set without copies would have."""


class ImportedSet(Record):
    """The images that a replicate takes from a set."""

    source: Literal["folder", "parquet"]
    """`synthesize.source`."""
    name: str
    """Last part of `synthesize.path`."""
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    """The replicate."""
    num_found: Annotated[int, Field(gt=0)]
    """Images of the real classes in the whole set."""
    num_images: Annotated[int, Field(gt=0)]
    """Images taken of them, copies of judged images included: `synthesize.num_images`."""
    subset: Literal["whole", "disjoint", "overlapping"]
    """Whether every replicate takes the whole set, images that no other takes, or some that others take too."""
    class_mapping: dict[str, str]
    """The set's names of classes and those of the real images, where they differ."""
    copies: dict[Literal["test", "val", "select"], CopyCount]
    """Among the images taken, by the split that they copy."""
    num_dropped: Count
    """Copies that were left out; 0 where `synthesize.drop_copies` is off."""
    images_sha256: Sha256
    """sha256 over the images taken and their labels, as `LabelledImages.digest` takes it."""


def find_imported(folder: Path) -> ImportedSet | None:
    """What set.json in `folder` says; None where there is none, because a GAN lies there.

    Raises:
        UserError: the file is corrupted.
    """
    file = folder / SET_FILE
    return read_record(file, ImportedSet, again=AGAIN) if file.is_file() else None
