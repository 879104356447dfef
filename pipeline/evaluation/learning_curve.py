"""The real-only learning curve as measured, and the number of real images at which it reaches an accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Bound = Literal["equals", "more_than", "fewer_than"]

STEPS = 400  # between two sizes: the ends of an interval are good to 0.2 % where sizes double


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
    return np.asarray(num_real, np.float64)[order], isotonic(np.asarray(accuracies, np.float64)[order])


def isotonic(accuracies: Floats) -> Floats:
    """The least-squares fit that never falls: more real images of the same kind do worse only by noise."""
    fitted: Floats = isotonic_regression(accuracies).x
    return fitted


def read_size(sizes: Floats, accuracies: Floats, target: float) -> float:
    """Real images at which the isotonic fit reaches `target`; 0 and inf where it lies outside.

    The fit is linear in log(num_real) between its points. Where it is flat, the fewest images count. A target that
    lies beyond the fit but not beyond what was measured counts as the fit's end.

    Args:
        sizes: K sizes, rising.
        accuracies: their mean test accuracies.
        target: an accuracy.
    """
    heights = isotonic(accuracies)
    if accuracies.min() <= target <= accuracies.max():
        target = min(max(target, heights[0]), heights[-1])
    if not heights[0] <= target <= heights[-1]:
        return 0.0 if target < heights[0] else inf
    right = int(np.searchsorted(heights, target))  # the first point that reaches the target
    if heights[right] == target:
        return float(sizes[right])
    left, share = right - 1, (target - heights[right - 1]) / (heights[right] - heights[right - 1])
    return float((sizes[left] * (sizes[right] / sizes[left]) ** share).clip(sizes[left], sizes[right]))


def bounded(size: float, sizes: Floats) -> Reading:
    """`size`, cut to the measured sizes."""
    if size > sizes[-1]:
        return Reading(float(sizes[-1]), "more_than")
    if size < sizes[0]:
        return Reading(float(sizes[0]), "fewer_than")
    return Reading(float(size), "equals")


def curve_limits(sizes: Floats, means: Floats) -> tuple[Floats, Floats, Floats]:
    """Limits of a curve of diminishing returns through K measured points: one that rises, ever less, in log(num_real).

    It never lies below the line between two neighbouring points, nor above the lines through the next two on either
    side, nor above the right one of the two; of these the lowest counts, where it is not below the line itself.

    Args:
        sizes: K sizes, rising.
        means: their mean accuracies, which say what is lowest.

    Returns:
        G sizes from the first to the last, and the weights (G, K) by which the lower and the upper limit at
        each are sums of the measured accuracies.
    """
    left, share = _grid(len(sizes))
    right = (left + 1).clip(max=len(sizes) - 1)
    grid, points = sizes[left] * (sizes[right] / sizes[left]) ** share, np.eye(len(sizes))
    line = points[left] + share[:, None] * (points[right] - points[left])
    uppers = np.stack([points[right], *_extended(np.log(sizes), left, share)])
    lowest = uppers[(uppers @ means).argmin(0), np.arange(len(grid))]
    known = (share == 0) | (lowest @ means < line @ means)
    return grid, line, np.where(known[:, None], line, lowest)


def _grid(count: int) -> tuple[Indices, Floats]:
    """STEPS points from each of `count` sizes towards the next, then the last: its row, and the share of the way."""
    left = np.repeat(np.arange(count - 1), STEPS)
    share = np.tile(np.arange(STEPS) / STEPS, count - 1)
    return np.append(left, count - 1), np.append(share, 0.0)


def _extended(logs: Floats, left: Indices, share: Floats) -> tuple[Floats, Floats]:
    """Weights (G, K) of the lines through the two points before and after each place; the right point at the rim."""
    points, last = np.eye(len(logs)), len(logs) - 1
    right = (left + 1).clip(max=last)
    before, after = (left - 1).clip(min=0), (right + 1).clip(max=last)
    at = logs[left] + share * (logs[right] - logs[left])
    uppers = []
    for near, far in ((left, before), (right, after)):
        slope = (at - logs[near]) / np.where(near == far, 1.0, logs[near] - logs[far])
        uppers.append(points[near] + slope[:, None] * (points[near] - points[far]))
    first = np.where((left == before)[:, None], points[right], uppers[0])
    return first, uppers[1]
