import math
from collections.abc import Iterator
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from pipeline.classifier.record import CellRecord
from pipeline.evaluation.ablation import compare_cells
from pipeline.evaluation.result import Optimism
from pipeline.evaluation.statistics import (
    Decision,
    PairedComparison,
    Verdict,
    choose_percent,
    cross_fitted,
    decide,
    holm,
    mean_interval,
    paired_difference,
    std,
    verdict_of,
)
from pipeline.evaluation.wording import optimism_text, points, verdict_text
from tests.evaluation_inputs import CLASSES, FIDELITY, make_cell, make_params

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
def test_seeds_that_agree_on_few_images_prove_nothing(images: int) -> None:
    """A gain of the same two, one or no (p = 1) of 400 test images at all three seeds is not significant."""
    before = [0.91, 0.9175, 0.925]
    gain = images / 400
    found = paired_difference([round(value + gain, 6) for value in before], before, 1 / 400)
    assert found.p_value == pytest.approx(stats.ttest_1samp([gain - 1 / 400, gain, gain + 1 / 400], 0).pvalue)
    assert found.p_value > 0.05
    assert (found.p_value == 1) == (images == 0)
    assert found.difference.low < 0 < found.difference.high


def test_seeds_that_agree_on_many_images_prove_a_lot() -> None:
    """A loss of the same 10 of 400 test images at all three seeds is significant."""
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


def test_verdict_needs_significance_and_sign() -> None:
    """Helps and hurts need an adjusted p below 0.05; the sign says which."""
    assert verdict_of(0.01, 0.049) == "helps"
    assert verdict_of(-0.01, 0.049) == "hurts"
    assert verdict_of(0.01, 0.05) == "no_difference"
    assert verdict_of(-0.01, 0.3) == "no_difference"


Grid = tuple[dict[int, list[float]], dict[int, list[float]], list[float]]  # val and test by percent; the baseline


def draw_grids(gain: float, draws: int, seeds: int = 3) -> Iterator[Grid]:
    """Accuracies of three percents with the true `gain`, and of the baseline, on 1,000 test images each.

    Val and test of one classifier share its luck, so that a choice on val has every chance to cheat; equal seeds
    share some, which pairing takes out.
    """
    random = np.random.default_rng(0)
    for _ in range(draws):
        luck = random.normal(0.9, 0.007, (4, seeds)) + random.normal(0, 0.007, seeds)
        luck += np.array([[0.0], [gain], [gain], [gain]])
        test, val = ((random.binomial(1000, luck.clip(0, 1)) / 1000).tolist() for _ in range(2))
        percents = (25, 50, 75)
        yield dict(zip(percents, val[1:], strict=True)), dict(zip(percents, test[1:], strict=True)), test[0]


def verdicts(gain: float, draws: int, seeds: int = 3) -> list[Verdict]:
    """The verdict on each of the drawn grids."""
    return [decide(*grid, resolution=1 / 1000).verdict for grid in draw_grids(gain, draws, seeds)]


def test_no_effect_is_seldom_called_help_or_harm() -> None:
    """Without an effect at most 5 % of 1,000 grids say helps, and as few say hurts."""
    found = verdicts(0.0, 1000)
    assert found.count("helps") <= 50
    assert found.count("hurts") <= 50


def test_planted_effects_are_found() -> None:
    """A gain of 4 points is found in most grids with 5 seeds, and so is a loss."""
    assert verdicts(0.04, 100, seeds=5).count("helps") >= 80
    assert verdicts(-0.04, 100, seeds=5).count("hurts") >= 80


@pytest.mark.parametrize("gain", [0.0, 0.04])
def test_evaluate_reports_the_verdict_that_was_simulated(gain: float) -> None:
    """Of 10 grids, the whole of `evaluate` says what `decide` says, about the same percent."""
    choices = ["ablation.seeds=[0,1,2]", "ablation.real_percent=[100]", "dataset.test_size=1000"]
    params = make_params(*choices, "ablation.synthetic_percent=[25,50,75]")

    def cells(percent: int, val: list[float], test: list[float]) -> list[CellRecord]:
        kind = "synthetic_percent" if percent < 100 else "real_percent"
        made = [make_cell(params, 0.9, CLASSES, seed=seed, **{kind: percent}) for seed in range(3)]
        accuracies = [{"val_accuracy": v, "test_accuracy": t} for v, t in zip(val, test, strict=True)]
        return [cell.model_copy(update=values) for cell, values in zip(made, accuracies, strict=True)]

    for val, test, baseline in draw_grids(gain, draws=10):
        mixed = {percent: cells(percent, val[percent], test[percent]) for percent in val}
        result = compare_cells(params, {100: cells(100, baseline, baseline)}, mixed, FIDELITY)
        decision = decide(val, test, baseline, 1 / 1000)
        assert (result.verdict, result.chosen_percent) == (decision.verdict, decision.chosen_percent)


