"""Means, intervals, paired comparisons and the verdict. Accuracies are fractions."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from scipy.special import stdtr, stdtrit

Verdict = Literal["helps", "no_difference", "hurts"]

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05
SAME = 2.5e-6  # cells hold six decimals: differences this close to each other are equal


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % t-interval, in the unit of the values."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedComparison:
    """Mean of the paired differences, its 95 % interval, their standard deviation, and the two-sided p of mean 0."""

    difference: Interval
    std: float
    p_value: float


@dataclass(frozen=True)
class Decision:
    """Every synthetic_percent against the baseline, and the verdict on the one that val chooses; see `decide`."""

    comparisons: dict[int, PairedComparison]
    p_value_holm: dict[int, float]
    chosen_percent: int
    verdict: Verdict


def mean_interval(values: Sequence[float], resolution: float) -> Interval:
    """Mean with the 95 % t-interval on len(values) - 1 degrees of freedom; `resolution` as in `std`."""
    mean = statistics.fmean(values)
    margin = t_critical(len(values)) * std(values, resolution) / sqrt(len(values))
    return Interval(mean, mean - margin, mean + margin)


def t_critical(n: int) -> float:
    """Critical value of Student's t for the 95 % interval of the mean of `n` values."""
    return float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))


def paired_difference(values: Sequence[float], baseline: Sequence[float], resolution: float) -> PairedComparison:
    """Interval and p of the paired t-test of `values` against `baseline`, seed by seed (same order).

    All differences 0 gives p = 1; `resolution` as in `std`.
    """
    differences = [value - other for value, other in zip(values, baseline, strict=True)]
    if max(map(abs, differences)) <= SAME:
        differences = [0.0] * len(differences)
    interval, deviation = mean_interval(differences, resolution), std(differences, resolution)
    t = interval.mean / (deviation / sqrt(len(differences)))
    return PairedComparison(interval, deviation, 2 * float(stdtr(len(differences) - 1, -abs(t))))


def std(values: Sequence[float], resolution: float) -> float:
    """Standard deviation (n - 1), but at least `resolution`, one test image.

    Accuracies are whole counts over the test images, so that on a small test set a few seeds agree to the
    image by chance. A standard deviation of 0 would make three seeds that gain one image each a certainty
    (p = 0); the test set cannot resolve less than one image, so one image it is.
    """
    assert len(values) >= 2, "one value has no standard deviation"
    return max(statistics.stdev(values), resolution)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given (Holm 1979).

    The k-th smallest of m is multiplied by m - k + 1, and never falls below a smaller one's.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, row in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[row]))
        adjusted[row] = largest
    return adjusted


def choose_percent(val_accuracy: Mapping[int, float]) -> int:
    """The synthetic_percent with the highest mean val accuracy; the smallest of equals."""
    return min(val_accuracy, key=lambda percent: (-val_accuracy[percent], percent))


def cross_fitted(val: Mapping[int, Sequence[float]], gains: Mapping[int, Sequence[float]]) -> float:
    """Mean test gain where no classifier is judged at a percent that it helped to choose.

    Val and test of one classifier share its luck, so that the percent picked on val flatters itself on test too.
    Here each seed's percent is chosen on val by the other seeds (leave-one-out, cf. Cawley & Talbot 2010).

    Args:
        val: val accuracy of each seed, by synthetic_percent.
        gains: test accuracy over the baseline's of each seed, by the same percents and in the same order.
    """
    total, seeds = 0.0, len(next(iter(val.values())))
    for seed in range(seeds):
        others = {percent: statistics.fmean([*values[:seed], *values[seed + 1 :]]) for percent, values in val.items()}
        total += gains[choose_percent(others)][seed]
    return total / seeds


def decide(
    val: Mapping[int, Sequence[float]],
    test: Mapping[int, Sequence[float]],
    baseline: Sequence[float],
    resolution: float,
) -> Decision:
    """The verdict on the percent that a user would take.

    1. The percent is chosen on val: the best mean val accuracy among the declared synthetic percents (never
       0, which is the baseline). The test split has no say in it.
    2. Its test accuracy is compared with the baseline's, paired by seed; p is Holm-adjusted over all declared
       percents, so that it holds whichever of them val picks.

    Args:
        val: val accuracy of each seed, by synthetic_percent.
        test: test accuracy of each seed, by synthetic_percent.
        baseline: test accuracy of each seed without synthetic images.
        resolution: one test image, as in `std`.
    """
    comparisons = {percent: paired_difference(values, baseline, resolution) for percent, values in test.items()}
    adjusted = holm([comparison.p_value for comparison in comparisons.values()])
    p_value_holm = dict(zip(comparisons, adjusted, strict=True))
    percent = choose_percent({percent: statistics.fmean(values) for percent, values in val.items()})
    verdict = verdict_of(comparisons[percent].difference.mean, p_value_holm[percent])
    return Decision(comparisons, p_value_holm, percent, verdict)


def verdict_of(difference: float, p_adjusted: float) -> Verdict:
    """`helps` or `hurts` where p < 0.05, by the sign of the difference.

    Where even the best choice costs accuracy it `hurts`; `no_difference` means that none was detected with these
    seeds.
    """
    if p_adjusted >= SIGNIFICANCE or difference == 0:
        return "no_difference"
    return "helps" if difference > 0 else "hurts"
