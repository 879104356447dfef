import math
from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from pipeline.evaluation.origin import words
from pipeline.evaluation.result import Optimism
from pipeline.evaluation.statistics import (
    Arms,
    Decision,
    Interval,
    Measurements,
    PairedComparison,
    Verdict,
    choose_percent,
    compare_selected,
    cross_fitted,
    decide,
    finds_something,
    holm,
    mean_interval,
    paired_difference,
    std,
    verdict_of,
)
from pipeline.evaluation.wording import optimism_text, points, verdict_text

IMAGE = 1e-4  # one of 10,000 test images

accuracies = st.integers(0, 10_000).map(lambda count: count / 10_000)
samples = st.lists(accuracies, min_size=2, max_size=12)
pairs = st.lists(st.tuples(accuracies, accuracies), min_size=2, max_size=12)
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def columns(rows: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Accuracies with, and without synthetic images."""
    return [row[0] for row in rows], [row[1] for row in rows]


@given(samples)
def test_mean_interval_is_the_t_interval_of_scipy(values: list[float]) -> None:
    """Mean and 95 % interval are Student's; the standard deviation is at least one test image."""
    interval, deviation = mean_interval(values, IMAGE), std(values, IMAGE)
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), deviation / math.sqrt(len(values)))
    assert interval.mean == pytest.approx(np.mean(values))
    assert (interval.low, interval.high) == pytest.approx((low, high))
    assert deviation == pytest.approx(max(np.std(values, ddof=1), IMAGE))


@given(pairs)
def test_paired_difference_is_the_paired_t_test_of_scipy(rows: list[tuple[float, float]]) -> None:
    """Where differences vary by an image or more, p and interval are those of scipy.stats.ttest_rel."""
    after, before = columns(rows)
    assume(np.std(np.subtract(after, before), ddof=1) >= IMAGE)
    found, expected = paired_difference(after, before, IMAGE), stats.ttest_rel(after, before)
    assert found.p_value == pytest.approx(expected.pvalue, abs=1e-9)
    low, high = expected.confidence_interval(0.95)
    assert (found.difference.low, found.difference.high) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize("images", [0, 1, 2])
def test_replicates_that_agree_on_few_images_prove_nothing(images: int) -> None:
    """A gain of the same two, one or no (p = 1) of 400 test images at all three replicates is not significant."""
    before = [0.91, 0.9175, 0.925]
    gain = images / 400
    found = paired_difference([round(value + gain, 6) for value in before], before, 1 / 400)
    assert found.p_value == pytest.approx(stats.ttest_1samp([gain - 1 / 400, gain, gain + 1 / 400], 0).pvalue)
    assert found.p_value > 0.05
    assert (found.p_value == 1) == (images == 0)
    assert found.difference.low < 0 < found.difference.high


def test_replicates_that_agree_on_many_images_prove_a_lot() -> None:
    """A loss of the same 10 of 400 test images at all three replicates is significant."""
    assert paired_difference([0.9, 0.905, 0.91], [0.925, 0.93, 0.935], 1 / 400).p_value < 0.01


def test_rounding_of_cells_is_no_difference() -> None:
    """Differences of one image each that differ in the sixth decimal alone count as equal."""
    before, after = [0.952778, 0.955556, 0.958333], [0.955556, 0.958333, 0.961111]  # n / 360
    assert paired_difference(after, before, 1 / 360).p_value > 0.05


