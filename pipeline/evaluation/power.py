"""What the replicates can detect: power, how many a margin takes, and whether a difference is within it."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.special import chdtri, nctdtr, stdtr, stdtrit

from pipeline.evaluation.result import Power
from pipeline.evaluation.statistics import SIGNIFICANCE, PairedComparison

POWER = 0.8  # of the runs, as is usual
MOST_REPLICATES = 10_000  # beyond it the number is only a bound


@dataclass(frozen=True)
class PlannedPower:
    """What an experiment will be able to see; `detectable` is in the unit of its standard deviation."""

    detectable: float
    power_at_margin: float
    replicates_for_margin: int


def paired_power(effect: float, std: float, n: int, level: float) -> float:
    """Chance that the two-sided paired t-test at `level` detects a true mean difference `effect`.

    The t statistic is noncentral with n - 1 degrees of freedom (Cohen 1988, section 2.2).

    Args:
        effect: true mean difference, in the unit of `std`.
        std: standard deviation of the differences, above 0.
        n: number of pairs, 2 or more.
        level: significance.
    """
    freedom, shift = n - 1, abs(effect) / std * sqrt(n)
    critical = float(stdtrit(freedom, 1 - level / 2))
    below, opposite = nctdtr(freedom, shift, [critical, -critical])
    # scipy knows no figure for a tail far beyond 1e-6
    return 1 - float(np.nan_to_num(below)) + float(np.nan_to_num(opposite))


def replicates_to_detect(effect: float, std: float, level: float) -> int:
    """The fewest replicates with `paired_power` of POWER; MOST_REPLICATES where more are needed."""
    low, high = 1, 2
    while paired_power(effect, std, high, level) < POWER:
        low, high = high, 2 * high
        if low >= MOST_REPLICATES:
            return MOST_REPLICATES
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if paired_power(effect, std, middle, level) >= POWER else (middle, high)
    return min(high, MOST_REPLICATES)


def detectable_effect(std: float, n: int, level: float) -> float:
    """The difference that `n` replicates detect with a chance of POWER, in the unit of `std`; to 0.1 %."""
    low, high = 0.0, std
    while paired_power(high, std, n, level) < POWER:
        low, high = high, 2 * high
    while high - low > 0.001 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if paired_power(middle, std, n, level) >= POWER else (middle, high)
    return high


def equivalence_p(comparison: PairedComparison, n: int, margin: float) -> float:
    """p of two one-sided tests that the true difference lies beyond -margin or +margin (Schuirmann 1987).

    Below 0.025 exactly where the 95 % interval lies within the margin.
    """
    error = comparison.std / sqrt(n)
    return float(stdtr(n - 1, (abs(comparison.difference.mean) - margin) / error))


def std_interval(std: float, n: int) -> tuple[float, float]:
    """The 95 % chi-square interval of the standard deviation of `n` normal values."""
    low, high = ((n - 1) / float(chdtri(n - 1, tail)) for tail in (0.025, 0.975))
    return std * sqrt(low), std * sqrt(high)


def plan_power(std: float, n: int, percents: int, margin: float) -> PlannedPower:
    """What an experiment can see, from a standard deviation alone: before any training it is assumed.

    The level is that of Holm's first step over all percents: what the verdict asks for in the worst case.

    Args:
        std: standard deviation of the paired differences, above 0.
        n: number of replicates, 2 or more.
        percents: how many synthetic percents are compared.
        margin: the smallest difference that matters, above 0, in the unit of `std`.
    """
    level = SIGNIFICANCE / percents
    return PlannedPower(
        detectable=detectable_effect(std, n, level),
        power_at_margin=paired_power(margin, std, n, level),
        replicates_for_margin=replicates_to_detect(margin, std, level),
    )


def measure_power(comparison: PairedComparison, n: int, percents: int, margin_points: float) -> Power:
    """The entry `power` of ablation.json, for the chosen percent."""
    margin, stds = margin_points / 100, (comparison.std, *std_interval(comparison.std, n))
    planned, least, most = (plan_power(std, n, percents, margin) for std in stds)
    p_value = equivalence_p(comparison, n, margin)
    return Power(
        margin_points=margin_points,
        std_points=100 * comparison.std,
        level=SIGNIFICANCE / percents,
        power=POWER,
        replicates_for_margin=planned.replicates_for_margin,
        replicates_for_margin_low=least.replicates_for_margin,
        replicates_for_margin_high=most.replicates_for_margin,
        detectable_points=100 * planned.detectable,
        p_value_equivalence=p_value,
        equivalent=p_value < SIGNIFICANCE / 2,
    )
