import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.power_law import fit_power_laws
from pipeline.evaluation.real_equivalent import (
    Measured,
    bootstrap_interval,
    fit_law,
    measure,
    read_curve,
    real_equivalent,
)

SIZES = [250, 500, 1000, 2000]
IMAGE = 1e-4


def law(size: float, scale: float = 3.0, exponent: float = 0.5, floor: float = 0.02) -> float:
    """Accuracy on a power law."""
    return 1.0 - (scale * float(size**-exponent) + floor)


def measured_at(target_size: float, seeds: int = 5, noise: float = 0.0, draw: int = 0) -> Measured:
    """A curve on the law and a target that equals `target_size` images; seeds share half of their noise."""
    random = np.random.default_rng(draw)
    shared = random.normal(0, noise, seeds)
    rows = [law(size) + shared + random.normal(0, noise, seeds) for size in (*SIZES, target_size)]
    return measure(SIZES, [list(row) for row in rows[:-1]], list(rows[-1]), IMAGE)


# ---- the law ---------------------------------------------------------------------------------------------------


@given(st.floats(0.1, 1.5), st.floats(0, 0.2), st.floats(0.02, 0.4))
def test_a_planted_law_is_found(exponent: float, floor: float, first: float) -> None:
    """On exact points the fitted law goes through all of them and between them."""
    sizes = np.array(SIZES, np.float64)
    scale = first * 250**exponent
    found = fit_power_laws(sizes, (scale * sizes**-exponent + floor)[None])
    between = np.geomspace(250, 2000, 9)
    assert found.errors(between)[0] == pytest.approx(scale * between**-exponent + floor, abs=1e-4)
    assert found.floor[0] >= 0


@given(st.lists(st.floats(0, 1), min_size=4, max_size=6))
def test_any_points_give_a_law_that_never_rises_with_an_error_of_its_own(errors: list[float]) -> None:
    """Whatever the points: no negative floor, no rise, and no level line fits better."""
    sizes = np.geomspace(100, 3200, len(errors))
    found = fit_power_laws(sizes, np.array([errors]))
    fitted = found.errors(sizes)[0]
    assert found.floor[0] >= 0
    assert np.all(np.diff(fitted) <= 1e-12)
    assert ((fitted - errors) ** 2).sum() <= ((np.mean(errors) - np.array(errors)) ** 2).sum() + 1e-9


def test_rows_are_fitted_each_for_itself() -> None:
    """A thousand curves at once give what each gives alone."""
    sizes, random = np.array(SIZES, np.float64), np.random.default_rng(0)
    errors = np.sort(random.random((20, 4)))[:, ::-1]
    together, alone = fit_power_laws(sizes, errors), [fit_power_laws(sizes, row[None]) for row in errors]
    assert together.exponent == pytest.approx([one.exponent[0] for one in alone])


# ---- the equivalent ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [300, 700, 1000, 1900])
def test_the_planted_size_is_read(size: int) -> None:
    """A target on the planted curve equals its size, and the interval closes on it without noise."""
    entry = real_equivalent(50, 1000, measured_at(size), detectable=True)
    assert entry.method == "power_law"
    assert entry.num_real_equivalent == pytest.approx(size, rel=0.01)
    assert entry.num_real_extra == pytest.approx(size - 1000, abs=0.01 * size)
    for end in (entry.num_real_low, entry.num_real_high):
        assert end == pytest.approx(size, rel=0.01)
    assert not entry.extrapolated


@pytest.mark.parametrize("seeds", [3, 5])
def test_the_interval_covers_the_truth(seeds: int) -> None:
    """Over 40 noisy experiments the 95 % interval holds the planted size in at least 90 %."""
    held = 0
    for draw in range(40):
        measured = measured_at(900, seeds, noise=0.004, draw=draw)
        low, high = bootstrap_interval(measured, fit_law(measured)[0])
        held += (low.num_real <= 900 or low.bound == "fewer_than") and (
            high.num_real >= 900 or high.bound == "more_than"
        )
    assert held >= 36


def test_the_interval_is_a_function_of_its_inputs() -> None:
    """The bootstrap draws the same every time, and its interval holds the reading."""
    measured = measured_at(900, 3, noise=0.004)
    fitted = fit_law(measured)[0]
    low, high = bootstrap_interval(measured, fitted)
    assert (low, high) == bootstrap_interval(measured, fitted)
    assert low.num_real < read_curve(measured, fitted).num_real < high.num_real


