import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from pipeline.evaluation.effect import errors_removed
from pipeline.evaluation.power import (
    MOST_REPLICATES,
    detectable_effect,
    equivalence_p,
    measure_power,
    paired_power,
    plan_power,
    replicates_to_detect,
    std_interval,
)
from pipeline.evaluation.statistics import paired_difference
from pipeline.evaluation.wording import power_text

IMAGE = 1e-4

accuracies = st.integers(0, 10_000).map(lambda count: count / 10_000)
pairs = st.lists(st.tuples(accuracies, accuracies), min_size=2, max_size=8)


# ---- power -----------------------------------------------------------------------------------------------------


@given(st.floats(0.05, 5), st.integers(2, 200), st.floats(0.001, 0.2))
def test_power_is_that_of_the_noncentral_t(size: float, n: int, level: float) -> None:
    """Both tails of scipy's noncentral t beyond the critical value of the central one."""
    critical = stats.t.ppf(1 - level / 2, n - 1)
    noncentral = stats.nct(n - 1, size * math.sqrt(n))
    expected = noncentral.sf(critical) + np.nan_to_num(noncentral.cdf(-critical))  # nan where the tail vanishes
    assert paired_power(size * 0.003, 0.003, n, level) == pytest.approx(expected, abs=1e-6)


def test_power_is_the_share_of_simulated_experiments_that_detect() -> None:
    """20,000 simulated experiments of 6 pairs detect an effect of one standard deviation as often as promised."""
    differences = np.random.default_rng(0).normal(1.0, 1.0, (20_000, 6))
    p_values = stats.ttest_1samp(differences, 0, axis=1).pvalue
    assert (p_values < 0.05).mean() == pytest.approx(paired_power(1.0, 1.0, 6, 0.05), abs=0.01)


def test_replicates_have_their_textbook_value() -> None:
    """Half a standard deviation takes 34 pairs at 5 % and a power of 0.8 (Cohen 1988); no effect, more than any."""
    assert replicates_to_detect(0.5, 1.0, 0.05) == 34
    assert replicates_to_detect(0.0, 1.0, 0.05) == MOST_REPLICATES


@given(st.floats(0.05, 20), st.floats(0.005, 0.05))
def test_replicates_are_the_fewest_that_suffice(size: float, level: float) -> None:
    """So many replicates reach a power of 0.8, one fewer do not; the detectable effect at that number is no larger."""
    n = replicates_to_detect(size, 1.0, level)
    assert paired_power(size, 1.0, n, level) >= 0.8
    assert n == 2 or paired_power(size, 1.0, n - 1, level) < 0.8
    assert detectable_effect(1.0, n, level) <= size * 1.001


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_interval_of_a_standard_deviation_holds_it(n: int) -> None:
    """Of 4,000 drawn standard deviations, 95 % have the true one within their interval."""
    drawn = np.random.default_rng(0).normal(0, 2.0, (4000, n)).std(1, ddof=1)
    low, high = std_interval(1.0, n)
    held = (drawn * low <= 2.0) & (drawn * high >= 2.0)
    assert held.mean() == pytest.approx(0.95, abs=0.012)


def test_needed_replicates_have_the_interval_of_the_standard_deviation() -> None:
    """What 3 replicates say of the number that a margin takes is as uncertain as their standard deviation."""
    found = paired_difference([0.905, 0.912, 0.91], [0.905, 0.909, 0.908], IMAGE)
    power = measure_power(found, 3, 3, 0.5)
    assert power.replicates_for_margin_low < power.replicates_for_margin < power.replicates_for_margin_high
    likely = [replicates_to_detect(0.005, std, 0.05 / 3) for std in std_interval(found.std, 3)]
    assert [power.replicates_for_margin_low, power.replicates_for_margin_high] == likely


def test_a_plan_is_what_the_result_would_say() -> None:
    """Before any training, an assumed standard deviation gives the figures that a measured one does, in its unit."""
    found = paired_difference([0.905, 0.912, 0.91], [0.905, 0.909, 0.908], IMAGE)
    power, plan = measure_power(found, 3, 4, 0.5), plan_power(100 * found.std, 3, 4, 0.5)
    assert plan.replicates_for_margin == power.replicates_for_margin
    assert plan.detectable == pytest.approx(power.detectable_points, rel=1e-3)
    assert plan.power_at_margin == pytest.approx(paired_power(0.005, found.std, 3, 0.05 / 4))


# ---- equivalence -----------------------------------------------------------------------------------------------


