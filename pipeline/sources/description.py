"""data/prepared/<replicate>/dataset.json: what its splits hold."""

from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from pipeline.files import Record, read_record
from pipeline.images import LabelledImages
from pipeline.runtime.errors import UserError
from pipeline.sources.near_duplicates import count_near_duplicates
from pipeline.sources.splits import Splits

Count = Annotated[int, Field(ge=0, le=10**9)]
AGAIN = "dvc repro prepare"
SPLITS = {"train", "reserve", "val", "select", "test"}
TRAINED_ON = {"train", "reserve"}


class DatasetDescription(Record):
    """The real images and the splits of one replicate: train, reserve, val, select and test."""

    dataset: str
    """`dataset.name`."""
    class_names: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of the classes, in the order of their labels."""
    image_size: Annotated[int, Field(gt=0)]
    """Side of the square images, in pixels."""
    channels: Annotated[int, Field(ge=1, le=3)]
    """1 for grey, 3 for RGB."""
    counts: dict[str, dict[str, Count]]
    """Images of each split, by class."""
    duplicates_dropped: dict[str, Count]
    """Images left out of each split because their pixels had been drawn before."""
    near_duplicates: dict[str, Count]
    """Images with a near-duplicate in train, of each split that is not trained on; they stay."""
    near_duplicates_in_reserve: dict[str, Count]
    """The same in reserve, from which the learning curve above 100 % and the ceiling draw."""
    digests: dict[str, str]
    """sha256 of each split's pixels and labels."""

    @model_validator(mode="after")
    def _splits_and_classes_are_complete(self) -> Self:
        if any(set(block) != SPLITS for block in (self.counts, self.duplicates_dropped, self.digests)):
            raise ValueError("a split is missing")
        if any(set(block) != SPLITS - TRAINED_ON for block in (self.near_duplicates, self.near_duplicates_in_reserve)):
            raise ValueError("near-duplicates are not those of the splits beside train and reserve")
        if any(set(count) != set(self.class_names) for count in self.counts.values()):
            raise ValueError("counts are not those of the classes")
        return self

    def train_counts(self) -> list[int]:
        """Images of every class in train."""
        return [self.counts["train"][name] for name in self.class_names]


def describe(name: str, splits: Splits) -> DatasetDescription:
    """What the splits of the dataset `name` hold.

    Raises:
        ExhaustedError: there is no memory to look for near-duplicates in.
    """
    train, reserve = splits.images["train"], splits.images["reserve"]
    unseen = {part: images.images for part, images in splits.images.items() if part not in TRAINED_ON}
    return DatasetDescription(
        dataset=name,
        class_names=train.class_names,
        image_size=train.images.shape[1],
        channels=train.images.shape[3],
        counts={part: _counts(images) for part, images in splits.images.items()},
        duplicates_dropped=splits.duplicates_dropped,
        near_duplicates=count_near_duplicates(unseen, train.images),
        near_duplicates_in_reserve=count_near_duplicates(unseen, reserve.images),
        digests={part: images.digest() for part, images in splits.images.items()},
    )


def _counts(images: LabelledImages) -> dict[str, int]:
    numbers = np.bincount(images.labels, minlength=len(images.class_names)).tolist()
    return dict(zip(images.class_names, numbers, strict=True))


def read_description(path: Path) -> DatasetDescription:
    """What dataset.json holds.

    Raises:
        UserError: the file is missing or corrupted.
    """
    return read_record(path, DatasetDescription, again=AGAIN)


def check_classes(path: Path, description: DatasetDescription, class_names: tuple[str, ...]) -> None:
    """Refuses a generator of other classes than those of the real images.

    Raises:
        UserError: names both.
    """
    if description.class_names != class_names:
        raise UserError(
            f"{path}: has the classes {list(description.class_names)}, the generator {list(class_names)}; run: {AGAIN}"
        )
