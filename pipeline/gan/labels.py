"""Which class image i shows: a function of the class balance and i, so that a grown dataset keeps its rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from pipeline.images import Indices
from pipeline.runtime.errors import UserError
from pipeline.runtime.resources import need_memory

BYTES_A_GAP = 32  # while turns are sorted


@dataclass(frozen=True)
class Labels:
    """The endless sequence of classes: `head` once, then `cycle` over and over (int64)."""

    head: Indices
    cycle: Indices

    @classmethod
    def balanced(cls, num_classes: int) -> Self:
        """Classes take turns: image i shows class i mod num_classes."""
        return cls(np.empty(0, np.int64), np.arange(num_classes, dtype=np.int64))

    @classmethod
    def by_share(cls, shares: Sequence[int]) -> Self:
        """As `shares` (> 0) are to each other; exactly so in every run of sum(shares) images.

        The next image goes to the class with the fewest for its share, the first of equals (Adams' divisor
        method), so every class has its first image before any has its second.
        """
        divisor = math.gcd(*shares)
        turns = [np.arange(share // divisor) / (share // divisor) for share in shares]
        return cls(np.empty(0, np.int64), _earliest_first(turns))

    @classmethod
    def filling(cls, real_counts: Sequence[int]) -> Self:
        """One image a class, then always the class with the fewest real and drawn images, the first of equals.

        Once that has evened out `real_counts`, classes take turns.
        """
        gaps = [max(real_counts) - count for count in real_counts]
        turns = [np.r_[0, count + 1 + np.arange(gap)] for count, gap in zip(real_counts, gaps, strict=True)]
        return cls(_earliest_first(turns), np.arange(len(real_counts), dtype=np.int64))

    def at(self, start: int, count: int) -> Indices:
        """Classes of the images start ... start + count."""
        index = np.arange(start, start + count, dtype=np.int64)
        labels = self.cycle[(index - len(self.head)) % len(self.cycle)]
        first = index < len(self.head)
        labels[first] = self.head[index[first]]
        return labels


def choose_labels(
    class_balance: Literal["balanced", "fill", "shares"], class_shares: Sequence[int], real_counts: Sequence[int]
) -> Labels:
    """The sequence that the params ask for; `real_counts` has the images of every class in train.

    Raises:
        UserError: there is not one share a class.
    """
    if class_balance == "balanced":
        return Labels.balanced(len(real_counts))
    if class_balance == "fill":
        gaps = len(real_counts) * max(real_counts) - sum(real_counts)
        need_memory(BYTES_A_GAP * gaps, f"synthesize.class_balance fill over {gaps} missing images", "use balanced")
        return Labels.filling(real_counts)
    if len(class_shares) != len(real_counts):
        raise UserError(
            f"params.yaml: synthesize.class_shares has {len(class_shares)} numbers for {len(real_counts)} classes"
        )
    return Labels.by_share(class_shares)


def _earliest_first(turns: Sequence[np.ndarray]) -> Indices:
    """Classes in the order of their turns; `turns[k]` holds when class k has its images, equal ones by class."""
    classes = np.repeat(np.arange(len(turns), dtype=np.int64), [len(turn) for turn in turns])
    return classes[np.argsort(np.concatenate(turns), kind="stable")]