def test_the_verdict_counts_the_percents() -> None:
    """What is significant alone (p 0.027) is no longer so among three percents (0.08)."""
    base, gains = [0.9, 0.9, 0.9], ([0.006, 0.009, 0.011], [0.001, -0.001, 0.0], [0.0, 0.001, -0.002])
    test = {percent: np.add(base, gain).tolist() for percent, gain in zip((25, 50, 75), gains, strict=True)}
    many = decide(test, test, base, 1 / 1000)
    assert many.comparisons[25].p_value < 0.05 < many.p_value_holm[25]
    assert (many.chosen_percent, many.verdict) == (25, "no_difference")
    assert decide({25: test[25]}, {25: test[25]}, base, 1 / 1000).verdict == "helps"


def decision(differences: list[float], verdict: Verdict, percent: int, p_adjusted: float) -> Decision:
    """What is known of a chosen percent among three."""
    compared = PairedComparison(mean_interval(differences, IMAGE), std(differences, IMAGE), p_adjusted / 3)
    percents = (25, 50, 100)
    return Decision(dict.fromkeys(percents, compared), dict.fromkeys(percents, p_adjusted), percent, verdict)


def test_sentence_carries_the_numbers() -> None:
    """The verdict's sentence names percent, difference, interval, adjusted p, comparisons and seeds."""
    known = decision([0.01, 0.012, 0.014], "helps", 50, 0.0123)
    assert verdict_text(known, "replace", removed=12.34, seeds=3) == (
        "Replacing real images by synthetic ones helps: at 50 % synthetic, the share chosen on val, test "
        "accuracy is 1.20 points above the real-only baseline, 12.3 % fewer errors (95 % interval "
        "+0.70 to +1.70 points, p = 0.012 after Holm's correction over 3 percents, n = 3 seeds)."
    )


def test_sentence_of_no_difference_takes_no_side() -> None:
    """A mean difference that prints as 0 is neither above nor below, and no errors are fewer."""
    sentence = verdict_text(decision([-0.01, 0.0, 0.01], "no_difference", 25, 1.0), "add", removed=0.0, seeds=3)
    assert "test accuracy is that of the real-only baseline (95 % interval " in sentence


def test_points_has_no_signed_zero() -> None:
    """What rounds to nothing carries no sign."""
    assert [points(value) for value in (0.01234, -0.01, -0.00001, 0.0)] == ["+1.23", "-1.00", "0.00", "0.00"]


# ---- optimism --------------------------------------------------------------------------------------------------


def test_cross_fitting_has_its_hand_value() -> None:
    """Seeds 0 and 1 are judged at the percent that the others like best on val."""
    val = {25: [0.9, 0.5, 0.6], 50: [0.6, 0.6, 0.8]}
    gains = {25: [0.1, 0.2, 0.3], 50: [-0.1, -0.2, -0.3]}
    # without seed 0: 50 is best (0.7 > 0.55); without 1: 25 (0.75 > 0.7); without 2: 25 (0.7 > 0.6)
    assert cross_fitted(val, gains) == pytest.approx((-0.1 + 0.2 + 0.3) / 3)


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
        honest.append(cross_fitted(val, gains))
    error = np.std(honest) / math.sqrt(1000)
    assert np.mean(naive) > 0.003
    assert abs(np.mean(honest)) < 3 * error


def test_one_percent_has_no_optimism() -> None:
    """Where there was nothing to choose, nothing is said."""
    optimism = Optimism(val_difference_mean=0.012, difference_cross_fitted=0.006, optimism_points=0.4)
    assert optimism_text(optimism, 0.01, percents=1) == ""
    assert "+0.40 points of optimism" in optimism_text(optimism, 0.01, percents=3)
