"""How many real images an accuracy is worth, read off the real-only learning curve."""

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

    The fit is isotonic, since more real images of the same kind make a classifier worse only by noise.

    Args:
        num_real: sizes of real-only training sets, in any order.
        accuracies: mean test accuracy at each size, fractions.
    """
    order = np.argsort(num_real)
    heights = isotonic_regression(np.asarray(accuracies, np.float64)[order]).x
    return np.asarray(num_real, np.float64)[order], heights


def equivalent_num_real(num_real: Sequence[int], accuracies: Sequence[float], target: float) -> Reading:
    """Real images at which the fitted curve, linear in log(num_real) between its points, reaches `target`.

    Where the curve is flat, the fewest images count. The first two arguments are those of `fit_curve`. A target
    that lies beyond the fit but not beyond what was measured counts as the fit's end.
    """
    sizes, heights = fit_curve(num_real, accuracies)
    if min(accuracies) <= target <= max(accuracies):
        target = float(np.clip(target, heights[0], heights[-1]))
    if target > heights[-1]:
        return Reading(float(sizes[-1]), "more_than")
    if target < heights[0]:
        return Reading(float(sizes[0]), "fewer_than")
    above = int(np.searchsorted(heights, target))  # first point that reaches the target
    if heights[above] == target:
        return Reading(float(sizes[above]), "equals")
    share = (target - heights[above - 1]) / (heights[above] - heights[above - 1])
    logs = np.log(sizes[above - 1 : above + 1])
    return Reading(float(np.exp(logs[0] + share * (logs[1] - logs[0]))), "equals")


def worth(percent: int, target: float, seen: int, reading: Reading, *, detectable: bool) -> dict[str, object]:
    """The entry `worth` of ablation.json.

    `num_real_extra` is num_real_equivalent - num_real_seen: below 0 where synthetic images cost accuracy.
    Where `bound` is not `equals`, both figures are the end of the curve and hold only as that bound.

    Args:
        percent: the chosen synthetic_percent.
        target: its mean test accuracy, fraction.
        seen: real images that its classifiers were trained on.
        reading: where the learning curve reaches `target`.
        detectable: whether the verdict found a difference from the baseline at all.
    """
    equivalent = round(reading.num_real)
    text = worth_sentence(percent, target, seen, equivalent, reading.bound)
    noise = "" if detectable else " The difference from the baseline is within noise, and so is this figure."
    return {
        "synthetic_percent": percent,
        "test_accuracy": target,
        "num_real_seen": seen,
        "num_real_equivalent": equivalent,
        "num_real_extra": equivalent - seen,
        "bound": reading.bound,
        "extrapolated": reading.extrapolated,
        "text": text + noise,
    }


def worth_sentence(percent: int, target: float, seen: int, equivalent: int, bound: Bound) -> str:
    """`worth` in one sentence for people."""
    reaches = f"The {100 * target:.2f} % reached at {percent} % synthetic"
    if bound == "more_than":
        return (
            f"{reaches} lies above everything that real images alone reached: worth more than "
            f"{equivalent - seen:,} extra real images ({equivalent:,}, the most tried, instead of {seen:,}); "
            "a larger ablation.real_percent would tell how many more."
        )
    if bound == "fewer_than":
        return (
            f"{reaches} lies below everything that real images alone reached: fewer than {equivalent:,} of "
            f"them, the fewest tried, do as well (these classifiers saw {seen:,}); a smaller "
            "ablation.real_percent would tell how few."
        )
    extra = equivalent - seen
    balance = f"{extra:,} extra real images" if extra >= 0 else f"{-extra:,} real images lost"
    return f"{reaches} takes about {equivalent:,} real images alone (these classifiers saw {seen:,}): {balance}."
