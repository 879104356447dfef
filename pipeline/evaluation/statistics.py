"""Means, intervals, paired comparisons and the verdict. Accuracies are fractions."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import dist, sqrt
from typing import Generic, Literal, TypeVar

from scipy.special import stdtr, stdtrit

Verdict = Literal["helps", "hurts", "equivalent", "too_few_replicates", "cannot_tell"]

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05
PLACEBO_SIGNIFICANCE = 0.01  # a false alarm stops an honest answer, so it must be rare
Name = TypeVar("Name")  # of what there is to choose from
Other = TypeVar("Other")
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
class Arms(Generic[Name]):
    """What there is to choose from, by name: accuracies of every replicate, in the same order, on val and on test."""

    val: Mapping[Name, Sequence[float]]
    test: Mapping[Name, Sequence[float]]


@dataclass(frozen=True)
class SelectedComparison:
    """Two arms that were chosen on val: their difference, the mean of the cross-fitted one, and one p for both."""

    difference: Interval
    cross_fitted: float
    p_value: float


@dataclass(frozen=True)
class Measurements:
    """What a decision rests on: accuracies of every replicate, in the same order, by synthetic_percent.

    Attributes:
        val: of the mixed cells on val.
        test: the same on test.
        baselines: test accuracies of the real-only cells with as many steps as the mixed ones of that percent.
        ceiling: test accuracies of the control; empty where it was not run.
        placebo: likewise.
        resolution: one test image, as in `std`.
        margin: the smallest difference that matters, a fraction.
    """

    val: Mapping[int, Sequence[float]]
    test: Mapping[int, Sequence[float]]
    baselines: Mapping[int, Sequence[float]]
    ceiling: Mapping[int, Sequence[float]]
    placebo: Mapping[int, Sequence[float]]
    resolution: float
    margin: float


@dataclass(frozen=True)
class Decision:
    """Every synthetic_percent against its baseline, the controls, and the verdict on the percent that val chooses."""

    comparisons: dict[int, PairedComparison]
    p_value_holm: dict[int, float]
    chosen_percent: int
    verdict: Verdict
    ceiling: dict[int, PairedComparison]
    placebo: dict[int, PairedComparison]
    placebo_p_value: float | None


def mean_interval(values: Sequence[float], resolution: float) -> Interval:
    """Mean with the 95 % t-interval on len(values) - 1 degrees of freedom; `resolution` as in `std`."""
    mean = statistics.fmean(values)
    margin = t_critical(len(values)) * std(values, resolution) / sqrt(len(values))
    return Interval(mean, mean - margin, mean + margin)


def t_critical(n: int) -> float:
    """Critical value of Student's t for the 95 % interval of the mean of `n` values."""
    return float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))


def paired_difference(values: Sequence[float], baseline: Sequence[float], resolution: float) -> PairedComparison:
    """Interval and p of the paired t-test of `values` against `baseline`, replicate by replicate (same order).

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

    Accuracies are whole counts over the test images, so that on a small test set a few replicates agree to the
    image by chance. A standard deviation of 0 would make three replicates that gain one image each a certainty
    (p = 0); the test set cannot resolve less than one image, so one image it is.
    """
    assert len(values) >= 2, "one value has no standard deviation"
    deviations = dist(values, [statistics.fmean(values)] * len(values))
    return max(deviations / sqrt(len(values) - 1), resolution)


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


def chosen_by_others(val: Mapping[Name, Sequence[float]]) -> list[Name]:
    """For each replicate what the other ones choose on val: the first of the best (leave-one-out).

    Val and test of one classifier share its luck, so that what is picked on val flatters itself on test too, unless
    no classifier is judged that helped to pick it (cf. Cawley & Talbot 2010).

    Args:
        val: val accuracy of each replicate, by what there is to choose from.
    """
    chosen = []
    for row in range(len(next(iter(val.values())))):
        others = {name: statistics.fmean([*values[:row], *values[row + 1 :]]) for name, values in val.items()}
        chosen.append(max(others, key=lambda name: others[name]))
    return chosen


def cross_fitted(val: Mapping[Name, Sequence[float]], test: Mapping[Name, Sequence[float]]) -> list[float]:
    """Of each replicate its value on `test` of what the others choose on `val`; both in the same order."""
    return [test[name][row] for row, name in enumerate(chosen_by_others(val))]


