"""The real-only learning curve as measured, and the number of real images at which it reaches an accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

Floats = NDArray[np.float64]
Bound = Literal["equals", "more_than", "fewer_than"]


@dataclass(frozen=True)
class Reading:
    """Real images that reach an accuracy; a bound where the accuracy lies outside the measured range."""

    num_real: float
    bound: Bound

    @property
    def extrapolated(self) -> bool:
        """True where `num_real` is only a bound: the end of the curve, not a figure beyond it."""
        return self.bound != "equals"


def fit_curve(num_real: Sequence[int], accuracies: Sequence[float]) -> tuple[Floats, Floats]:
    """The learning curve: sizes in rising order and their fitted accuracies, which never fall.

    Args:
        num_real: sizes of real-only training sets, in any order.
        accuracies: mean test accuracy at each size, fractions.
    """
    order = np.argsort(num_real)
    return np.asarray(num_real, np.float64)[order], isotonic(np.asarray(accuracies, np.float64)[None, order])[0]


def isotonic(rows: Floats) -> Floats:
    """The least-squares fit that never falls, each row of (D, K) for itself.

    More real images of the same kind make a classifier worse only by noise.
    """
    return np.stack([isotonic_regression(row).x for row in rows])


def read_rows(sizes: Floats, accuracies: Floats, targets: Floats) -> Floats:
    """Real images (D,) at which each row's isotonic fit reaches its target; 0 and inf where it lies outside.

    The fit is linear in log(num_real) between its points. Where it is flat, the fewest images count. A target that
    lies beyond the fit but not beyond what was measured counts as the fit's end.

    Args:
        sizes: K sizes, rising.
        accuracies: mean test accuracies (D, K).
        targets: accuracies (D,).
    """
    heights, rows = isotonic(accuracies), np.arange(len(targets))
    measured = (accuracies.min(1) <= targets) & (targets <= accuracies.max(1))
    targets = np.where(measured, targets.clip(heights[:, 0], heights[:, -1]), targets)
    above = (heights < targets[:, None]).sum(1)  # first point that reaches the target
    right, left = above.clip(max=len(sizes) - 1), (above - 1).clip(min=0)
    rise = heights[rows, right] - heights[rows, left]
    share = (targets - heights[rows, left]) / np.where(rise > 0, rise, 1.0)
    between = sizes[left] * (sizes[right] / sizes[left]) ** share
    found = np.where(heights[rows, right] == targets, sizes[right], between.clip(sizes[left], sizes[right]))
    found = np.where((above == 0) & (heights[:, 0] > targets), 0.0, found)
    return np.where(above == len(sizes), np.inf, found)


def bounded(size: float, sizes: Floats) -> Reading:
    """`size`, cut to the measured sizes."""
    if size > sizes[-1]:
        return Reading(float(sizes[-1]), "more_than")
    if size < sizes[0]:
        return Reading(float(sizes[0]), "fewer_than")
    return Reading(float(size), "equals")


def equivalent_num_real(num_real: Sequence[int], accuracies: Sequence[float], target: float) -> Reading:
    """`read_rows` of one curve, whose sizes come in any order."""
    order = np.argsort(num_real)
    sizes = np.asarray(num_real, np.float64)[order]
    found = read_rows(sizes, np.asarray(accuracies, np.float64)[None, order], np.array([target]))
    return bounded(float(found[0]), sizes)