def test_holm_equals_hand_values() -> None:
    """0.01, 0.04, 0.03, 0.005 adjust to 0.03, 0.06, 0.06, 0.02 (worked by hand)."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.2]) == [0.2]
    assert holm([0.6, 0.7]) == [1.0, 1.0]


@given(p_values, st.randoms())
def test_holm_never_lowers_a_p_value_nor_changes_the_order(values: list[float], random: Random) -> None:
    """Adjusted p-values are at least the raw ones, at most 1 and m times the raw, sorted alike in any order given."""
    adjusted = holm(values)
    assert all(raw <= p <= min(1, len(values) * raw) for raw, p in zip(values, adjusted, strict=True))
    assert all(first <= second for first, second in pairwise(p for _, p in sorted(zip(values, adjusted, strict=True))))
    order = random.sample(range(len(values)), len(values))
    assert holm([values[row] for row in order]) == [adjusted[row] for row in order]


def test_best_percent_on_val_is_chosen_and_the_smaller_of_equals() -> None:
    """Ties go to the smaller share, in whatever order the grid names them."""
    assert choose_percent({100: 0.90, 50: 0.95, 25: 0.94}) == 50
    assert choose_percent({75: 0.95, 25: 0.95}) == 25


def test_a_verdict_is_what_p_and_the_interval_say() -> None:
    """Helps and hurts need an adjusted p below 0.05; else the interval lies within the margin, or nothing is known."""
    wide, narrow = Interval(0.01, -0.01, 0.03), Interval(-0.001, -0.004, 0.002)
    assert verdict_of(wide, 0.049, margin=0.005) == "helps"
    assert verdict_of(narrow, 0.049, margin=0.005) == "hurts"
    assert verdict_of(wide, 0.05, margin=0.005) == "too_few_replicates"
    assert verdict_of(narrow, 0.05, margin=0.005) == "equivalent"
    assert verdict_of(narrow, 0.05, margin=0.003) == "too_few_replicates"
    assert verdict_of(Interval(0.0, -0.001, 0.001), 0.0, margin=0.005) == "equivalent"


Gains = dict[int, list[float]]


def measurements(gains: Gains, ceiling: Gains | None = None, placebo: Gains | None = None) -> Measurements:
    """What replicates gained over their baseline of 90 %, by percent, on val and test alike."""
    test, fresh, copies = (
        {percent: (0.9 + np.array(gain)).tolist() for percent, gain in (group or {}).items()}
        for group in (gains, ceiling, placebo)
    )
    baselines = {percent: [0.9] * len(gain) for percent, gain in gains.items()}
    return Measurements(test, test, baselines, fresh, copies, resolution=1 / 1000, margin=0.005)


HELPS = [0.008, 0.009, 0.01]


def test_the_verdict_counts_the_percents() -> None:
    """What is significant alone (p 0.027) is no longer so among three percents (0.08)."""
    gains = {25: [0.006, 0.009, 0.011], 50: [0.001, -0.001, 0.0], 75: [0.0, 0.001, -0.002]}
    many = decide(measurements(gains))
    assert many.comparisons[25].p_value < 0.05 < many.p_value_holm[25]
    assert (many.chosen_percent, many.verdict) == (25, "too_few_replicates")
    assert decide(measurements({25: gains[25]})).verdict == "helps"


def test_val_chooses_and_test_judges() -> None:
    """The percent is the best on val, whatever test says of it."""
    measured = measurements({25: HELPS, 50: [-0.02, -0.021, -0.022]})
    decision = decide(replace(measured, val={25: [0.8] * 3, 50: [0.81] * 3}))
    assert (decision.chosen_percent, decision.verdict) == (50, "hurts")


def test_every_percent_has_its_own_baseline() -> None:
    """Where a share gets more steps, so does the baseline that it is compared with."""
    measured = measurements({25: HELPS, 50: HELPS})
    longer = replace(measured, baselines={25: [0.9] * 3, 50: [0.95] * 3})
    decision = decide(longer)
    assert decision.comparisons[25].difference.mean == pytest.approx(0.009)
    assert decision.comparisons[50].difference.mean == pytest.approx(-0.041)


@pytest.mark.parametrize(
    ("ceiling", "verdict"),
    [
        ({25: [0.02, 0.021, 0.022]}, "helps"),
        ({25: [0.02, -0.01, 0.02]}, "cannot_tell"),  # no sure gain
        ({25: [-0.02, -0.021, -0.022]}, "cannot_tell"),
        ({25: [0.0, 0.0, 0.0], 50: [0.02, 0.021, 0.022]}, "helps"),  # a perfect generator would have been seen there
        ({25: [0.0, 0.0, 0.0], 50: [0.019, 0.02, 0.026]}, "helps"),
        ({25: [0.0, 0.0, 0.0], 50: [0.015, 0.02, 0.035]}, "cannot_tell"),  # p 0.06, doubled by Holm
        ({}, "helps"),  # not run
    ],
)
def test_no_verdict_where_fresh_real_images_gain_nothing(ceiling: Gains, verdict: Verdict) -> None:
    """What helps is only said where the ceiling surely gains at one percent at least, if it was run."""
    decision = decide(measurements({25: HELPS, 50: [0.0, 0.0, 0.0]}, ceiling=ceiling))
    assert (decision.chosen_percent, decision.verdict) == (25, verdict)
    assert decision.ceiling.keys() == ceiling.keys()


@pytest.mark.parametrize(
    ("placebo", "verdict"),
    [
        ({25: [0.001, -0.001, 0.0]}, "helps"),
        ({25: [0.009, 0.01, 0.011]}, "cannot_tell"),  # p 0.003
        ({25: [0.009, 0.01, 0.011], 50: [0.0] * 3, 75: [0.0] * 3, 100: [0.0] * 3}, "helps"),  # 0.013 among four
        ({50: [0.02, 0.021, 0.022]}, "cannot_tell"),
    ],
)
def test_no_verdict_where_a_placebo_finds_something(placebo: Gains, verdict: Verdict) -> None:
    """A placebo with an adjusted p below 0.01, at whichever percent, forbids a verdict."""
    gains = {25: HELPS} | {percent: [0.0, 0.0, 0.0] for percent in (50, 75, 100)}
    decision = decide(measurements({percent: gains[percent] for percent in {25, *placebo}}, placebo=placebo))
    alarm = decision.placebo_p_value
    assert alarm == min(holm([comparison.p_value for comparison in decision.placebo.values()]))
    assert finds_something(alarm) == (verdict == "cannot_tell")
    assert decision.verdict == verdict
    assert decide(measurements({25: HELPS})).placebo_p_value is None


def decision(differences: list[float], verdict: Verdict, percent: int, p_adjusted: float) -> Decision:
    """What is known of a chosen percent among three."""
    compared = PairedComparison(mean_interval(differences, IMAGE), std(differences, IMAGE), p_adjusted / 3)
    percents = (25, 50, 100)
    adjusted = dict.fromkeys(percents, p_adjusted)
    return Decision(dict.fromkeys(percents, compared), adjusted, percent, verdict, {}, {}, None)


def test_sentence_carries_the_numbers() -> None:
    """The verdict's sentence names percent, difference, interval, adjusted p, comparisons and replicates."""
    known = decision([0.01, 0.012, 0.014], "helps", 50, 0.0123)
    assert verdict_text(known, "replace", words(()).each, removed=12.34, n=3) == (
        "Replacing real images by synthetic ones helps: at 50 % synthetic, the share chosen on val, test "
        "accuracy is 1.20 points above the real-only baseline, 12.3 % fewer errors (95 % interval "
        "+0.70 to +1.70 points, p = 0.012 after Holm's correction over 3 percents, n = 3 replicates, each "
        "with a GAN of its own)."
    )


