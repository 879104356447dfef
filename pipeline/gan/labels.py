"""Which class image i shows: a function of the class balance and i, so that a grown dataset keeps its rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from pipeline.files import parse_json
from pipeline.images import Indices
from pipeline.runtime.errors import UserError
from pipeline.runtime.resources import need_memory

BYTES_A_GAP = 32  # while turns are sorted
MOST_REAL = 10**9  # images of a class, as params allow


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
    """The sequence that the params ask for; `real_counts` has the real images of every class.

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


def read_real_counts(file: Path, class_names: tuple[str, ...]) -> list[int]:
    """Images of every class that one may train on, from the dataset.json that `prepare` wrote.

    Those of train and of reserve: train alone is class-balanced, what is left of the user's images need not be.

    Raises:
        UserError: the file is missing or damaged, or tells of other classes.
    """
    try:
        counts = _real_counts(parse_json(file.read_bytes()), class_names)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: no counts of the generator's classes ({error!r}); run: dvc repro prepare") from None
    return check_real_counts(counts, file, len(class_names))


def _real_counts(about: dict[str, Any], class_names: tuple[str, ...]) -> object:
    if about["class_names"] != list(class_names):
        raise ValueError(f"it has {about['class_names']}, the generator {list(class_names)}")
    return [about["counts"]["train"][name] + about["counts"]["reserve"][name] for name in class_names]


def check_real_counts(counts: object, file: Path, num_classes: int) -> list[int]:
    """`counts` from `file`, one a class.

    Raises:
        UserError: they are something else.
    """
    if isinstance(counts, list) and len(counts) == num_classes:
        numbers = [count for count in counts if type(count) is int and 0 <= count <= MOST_REAL]
        if len(numbers) == num_classes:
            return numbers
    raise UserError(f"{file}: has no count of real images for each class; restore it, or run: dvc repro")


def _earliest_first(turns: Sequence[np.ndarray]) -> Indices:
    """Classes in the order of their turns; `turns[k]` holds when class k has its images, equal ones by class."""
    classes = np.repeat(np.arange(len(turns), dtype=np.int64), [len(turn) for turn in turns])
    return classes[np.argsort(np.concatenate(turns), kind="stable")]