@given(pairs, st.floats(0.001, 1))
def test_equivalence_is_the_interval_within_the_margin(rows: list[tuple[float, float]], margin: float) -> None:
    """Two one-sided tests at 2.5 % agree with the eye on the 95 % interval."""
    found = paired_difference([row[0] for row in rows], [row[1] for row in rows], IMAGE)
    assume(min(abs(abs(end) - margin) for end in (found.difference.low, found.difference.high)) > 1e-9)
    within = -margin < found.difference.low and found.difference.high < margin
    assert (equivalence_p(found, len(rows), margin) < 0.025) == within


def test_equivalence_equals_the_two_one_sided_tests_of_scipy() -> None:
    """The larger p of both sides is the answer."""
    differences = np.array([0.002, -0.001, 0.003, 0.001, -0.002])
    found = paired_difference((0.9 + differences).tolist(), [0.9] * 5, IMAGE)
    sides = (
        stats.ttest_1samp(differences, -0.005, alternative="greater").pvalue,
        stats.ttest_1samp(differences, 0.005, alternative="less").pvalue,
    )
    assert equivalence_p(found, 5, 0.005) == pytest.approx(max(sides), rel=1e-6)


def test_a_null_result_says_what_it_rules_out() -> None:
    """Wide intervals rule nothing out, narrow ones are as good as equal, and both name the replicates it takes."""
    wide = paired_difference([0.9, 0.92, 0.91], [0.91, 0.9, 0.92], 1 / 400)
    narrow = paired_difference([0.9, 0.91, 0.92], [0.9, 0.91, 0.92], 1e-4)
    texts = [power_text("too_few_replicates", 3, measure_power(found, 3, 3, 0.5)) for found in (wide, narrow)]
    needed = replicates_to_detect(0.005, wide.std, 0.05 / 3)
    assert texts[0].startswith("The interval reaches beyond 0.5 points, so a difference that matters is not ruled out.")
    assert f"to detect 0.5 points takes {needed} replicates at this standard deviation" in texts[0]
    assert texts[1].startswith("The interval lies within 0.5 points of 0: as good as equal.")


def test_a_detected_trifle_is_called_one() -> None:
    """A significant effect within the margin is said to be too small to matter, a larger one is not."""
    base = [0.9, 0.91, 0.92, 0.93]
    small, large = (paired_difference([value + gain for value in base], base, 1e-4) for gain in (0.001, 0.02))
    assert "surely less than 0.5 points" in power_text("helps", 4, measure_power(small, 4, 3, 0.5))
    assert power_text("helps", 4, measure_power(large, 4, 3, 0.5)) == ""


# ---- errors removed --------------------------------------------------------------------------------------------


def test_errors_removed_have_their_hand_value() -> None:
    """From 90 % to 92 %, a fifth of the errors is gone; a loss of as much adds a fifth."""
    base = [0.9, 0.9, 0.9]
    assert errors_removed([0.92] * 3, base, IMAGE).percent == pytest.approx(20)
    assert errors_removed([0.88] * 3, base, IMAGE).percent == pytest.approx(-20)


@given(pairs)
def test_ends_of_errors_removed_are_just_significant(rows: list[tuple[float, float]]) -> None:
    """Fieller's interval: at either end, the paired t-test of gain - r * error has p = 0.05."""
    gains, errors = np.array([row[0] - row[1] for row in rows]), np.array([1 - row[1] for row in rows])
    assume(np.std(gains, ddof=1) >= IMAGE)
    found = errors_removed([row[0] for row in rows], [row[1] for row in rows], IMAGE)
    assume(found.low is not None)
    for end in (found.low, found.high):
        assert end is not None
        rest = gains - end / 100 * errors
        assume(np.std(rest) > 1e-9)
        assert stats.ttest_1samp(rest, 0).pvalue == pytest.approx(0.05, abs=1e-4)


@given(pairs)
def test_errors_removed_and_points_agree_on_zero(rows: list[tuple[float, float]]) -> None:
    """The interval in errors leaves 0 out exactly where the interval in points does."""
    after, before = [row[0] for row in rows], [row[1] for row in rows]
    found, points = errors_removed(after, before, IMAGE), paired_difference(after, before, IMAGE).difference
    assume(found.low is not None)
    assume(min(abs(points.low), abs(points.high)) > 1e-7)
    assert found.low is not None
    assert found.high is not None
    assert (found.low <= 0 <= found.high) == (points.low <= 0 <= points.high)


def test_a_faultless_baseline_has_no_errors_to_remove() -> None:
    """No errors, or too few to tell from none, give no number instead of an absurd one."""
    assert errors_removed([0.9, 1.0], [1.0, 1.0], IMAGE).percent is None
    rare = errors_removed([1.0, 1.0, 1.0], [1.0, 0.9999, 1.0], IMAGE)
    assert rare.percent == pytest.approx(100)
    assert rare.low is rare.high is None