def test_sentence_of_no_difference_takes_no_side() -> None:
    """A mean difference that prints as 0 is neither above nor below, and no errors are fewer."""
    known = decision([-0.01, 0.0, 0.01], "too_few_replicates", 25, 1.0)
    sentence = verdict_text(known, "add", words(()).each, removed=0.0, n=3)
    assert "test accuracy is that of the real-only baseline (95 % interval " in sentence


def test_points_has_no_signed_zero() -> None:
    """What rounds to nothing carries no sign."""
    assert [points(value) for value in (0.01234, -0.01, -0.00001, 0.0)] == ["+1.23", "-1.00", "0.00", "0.00"]


# ---- optimism --------------------------------------------------------------------------------------------------


def test_cross_fitting_has_its_hand_value() -> None:
    """Replicates 0 and 1 are judged at the percent that the others like best on val."""
    val = {25: [0.9, 0.5, 0.6], 50: [0.6, 0.6, 0.8]}
    gains = {25: [0.1, 0.2, 0.3], 50: [-0.1, -0.2, -0.3]}
    # without replicate 0: 50 is best (0.7 > 0.55); without 1: 25 (0.75 > 0.7); without 2: 25 (0.7 > 0.6)
    assert cross_fitted(val, gains) == [-0.1, 0.2, 0.3]


def test_cross_fitting_takes_the_optimism_out() -> None:
    """Over 1,000 grids without an effect the picked percent gains on test, the cross-fitted gain is none."""
    random = np.random.default_rng(0)
    naive: list[float] = []
    honest: list[float] = []
    for _ in range(1000):
        luck = random.normal(0.9, 0.01, (4, 3))  # of a network: val and test share it
        gains = dict(enumerate((luck[1:] - luck[0]).tolist()))
        val = dict(enumerate(luck[1:].tolist()))
        picked = choose_percent({row: float(np.mean(values)) for row, values in val.items()})
        naive.append(sum(gains[picked]) / 3)
        honest.append(float(np.mean(cross_fitted(val, gains))))
    error = np.std(honest) / math.sqrt(1000)
    assert np.mean(naive) > 0.003
    assert abs(np.mean(honest)) < 3 * error


def test_a_comparison_of_what_was_chosen_has_its_hand_value() -> None:
    """Val chooses 5 and `b`, on the whole and for every replicate; the larger p is theirs, and none if signs differ."""
    arms = Arms(val={5: [0.8] * 3, 9: [0.7] * 3}, test={5: [0.81, 0.83, 0.82], 9: [0.9] * 3})
    rivals = Arms(val={"a": [0.6] * 3, "b": [0.7] * 3}, test={"a": [0.9] * 3, "b": [0.8] * 3})
    found, alone = compare_selected(arms, rivals, IMAGE), paired_difference([0.81, 0.83, 0.82], [0.8] * 3, IMAGE)
    assert (found.difference, found.p_value) == (alone.difference, alone.p_value)
    assert found.cross_fitted == pytest.approx(0.02)
    unsure = Arms(val={"a": [0.7, 0.7, 0.1], "b": [0.4, 0.4, 0.6]}, test={"a": [0.9, 0.9, 0.9], "b": [0.7, 0.7, 0.7]})
    other = compare_selected(arms, unsure, IMAGE)  # `a` is best, or `b` without replicate 0 or 1
    assert other.difference.mean == pytest.approx(-0.08)
    assert other.cross_fitted == pytest.approx((0.11 + 0.13 - 0.08) / 3)
    assert other.p_value == 1


def test_one_percent_has_no_optimism() -> None:
    """Where there was nothing to choose, nothing is said."""
    optimism = Optimism(val_difference_mean=0.012, difference_cross_fitted=0.006, optimism_points=0.4)
    assert optimism_text(optimism, 0.01, percents=1) == ""
    assert "+0.40 points of optimism" in optimism_text(optimism, 0.01, percents=3)
