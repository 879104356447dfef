"""Which images a replicate takes from a set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from pipeline.images import Indices, LabelledImages
from pipeline.params.schema import SynthesizeParams
from pipeline.randomness import Stream, permutation
from pipeline.runtime.errors import UserError
from pipeline.sources.image_folder import open_folder
from pipeline.sources.image_set import LEFT_OUT, match_classes, read_rows
from pipeline.sources.parquet import open_parquet

Subset = Literal["whole", "disjoint", "overlapping"]


@dataclass(frozen=True)
class Taken:
    """Images of a set.

    Attributes:
        images: decoded, in an order in which any prefix has the set's class balance.
        files: what each was read from.
        num_found: how many images of the real classes the set has.
        subset: what the replicates have in common.
        class_mapping: the set's class names that were changed, and ours.
    """

    images: LabelledImages
    files: list[str]
    num_found: int
    subset: Subset
    class_mapping: dict[str, str]


class Draw(NamedTuple):
    """Which replicate takes images: its seed, its place among all, and the seed of what they share."""

    replicate: int
    place: int
    num_replicates: int
    seed: int


def take_images(values: SynthesizeParams, real: LabelledImages, draw: Draw) -> Taken:
    """The images that a replicate takes from the set at `values.path`, of the classes and the shape of `real`.

    Where the set is large enough, every replicate takes images that no other takes; else each draws from all of it.

    Raises:
        UserError: the set or its mapping of classes cannot be read, does not match, or has too few images.
        ExhaustedError: there is no memory for them.
    """
    path, size = Path(values.path), values.num_images
    images = open_folder(path) if values.source == "folder" else open_parquet(path)
    labels, mapping = match_classes(images, real.class_names, Path(values.class_mapping))
    num_found = int(np.count_nonzero(labels != LEFT_OUT))
    if size > num_found:
        raise UserError(
            f"{path}: has {num_found} images of the real classes, synthesize.num_images asks for {size}: lower it"
        )
    subset, rows = choose_rows(labels, size, draw)
    taken = LabelledImages(read_rows(images, rows, real.images.shape[1:]), labels[rows], real.class_names)
    return Taken(taken, [images.name(row) for row in rows.tolist()], num_found, subset, mapping)


def choose_rows(labels: Indices, size: int, draw: Draw) -> tuple[Subset, Indices]:
    """`size` rows whose label is a class, in an order in which any prefix has the balance of `labels`."""
    num_found = int(np.count_nonzero(labels != LEFT_OUT))
    if size * draw.num_replicates <= num_found and draw.num_replicates > 1:
        start = draw.place * size
        return "disjoint", _interleave(labels, draw.seed)[start : start + size]
    return "whole" if size == num_found else "overlapping", _interleave(labels, draw.replicate)[:size]


def _interleave(labels: Indices, seed: int) -> Indices:
    """All rows of a class: the j-th of n, in a seeded order, stands at (j + 1/2) / n, the lower label first."""
    rows, places = [], []
    for label in np.unique(labels[labels != LEFT_OUT]).tolist():
        found = np.flatnonzero(labels == label)
        rows.append(found[permutation(len(found), seed=seed, stream=Stream.SET_ROWS, epoch=label)])
        places.append((np.arange(len(found)) + 0.5) / len(found))
    order = np.argsort(np.concatenate(places), kind="stable")
    return np.concatenate(rows)[order].astype(np.int64)
