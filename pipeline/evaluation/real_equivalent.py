"""How many real images alone would do as well: read off the learning curve, with an interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from pipeline.evaluation.learning_curve import Floats, Reading, bounded, curve_limits, read_size
from pipeline.evaluation.power_law import MIN_SIZES, fit_power_law, law_errors, law_num_real
from pipeline.evaluation.result import PowerLaw, RealEquivalent
from pipeline.evaluation.statistics import mean_interval, t_critical
from pipeline.evaluation.wording import real_equivalent_text


@dataclass(frozen=True)
class Measured:
    """What the equivalent is read from; accuracies are fractions, replicates in the same order throughout.

    Attributes:
        sizes: real images of K real-only training sets, rising.
        curve: their test accuracies, (K, replicates).
        target: test accuracies of the chosen setting, (replicates,).
        resolution: one test image, as in `statistics.std`.
    """

    sizes: Floats
    curve: Floats
    target: Floats
    resolution: float


def measure(
    sizes: Sequence[int], curve: Sequence[Sequence[float]], target: Sequence[float], resolution: float
) -> Measured:
    """`Measured`, with the sizes put in rising order."""
    order = np.argsort(sizes)
    heights = np.asarray(curve, np.float64)[order]
    return Measured(np.asarray(sizes, np.float64)[order], heights, np.asarray(target, np.float64), resolution)


def read_curve(measured: Measured) -> float:
    """Real images at which the means reach the mean target; 0 and inf outside the measured sizes (`read_size`)."""
    return read_size(measured.sizes, measured.curve.mean(1), float(measured.target.mean()))


def read_interval(measured: Measured) -> tuple[Reading, Reading]:
    """Ends of the 95 % interval of the reading: the sizes that a paired t-test cannot tell from the target.

    A size is too small where the target lies significantly (2.5 %, one-sided) above the highest that a curve of
    diminishing returns can have there, and too large where it lies so below the lowest (`curve_limits`). Between two
    measured sizes such a curve may take any course within these limits, so the interval holds the true size as often
    as it says whatever the course; lines or a law alone miss it the more often, the more replicates there are. An end
    that lies outside the measured sizes is a bound.
    """
    grid, lowest, highest = curve_limits(measured.sizes, measured.curve.mean(1))
    critical = t_critical(len(measured.target))
    too_small = _t_values(measured, highest) > critical
    too_large = _t_values(measured, lowest) < -critical
    kept, reading = np.flatnonzero(~too_small & ~too_large), read_curve(measured)
    if len(kept) == 0:
        return bounded(reading, measured.sizes), bounded(reading, measured.sizes)
    low = grid[kept[0] - 1] if kept[0] > 0 else 0.0  # the true end lies between two points of the grid
    high = grid[kept[-1] + 1] if kept[-1] < len(grid) - 1 else inf
    return bounded(min(low, reading), measured.sizes), bounded(max(high, reading), measured.sizes)


def _t_values(measured: Measured, weights: Floats) -> Floats:
    """t of the target's paired difference to each weighted sum (G, K) of the curve's accuracies: (G,)."""
    differences = measured.target - weights @ measured.curve
    deviation = differences.std(1, ddof=1).clip(measured.resolution)
    values: Floats = differences.mean(1) * sqrt(len(measured.target)) / deviation
    return values


def fit_law(measured: Measured) -> tuple[PowerLaw | None, str]:
    """The power law through the means, or None and why it says nothing about sizes that were not measured."""
    if len(measured.sizes) < MIN_SIZES:
        return None, f"a power law needs {MIN_SIZES} sizes (ablation.real_percent), not {len(measured.sizes)}"
    law = fit_power_law(measured.sizes, 1 - measured.curve.mean(1))
    if law.scale == 0:
        return None, "more real images did not help, so no power law falls through the points"
    for size, values, error in zip(measured.sizes, measured.curve, law_errors(law, measured.sizes), strict=True):
        interval = mean_interval(values.tolist(), measured.resolution)
        if not interval.low <= 1 - error <= interval.high:
            return None, f"the power law misses the interval measured at {size:,.0f} real images"
    return law, ""


def real_equivalent(percent: int, seen: int, measured: Measured, *, detectable: bool) -> RealEquivalent:
    """The entry `real_equivalent` of ablation.json.

    Args:
        percent: the chosen synthetic_percent.
        seen: real images that its classifiers were trained on.
        measured: the learning curve and the accuracies that were reached.
        detectable: whether the verdict found a difference from the baseline at all.
    """
    reading, (low, high) = bounded(read_curve(measured), measured.sizes), read_interval(measured)
    law, reason = fit_law(measured) if reading.extrapolated else (None, "")
    target = float(measured.target.mean())
    beyond = law_num_real(law, 1 - target) if law else inf
    entry = RealEquivalent(
        synthetic_percent=percent,
        test_accuracy=target,
        num_real_seen=seen,
        num_real_equivalent=round(reading.num_real),
        num_real_extra=round(reading.num_real) - seen,
        bound=reading.bound,
        extrapolated=reading.extrapolated,
        num_real_low=round(low.num_real),
        num_real_high=round(high.num_real),
        num_real_extra_low=round(low.num_real) - seen,
        num_real_extra_high=round(high.num_real) - seen,
        low_bound=low.bound,
        high_bound=high.bound,
        num_real_law=round(beyond) if beyond < 10 * measured.sizes[-1] else None,
        method="isotonic",
        method_reason=reason,
        law=law,
        text="",
    )
    return entry.model_copy(update={"text": real_equivalent_text(entry, detectable=detectable)})
