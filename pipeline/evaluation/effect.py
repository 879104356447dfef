"""The size of an effect in errors removed."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import covariance, fmean, variance

from pipeline.evaluation.statistics import t_critical


@dataclass(frozen=True)
class ErrorsRemoved:
    """Percent of the baseline's errors that are gone, below 0 where there are more; None is no number.

    All are None where the baseline makes no error, and the ends are where its errors are too few to differ from
    none.
    """

    percent: float | None
    low: float | None
    high: float | None


def errors_removed(values: Sequence[float], baseline: Sequence[float], resolution: float) -> ErrorsRemoved:
    """Mean accuracy gained over the baseline's mean error, paired by replicate, with its 95 % interval.

    The interval is Fieller's (1954) for a ratio of two means: it holds every r at which the paired t-test of
    `gain - r * error` against 0 is not significant. So it holds 0 exactly where the interval of the gain does.

    Args:
        values: accuracy of each replicate, fractions.
        baseline: the baseline's, in the same order.
        resolution: one test image, the least standard deviation of the gain, as in `statistics.std`.
    """
    gains = [value - other for value, other in zip(values, baseline, strict=True)]
    errors = [1 - other for other in baseline]
    gain, error, n = fmean(gains), fmean(errors), len(gains)
    if error == 0:
        return ErrorsRemoved(None, None, None)
    share = t_critical(n) ** 2 / n
    a = error**2 - share * variance(errors)
    if a <= 0:
        return ErrorsRemoved(100 * gain / error, None, None)
    b = gain * error - share * covariance(gains, errors)
    c = gain**2 - share * max(variance(gains), resolution**2)
    root = sqrt(max(b**2 - a * c, 0.0))
    return ErrorsRemoved(100 * gain / error, 100 * (b - root) / a, 100 * (b + root) / a)
