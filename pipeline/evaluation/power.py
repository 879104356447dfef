"""What a null result is worth: whether it shows equivalence, and how many seeds would detect the margin."""

from math import sqrt

import numpy as np
from scipy.special import nctdtr, stdtr, stdtrit

from pipeline.evaluation.statistics import SIGNIFICANCE, Comparison, Verdict

POWER = 0.8  # of the runs, as is usual
MOST_SEEDS = 10_000  # beyond it the number is only a bound


def paired_power(effect: float, spread: float, seeds: int, level: float) -> float:
    """Chance that the two-sided paired t-test at `level` detects a true mean difference `effect`.

    The t statistic is noncentral with `seeds` - 1 degrees of freedom (Cohen 1988, section 2.2).

    Args:
        effect: true mean difference, in the unit of `spread`.
        spread: standard deviation of the differences, above 0.
        seeds: number of pairs, 2 or more.
        level: significance.
    """
    freedom, shift = seeds - 1, abs(effect) / spread * sqrt(seeds)
    critical = float(stdtrit(freedom, 1 - level / 2))
    below, opposite = nctdtr(freedom, shift, [critical, -critical])
    # scipy knows no figure for a tail far beyond 1e-6
    return 1 - float(np.nan_to_num(below)) + float(np.nan_to_num(opposite))


def seeds_to_detect(effect: float, spread: float, level: float) -> int:
    """The fewest seeds with `paired_power` of POWER; MOST_SEEDS where more are needed."""
    low, high = 1, 2
    while paired_power(effect, spread, high, level) < POWER:
        low, high = high, 2 * high
        if low >= MOST_SEEDS:
            return MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if paired_power(effect, spread, middle, level) >= POWER else (middle, high)
    return min(high, MOST_SEEDS)


def detectable_effect(spread: float, seeds: int, level: float) -> float:
    """The difference that `seeds` seeds detect with a chance of POWER, in the unit of `spread`; to 0.1 %."""
    low, high = 0.0, spread
    while paired_power(high, spread, seeds, level) < POWER:
        low, high = high, 2 * high
    while high - low > 0.001 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if paired_power(middle, spread, seeds, level) >= POWER else (middle, high)
    return high


def equivalence_p(comparison: Comparison, seeds: int, margin: float) -> float:
    """p of two one-sided tests that the true difference lies beyond -margin or +margin (Schuirmann 1987).

    Below 0.025 exactly where the 95 % interval lies within the margin.
    """
    error = comparison.spread / sqrt(seeds)
    return float(stdtr(seeds - 1, (abs(comparison.difference.mean) - margin) / error))


def power_entry(comparison: Comparison, seeds: int, percents: int, margin_points: float) -> dict[str, float | bool]:
    """The entry `power` of ablation.json, for the chosen percent.

    The level is that of Holm's first step over all percents: what the verdict asks for in the worst case.
    """
    level, margin = SIGNIFICANCE / percents, margin_points / 100
    p_value = equivalence_p(comparison, seeds, margin)
    return {
        "margin_points": margin_points,
        "spread_points": 100 * comparison.spread,
        "level": level,
        "power": POWER,
        "seeds_for_margin": seeds_to_detect(margin, comparison.spread, level),
        "detectable_points": 100 * detectable_effect(comparison.spread, seeds, level),
        "p_value_equivalence": p_value,
        "equivalent": p_value < SIGNIFICANCE / 2,
    }


def power_sentence(verdict: Verdict, seeds: int, entry: dict[str, float | bool]) -> str:
    """What the margin says of the verdict; empty where a detected effect exceeds it or may."""
    margin = f"{entry['margin_points']:g} points"
    if verdict != "no_difference":
        return f"Detected, but surely less than {margin}, the margin that matters." if entry["equivalent"] else ""
    needed = int(entry["seeds_for_margin"])
    more = "more than " * (needed == MOST_SEEDS)
    power = (
        f"These {seeds} seeds would detect {entry['detectable_points']:.2f} points in {100 * POWER:.0f} % of runs; "
        f"to detect {margin} takes {more}{needed:,} seeds at this spread."
    )
    if entry["equivalent"]:
        return f"The interval lies within {margin} of 0: as good as equal. {power}"
    return f"The interval reaches beyond {margin}, so a difference that matters is not ruled out. {power}"