def best_on_val(arms: Arms[Name]) -> Name:
    """The first of those with the highest mean val accuracy."""
    return max(arms.val, key=lambda name: statistics.fmean(arms.val[name]))


def compare_selected(arms: Arms[Name], others: Arms[Other], resolution: float) -> SelectedComparison:
    """The best on val of `arms` against the best on val of `others`, paired by replicate.

    The t-test of what all replicates choose flatters whichever side had more to choose from; that of the cross-fitted
    accuracies has replicates that depend on each other. Each alone is wrong more often than it says, both together are
    not (`benchmarks/verdicts.py`): p is the larger of the two, and 1 where their signs differ.
    """
    chosen = paired_difference(arms.test[best_on_val(arms)], others.test[best_on_val(others)], resolution)
    honest = paired_difference(cross_fitted(arms.val, arms.test), cross_fitted(others.val, others.test), resolution)
    differ = chosen.difference.mean * honest.difference.mean < 0
    p_value = 1.0 if differ else max(chosen.p_value, honest.p_value)
    return SelectedComparison(chosen.difference, honest.difference.mean, p_value)


def decide(measured: Measurements) -> Decision:
    """The verdict on the percent that a user would take.

    1. The percent is chosen on val: the best mean val accuracy among the declared synthetic percents (never
       0, which is the baseline). The test split has no say in it.
    2. Its test accuracy is compared with the baseline's, paired by replicate; p is Holm-adjusted over all declared
       percents, so that it holds whichever of them val picks.
    3. Where the controls show that the setting cannot tell, that is the verdict, whatever was found.

    A replicate has a GAN of its own, which all its percents share. The t-test of one percent's differences asks
    nothing of how: they are independent between replicates. An analysis of variance with replicates as blocks
    pools its residual over the percents, so what they share drops out of it, and its intervals cover 82 % where GANs
    differ by a standard deviation of 1 point (`benchmarks/verdicts.py`).
    """
    comparisons, ceiling, placebo = (
        _compare(group, measured) for group in (measured.test, measured.ceiling, measured.placebo)
    )
    p_value_holm = adjust(comparisons)
    percent = choose_percent({percent: statistics.fmean(values) for percent, values in measured.val.items()})
    placebo_p_value = min(adjust(placebo).values(), default=None)
    verdict = verdict_of(comparisons[percent].difference, p_value_holm[percent], measured.margin)
    if (ceiling and not gaining(ceiling)) or finds_something(placebo_p_value):
        verdict = "cannot_tell"
    return Decision(comparisons, p_value_holm, percent, verdict, ceiling, placebo, placebo_p_value)


def _compare(group: Mapping[int, Sequence[float]], measured: Measurements) -> dict[int, PairedComparison]:
    """Every percent of `group` against the baseline of equal steps."""
    return {
        percent: paired_difference(values, measured.baselines[percent], measured.resolution)
        for percent, values in group.items()
    }


def adjust(comparisons: Mapping[int, PairedComparison]) -> dict[int, float]:
    """Holm-adjusted p-values by percent."""
    adjusted = holm([comparison.p_value for comparison in comparisons.values()])
    return dict(zip(comparisons, adjusted, strict=True))


def gaining(ceiling: Mapping[int, PairedComparison]) -> list[int]:
    """The percents at which fresh real images in the synthetic ones' place surely gain, after Holm's correction.

    At one of them a perfect generator would have been seen to help, and val would have led to it; where there is none,
    the setting can tell of no generator.
    """
    adjusted = adjust(ceiling)
    return [p for p, found in ceiling.items() if adjusted[p] < SIGNIFICANCE and found.difference.mean > 0]


def finds_something(placebo_p_value: float | None) -> bool:
    """Whether a placebo differs from the baseline, which a sound program lets happen in 1 of 100 ablations."""
    return placebo_p_value is not None and placebo_p_value < PLACEBO_SIGNIFICANCE


def verdict_of(difference: Interval, p_adjusted: float, margin: float) -> Verdict:
    """`helps` or `hurts` where p < 0.05, by the sign; `equivalent` where the interval lies within the margin.

    Where even the best choice costs accuracy it `hurts`.
    """
    if p_adjusted < SIGNIFICANCE and difference.mean:
        return "helps" if difference.mean > 0 else "hurts"
    within = -margin < difference.low and difference.high < margin
    return "equivalent" if within else "too_few_replicates"
