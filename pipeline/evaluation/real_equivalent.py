"""How many real images alone would do as well: read off the learning curve, with a bootstrap interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from pipeline.evaluation.learning_curve import Floats, Reading, bounded, read_rows
from pipeline.evaluation.power_law import MIN_SIZES, PowerLaws, fit_power_laws
from pipeline.evaluation.result import PowerLaw, RealEquivalent
from pipeline.evaluation.statistics import mean_interval, t_critical
from pipeline.evaluation.wording import real_equivalent_text
from pipeline.randomness import Stream, random_words

DRAWS = 1000
BOOTSTRAP_SEED = 0
Z_CRITICAL = 1.959964  # the normal distribution's, of a 95 % interval


@dataclass(frozen=True)
class Measured:
    """What the equivalent is read from; accuracies are fractions, seeds in the same order throughout.

    Attributes:
        sizes: real images of K real-only training sets, rising.
        curve: their test accuracies, (K, seeds).
        target: test accuracies of the chosen setting, (seeds,).
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


def fit_law(measured: Measured) -> tuple[PowerLaws | None, str]:
    """The power law through the means, or None and why the measured points are joined by lines instead."""
    if len(measured.sizes) < MIN_SIZES:
        return None, f"a power law needs {MIN_SIZES} sizes (ablation.real_percent), not {len(measured.sizes)}"
    law = fit_power_laws(measured.sizes, 1 - measured.curve.mean(1)[None])
    if law.scale[0] == 0:
        return None, "more real images did not help, so no power law falls through the points"
    for size, values, error in zip(measured.sizes, measured.curve, law.errors(measured.sizes)[0], strict=True):
        interval = mean_interval(values.tolist(), measured.resolution)
        if not interval.low <= 1 - error <= interval.high:
            return None, f"the power law misses the interval measured at {size:,.0f} real images"
    return law, ""


def read_curve(measured: Measured, law: PowerLaws | None) -> Reading:
    """Real images that reach the mean target; never a figure outside the measured sizes.

    A target among the measured accuracies counts as within range even where the law, which smooths them, ends
    short of it.
    """
    means, target = measured.curve.mean(1), float(measured.target.mean())
    if law is None:
        return bounded(float(read_rows(measured.sizes, means[None], np.array([target]))[0]), measured.sizes)
    first, last = float(measured.sizes[0]), float(measured.sizes[-1])
    size = float(law.num_real(np.array([1 - target]))[0])
    if means.min() <= target <= means.max() or first <= size <= last:
        return Reading(min(max(size, first), last), "equals")
    return Reading(last, "more_than") if size > last else Reading(first, "fewer_than")


def bootstrap_interval(measured: Measured, law: PowerLaws | None) -> tuple[Reading, Reading]:
    """Ends of the 95 % percentile interval of the reading, over DRAWS resamples of the seeds.

    A draw takes the same seeds at every size and for the target, so that what they share cancels. Its means are
    widened by sqrt(n / (n - 1)) t / z about the measured ones: the bootstrap of a few seeds is too narrow, and
    this makes the interval of a plain mean Student's (after Hesterberg 2015, section 4.1.3). An end that lies
    outside the measured sizes is a bound.
    """
    num_seeds = len(measured.target)
    words = random_words(DRAWS * num_seeds, seed=BOOTSTRAP_SEED, stream=Stream.BOOTSTRAP, position=0)
    picks = (words % num_seeds).astype(np.int64).reshape(DRAWS, num_seeds)
    wider = sqrt(num_seeds / (num_seeds - 1)) * t_critical(num_seeds) / Z_CRITICAL
    values = np.vstack([measured.curve, measured.target])  # (K + 1, seeds)
    means = values.mean(1)
    drawn = (means + wider * (values[:, picks].mean(2).T - means)).clip(0, 1)
    sizes = np.sort(_read_draws(measured, drawn[:, :-1], drawn[:, -1], law))
    outside = round(DRAWS * 0.025)
    return bounded(sizes[outside], measured.sizes), bounded(sizes[-1 - outside], measured.sizes)


def real_equivalent(percent: int, seen: int, measured: Measured, *, detectable: bool) -> RealEquivalent:
    """The entry `real_equivalent` of ablation.json.

    Args:
        percent: the chosen synthetic_percent.
        seen: real images that its classifiers were trained on.
        measured: the learning curve and the accuracies that were reached.
        detectable: whether the verdict found a difference from the baseline at all.
    """
    law, reason = fit_law(measured)
    reading, (low, high) = read_curve(measured, law), bootstrap_interval(measured, law)
    target = float(measured.target.mean())
    beyond = law.num_real(np.array([1 - target]))[0] if law and reading.extrapolated else inf
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
        num_real_law=round(float(beyond)) if beyond < 10 * measured.sizes[-1] else None,
        method="power_law" if law else "isotonic",
        method_reason=reason,
        law=_first(law) if law else None,
        text="",
    )
    return entry.model_copy(update={"text": real_equivalent_text(entry, detectable=detectable)})


def _read_draws(measured: Measured, curve: Floats, target: Floats, law: PowerLaws | None) -> Floats:
    """The reading of each draw: (DRAWS,), 0 and inf or any other figure where it lies outside the measured sizes."""
    if law is None:
        return read_rows(measured.sizes, curve, target)
    return fit_power_laws(measured.sizes, 1 - curve).num_real(1 - target)


def _first(laws: PowerLaws) -> PowerLaw:
    return PowerLaw(scale=float(laws.scale[0]), exponent=float(laws.exponent[0]), floor=float(laws.floor[0]))
