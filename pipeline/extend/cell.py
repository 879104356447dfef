"""The images of a classifier of old and new classes, read from the folders of the stages before it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.extend.arms import ExtendedData, renamed
from pipeline.extend.extension import first_shots
from pipeline.images import LabelledImages, concatenate
from pipeline.shards.reader import read_images


class Folders(NamedTuple):
    """Where they lie: the replicate's splits, test of the old and of the new classes, the extended dataset."""

    prepared: Path
    test: Path
    novel_test: Path
    synthetic: Path


def read_data(folders: Folders, num_shots: int) -> ExtendedData:
    """All images of the arms at `num_shots` real images of each new class.

    Raises:
        UserError: a folder is missing or corrupted, or they are of different classes.
    """
    novel = folders.prepared / "novel"
    others, new_val, new_test = (read_images(path) for path in (novel / "shots", novel / "val", folders.novel_test))
    names, drawn = others.class_names, read_images(folders.synthetic / "data")
    old, val, test = (
        renamed(read_images(path), names)
        for path in (folders.prepared / "train", folders.prepared / "val", folders.test)
    )
    num_old = int(others.labels.min())
    return ExtendedData(
        old=old,
        shots=first_shots(others, num_shots),
        drawn=_only_new(renamed(drawn, names), num_old),
        others=others,
        val=concatenate(val, new_val),
        test=concatenate(test, new_test),
    )


def _only_new(data: LabelledImages, num_old: int) -> LabelledImages:
    return data.select(np.flatnonzero(data.labels >= num_old))
