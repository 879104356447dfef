"""Means, intervals, paired comparisons and the verdict. Accuracies are fractions, texts speak in points."""

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

SUBJECTS = {"add": "Adding synthetic images", "replace": "Replacing real images by synthetic ones"}
PREDICATES: dict[Verdict, str] = {
    "helps": "helps",
    "no_difference": "makes no detectable difference",
    "hurts": "hurts",
}


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % t-interval, in the unit of the values."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Mean of the paired differences, its 95 % interval, their spread, and the two-sided p that the mean is 0."""

    difference: Interval
    spread: float
    p_value: float


def mean_interval(values: Sequence[float], resolution: float) -> Interval:
    """Mean with the 95 % t-interval on len(values) - 1 degrees of freedom; `resolution` as in `spread`."""
    mean = statistics.fmean(values)
    margin = quantile(len(values)) * spread(values, resolution) / sqrt(len(values))
    return Interval(mean, mean - margin, mean + margin)


def quantile(n: int) -> float:
    """Student's quantile of a 95 % interval for the mean of `n` values."""
    return float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))


def paired_difference(values: Sequence[float], baseline: Sequence[float], resolution: float) -> Comparison:
    """Interval and p of the paired t-test of `values` against `baseline`, seed by seed (same order).

    All differences 0 gives p = 1; `resolution` as in `spread`.
    """
    differences = [value - other for value, other in zip(values, baseline, strict=True)]
    if max(map(abs, differences)) <= SAME:
        differences = [0.0] * len(differences)
    interval, deviation = mean_interval(differences, resolution), spread(differences, resolution)
    t = interval.mean / (deviation / sqrt(len(differences)))
    return Comparison(interval, deviation, 2 * float(stdtr(len(differences) - 1, -abs(t))))


def spread(values: Sequence[float], resolution: float) -> float:
    """Standard deviation (n - 1), but at least `resolution`, one test image.

    Accuracies are whole counts over the test images, so that on a small test set a few seeds agree to the
    image by chance. A standard deviation of 0 would make three seeds that gain one image each a certainty
    (p = 0); the test set cannot tell spreads below one image, so one image it is.
    """
    assert len(values) >= 2, "one value has no spread"
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


def optimism_sentence(on_val: float, on_test: float, honest: float, percents: int) -> str:
    """What the choice of the best percent flatters the result by; empty where there was none to choose."""
    if percents == 1:
        return ""
    return (
        f"The share was chosen on val, where it lies {points(on_val)} points from the baseline, and judged on test: "
        f"{points(on_test)}. The best of {percents} shares flatters itself: chosen anew for each seed without that "
        f"seed, it comes to {points(honest)} on test: {points(on_test - honest)} points of optimism."
    )


def judge(difference: float, p_adjusted: float) -> Verdict:
    """The verdict on the percent that a user would take.

    1. The percent is chosen on val: the best mean val accuracy among the declared synthetic percents (never
       0, which is the baseline). The test split has no say in it.
    2. Its test accuracy is compared with the baseline's, paired by seed; p is Holm-adjusted over all declared
       percents, so that it holds whichever of them val picks.
    3. `helps` if p < 0.05 and the difference is above 0; `hurts` if p < 0.05 and it is below 0: even the best
       choice costs accuracy; else `no_difference`, which means none was detected with these seeds.
    """
    if p_adjusted >= SIGNIFICANCE or difference == 0:
        return "no_difference"
    return "helps" if difference > 0 else "hurts"


def headline(verdict: Verdict, mode: str) -> str:
    """The verdict in a few words, such as 'Adding synthetic images helps'."""
    return f"{SUBJECTS[mode]} {PREDICATES[verdict]}"


def verdict_sentence(
    verdict: Verdict,
    mode: str,
    percent: int,
    difference: Interval,
    p_adjusted: float,
    *,
    removed: float | None,
    percents: int,
    seeds: int,
) -> str:
    """The verdict in one sentence with its numbers; accuracies in points of 1 %, `removed` in % of the errors."""
    return (
        f"{headline(verdict, mode)}: at {percent} % synthetic, the share chosen on val, test accuracy is "
        f"{_against_baseline(difference.mean, removed)} "
        f"(95 % interval {points(difference.low)} to {points(difference.high)} points, "
        f"{p_text(p_adjusted)} after Holm's correction over {percents} percent{'s' * (percents > 1)}, "
        f"n = {seeds} seeds)."
    )


def _against_baseline(difference: float, removed: float | None) -> str:
    """Such as '1.20 points above the real-only baseline, 12.3 % fewer errors'; what rounds to 0 has no side."""
    if points(difference) == "0.00":
        return "that of the real-only baseline"
    side = "above" if difference > 0 else "below"
    errors = "" if removed is None else f", {abs(removed):.1f} % {'fewer' if removed >= 0 else 'more'} errors"
    return f"{abs(100 * difference):.2f} points {side} the real-only baseline{errors}"


def points(fraction: float) -> str:
    """A difference of accuracies in points, with its sign: 0.0123 is +1.23; what rounds to 0 has none."""
    text = f"{100 * fraction:+.2f}"
    return text[1:] if float(text) == 0 else text


def p_text(p_value: float) -> str:
    """A p-value as people write it: 'p = 0.012', 'p < 0.001'."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
