"""Which class each image of a split is of: in turn, as the classes are in nature, or by shares; any prefix alike."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.images import Indices
from pipeline.params.schema import DatasetParams
from pipeline.runtime.errors import UserError

DIGITS = 9  # of a share of the profile: the last bits of a power differ between processors


Sizes = Mapping[str, int | None]  # images of each split, in drawing order; None: all that are left


class Order(NamedTuple):
    """The classes of a split's images."""

    classes: Iterable[int]
    """The label of each, in drawing order."""
    per_class: Indices
    """How many of each class that are."""


def plan_orders(sizes: Sizes, held: Indices, params: DatasetParams) -> dict[str, Order]:
    """The order of each split, as `dataset.balance` and, for train, the shares say; `held` has the images a class.

    Where the balance is natural, they suffice for all splits, and for one of every class in each.

    Raises:
        UserError: there is not one share a class.
    """
    natural = params.balance == "natural"
    orders = _natural(sizes, held) if natural else _in_turn(sizes, len(held), longest=int(max(held)) * len(held))
    if "train" in sizes and (shares := train_shares(params, len(held))):
        enough_to_fail = int(sum(held)) + 1
        orders["train"] = _order(in_proportion(shares, min(params.train_size, enough_to_fail)), len(held))
    return orders


def _in_turn(sizes: Sizes, num_classes: int, *, longest: int) -> dict[str, Order]:
    """Turn t draws from class t mod the number of classes, across splits too."""
    orders, start = {}, 0
    for name, size in sizes.items():
        turns = range(start, start + (longest if size is None else size))
        first = [turns.start + (label - turns.start) % num_classes for label in range(num_classes)]
        counts = np.array([len(range(turn, turns.stop, num_classes)) for turn in first], np.int64)
        orders[name] = Order((turn % num_classes for turn in turns), counts)
        start = turns.stop
    return orders


def _natural(sizes: Sizes, held: Indices) -> dict[str, Order]:
    """Every split in the proportion of what is left, less an image of each class for every split still to come.

    So each split has every class, and none asks for more than there is: a prefix of `in_proportion` takes no more of a
    class than its share, where shares are counts.
    """
    orders: dict[str, Order] = {}
    left, to_come = held, sum(size is not None for size in sizes.values())
    for name, size in sizes.items():
        to_come -= size is not None
        shares = left - to_come
        classes = in_proportion(shares.tolist(), int(sum(left)) if size is None else size)
        orders[name] = _order(classes, len(held))
        left = left - orders[name].per_class
    return orders


def _order(classes: Indices, num_classes: int) -> Order:
    return Order(classes.tolist(), np.bincount(classes, minlength=num_classes).astype(np.int64))


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

    First one image of every class (of a share above 0), then always one of the class that is furthest below its
    share (Webster's divisor method: the least (n + 1/2) / share, of equals the first).
    """
    most = [int(count * share / sum(shares)) + len(shares) if share else 0 for share in shares]
    due = [np.r_[0.0, np.arange(1, size) + 0.5][:size] / share for size, share in zip(most, shares, strict=True)]
    order = np.argsort(np.concatenate(due), kind="stable")[:count]
    return np.repeat(np.arange(len(shares), dtype=np.int64), most)[order]


def largest_size(classes: Iterable[int], held: Indices) -> tuple[int, int]:
    """How many of `classes` in a row can be drawn where each holds so many images, and which class ends it."""
    labels = np.fromiter(classes, np.int64)
    ends = [np.r_[np.flatnonzero(labels == label), len(labels)] for label in range(len(held))]
    last = [int(end[min(count, len(end) - 1)]) for end, count in zip(ends, held, strict=True)]
    return min(last), int(np.argmin(last))
