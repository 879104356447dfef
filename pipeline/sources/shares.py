"""Unequal classes in train: how many images each has, and the order that keeps every prefix in proportion."""

from collections.abc import Sequence

import numpy as np

from pipeline.images import Indices
from pipeline.params.schema import DatasetParams
from pipeline.runtime.errors import UserError

DIGITS = 9  # of a share of the profile: the last bits of a power differ between processors


def train_shares(params: DatasetParams, num_classes: int) -> tuple[float, ...]:
    """What the classes of train are to each other, in the order of the labels; empty where they are equal.

    `dataset.class_shares`, or the exponential profile of `dataset.imbalance_factor` r: class c of C has
    r ** (-c / (C - 1)) (Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples").

    Raises:
        UserError: there is not one share a class.
    """
    if params.class_shares:
        if len(params.class_shares) != num_classes:
            raise UserError(
                f"params.yaml: dataset.class_shares has {len(params.class_shares)} numbers for {num_classes} classes: "
                "give one a class, in the order of the labels"
            )
        return tuple(params.class_shares)
    if params.imbalance_factor == 1:
        return ()
    exponents = [-label / (num_classes - 1) for label in range(num_classes)]
    return tuple(round(params.imbalance_factor**exponent, DIGITS) for exponent in exponents)


def in_proportion(shares: Sequence[float], count: int) -> Indices:
    """The classes of `count` images in an order of which every prefix is as near to `shares` as whole images can be.

    First one image of every class, then always one of the class that is furthest below its share (Webster's
    divisor method: the least (n + 1/2) / share, of equals the first).
    """
    most = [int(count * share / sum(shares)) + len(shares) for share in shares]
    due = [np.r_[0.0, np.arange(1, size) + 0.5] / share for size, share in zip(most, shares, strict=True)]
    order = np.argsort(np.concatenate(due), kind="stable")[:count]
    return np.repeat(np.arange(len(shares), dtype=np.int64), most)[order]


def largest_size(turns: Indices, held: Indices) -> tuple[int, int]:
    """How many `turns` (int64, a class each) the images that every class holds serve, and which class ends them."""
    ends = [np.r_[np.flatnonzero(turns == label), len(turns)] for label in range(len(held))]
    last = [int(end[min(count, len(end) - 1)]) for end, count in zip(ends, held, strict=True)]
    return min(last), int(np.argmin(last))