def test_what_seeds_share_cancels() -> None:
    """Luck that a seed brings to every cell, at every size, hardly widens the interval; a cell's own does."""
    random = np.random.default_rng(1)
    level = random.normal(0, 0.01, 5)
    rows = [law(size) + level for size in (*SIZES, 900)]
    own = [law(size) + random.normal(0, 0.01, 5) for size in (*SIZES, 900)]
    widths = []
    for values in (rows, own):
        measured = measure(SIZES, [list(row) for row in values[:-1]], list(values[-1]), IMAGE)
        low, high = bootstrap_interval(measured, fit_law(measured)[0])
        widths.append(high.num_real - low.num_real)
    assert widths[0] < widths[1] / 2


def test_few_sizes_and_strange_curves_fall_back_with_a_reason() -> None:
    """Three sizes, a falling curve, or points that no power law meets are joined by lines, and the reason is given."""
    three = measure(SIZES[:3], [[law(n)] * 3 for n in SIZES[:3]], [law(700)] * 3, IMAGE)
    falling = measure(SIZES, [[0.9 - n / 1e5] * 3 for n in SIZES], [0.89] * 3, IMAGE)
    jump = measure(SIZES, [[0.5] * 3, [0.51] * 3, [0.9] * 3, [0.91] * 3], [0.7] * 3, IMAGE)
    reasons = [fit_law(one)[1] for one in (three, falling, jump)]
    assert [fit_law(one)[0] for one in (three, falling, jump)] == [None] * 3
    assert reasons[0] == "a power law needs 4 sizes (ablation.real_percent), not 3"
    assert reasons[1].startswith("more real images did not help")
    assert reasons[2].startswith("the power law misses the interval measured at")
    entry = real_equivalent(50, 1000, three, detectable=True)
    assert (entry.method, entry.law) == ("isotonic", None)
    assert entry.num_real_equivalent == pytest.approx(700, rel=0.05)  # lines cut the corners of a curve


def test_beyond_the_curve_there_are_bounds_and_the_law_apart() -> None:
    """Outside the measured sizes the figure is the end, flagged; what the law would say stands under its own key."""
    above, below = (real_equivalent(50, 1000, measured_at(size), detectable=True) for size in (3000, 100))
    assert (above.num_real_equivalent, above.bound, above.extrapolated) == (2000, "more_than", True)
    assert (above.high_bound, above.num_real_high) == ("more_than", 2000)
    assert above.num_real_law == pytest.approx(3000, rel=0.02)
    assert (below.num_real_equivalent, below.bound) == (250, "fewer_than")
    assert real_equivalent(50, 1000, measured_at(1500), detectable=True).num_real_law is None


@given(st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=2), min_size=4, max_size=4), st.floats(0, 1))
def test_what_was_measured_is_not_beyond_the_curve(curve: list[list[float]], share: float) -> None:
    """An accuracy that real images alone reached is never reported as more (or less) than they reached."""
    means = [sum(row) / 2 for row in curve]
    target = min(means) + share * (max(means) - min(means))
    measured = measure(SIZES, curve, [target, target], IMAGE)
    assert not read_curve(measured, fit_law(measured)[0]).extrapolated


# ---- words -----------------------------------------------------------------------------------------------------


def test_extra_images_are_those_beyond_the_seen() -> None:
    """Extra images are the equivalent number less the real images that the classifiers saw themselves."""
    entry = real_equivalent(50, 1000, measured_at(1500), detectable=True)
    assert math.isclose(entry.num_real_extra, 500, abs_tol=5)
    assert "extra real images." in entry.text
    assert "these classifiers saw 1,000" in entry.text


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (4000, "it equals more than 2,000 real images, the most tried and 1,000 more than the 1,000 that"),
        (100, "fewer than 250 real images"),
        (500, "real images lost"),
    ],
)
def test_the_sentence_never_invents_a_figure(size: int, words: str) -> None:
    """Bounds are given as bounds, a loss as a loss."""
    assert words in real_equivalent(50, 1000, measured_at(size), detectable=True).text


def test_the_equivalent_of_noise_is_called_noise() -> None:
    """Where the verdict found no difference, the figure says that it is noise too."""
    assert "within noise" in real_equivalent(50, 1000, measured_at(1010), detectable=False).text
