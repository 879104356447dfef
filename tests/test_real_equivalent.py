import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.power_law import fit_power_law, law_errors, law_num_real
from pipeline.evaluation.real_equivalent import (
    Measured,
    fit_law,
    measure,
    read_interval,
    real_equivalent,
)

SIZES = [250, 500, 1000, 2000]
IMAGE = 1e-4


def law(size: float, scale: float = 3.0, exponent: float = 0.5, floor: float = 0.02) -> float:
    """Accuracy on a power law."""
    return 1.0 - (scale * float(size**-exponent) + floor)


def measured_at(target_size: float, n: int = 5) -> Measured:
    """A curve on the law and a target that equals `target_size` images, without noise."""
    rows = [[law(size)] * n for size in (*SIZES, target_size)]
    return measure(SIZES, rows[:-1], rows[-1], IMAGE)


# ---- the law ---------------------------------------------------------------------------------------------------


@given(st.floats(0.1, 1.5), st.floats(0, 0.2), st.floats(0.02, 0.4))
def test_a_planted_law_is_found(exponent: float, floor: float, first: float) -> None:
    """On exact points the fitted law goes through all of them and between them, and back to the size."""
    sizes = np.array(SIZES, np.float64)
    scale = first * 250**exponent
    found = fit_power_law(sizes, scale * sizes**-exponent + floor)
    between = np.geomspace(250, 2000, 9)
    assert law_errors(found, between) == pytest.approx(scale * between**-exponent + floor, abs=1e-4)
    assert law_num_real(found, float(law_errors(found, between)[4])) == pytest.approx(between[4])
    assert law_num_real(found, found.floor) == math.inf
    assert found.floor >= 0


@given(st.lists(st.floats(0, 1), min_size=4, max_size=6))
def test_any_points_give_a_law_that_never_rises_with_an_error_of_its_own(errors: list[float]) -> None:
    """Whatever the points: no negative floor, no rise, and no level line fits better."""
    sizes = np.geomspace(100, 3200, len(errors))
    found = fit_power_law(sizes, np.array(errors))
    fitted = law_errors(found, sizes)
    assert found.floor >= 0
    assert np.all(np.diff(fitted) <= 1e-12)
    assert ((fitted - errors) ** 2).sum() <= ((np.mean(errors) - np.array(errors)) ** 2).sum() + 1e-9


# ---- the equivalent ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [500, 1000])
def test_the_planted_size_is_read(size: int) -> None:
    """A target at a measured size equals it, and the interval closes on it without noise."""
    entry = real_equivalent(50, 1000, measured_at(size), detectable=True)
    assert (entry.method, entry.law, entry.num_real_law) == ("isotonic", None, None)
    assert entry.num_real_equivalent == size
    assert entry.num_real_extra == size - 1000
    for end in (entry.num_real_low, entry.num_real_high):
        assert end == pytest.approx(size, rel=0.005)
    assert not entry.extrapolated


# A measured curve that is flat at its end, and a law that nearly goes through it
MEASURED = {2500: 0.7424, 5000: 0.7771, 10000: 0.7916, 20000: 0.7933}


def by_lines(size: float) -> float:
    """On lines in log(num_real) between the measured points."""
    return float(np.interp(math.log(size), np.log(list(MEASURED)), list(MEASURED.values())))


def by_law(size: float) -> float:
    """On a law whose course between the sizes lies above the lines."""
    return law(size, scale=9432, exponent=1.5423, floor=0.2035)


def holds(measured: Measured, size: float) -> bool:
    """Whether the interval holds a size; a bound holds what lies beyond it."""
    low, high = read_interval(measured)
    return (low.num_real <= size or low.bound == "fewer_than") and (high.num_real >= size or high.bound == "more_than")


@pytest.mark.parametrize("course", [by_lines, by_law])
@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("size", [4500, 7000])
def test_the_interval_holds_the_truth(course: Callable[[float], float], n: int, size: int) -> None:
    """Of 300 noisy experiments, the 95 % interval holds the planted size in at least 92 %, whatever the course."""
    random, held = np.random.default_rng(0), 0
    for _ in range(300):
        shared = random.normal(0, 0.003, n)
        rows = [(course(at) + shared + random.normal(0, 0.002, n)).tolist() for at in (*MEASURED, size)]
        held += holds(measure(list(MEASURED), rows[:-1], rows[-1], IMAGE), size)
    assert held >= 276


def test_what_replicates_share_cancels() -> None:
    """Luck that a replicate brings to every cell, at every size, hardly widens the interval; a cell's own does."""
    random = np.random.default_rng(1)
    level = random.normal(0, 0.01, 5)
    rows = [law(size) + level for size in (*SIZES, 900)]
    own = [law(size) + random.normal(0, 0.01, 5) for size in (*SIZES, 900)]
    widths = []
    for values in (rows, own):
        measured = measure(SIZES, [list(row) for row in values[:-1]], list(values[-1]), IMAGE)
        low, high = read_interval(measured)
        widths.append(high.num_real - low.num_real)
    assert widths[0] < widths[1] / 2


def test_few_sizes_and_strange_curves_have_no_law_and_say_why() -> None:
    """Three sizes, a falling curve, or points that no power law meets: nothing is extrapolated, with a reason."""
    three = measure(SIZES[:3], [[law(n)] * 3 for n in SIZES[:3]], [law(4000)] * 3, IMAGE)
    falling = measure(SIZES, [[0.9 - n / 1e5] * 3 for n in SIZES], [0.95] * 3, IMAGE)
    jump = measure(SIZES, [[0.5] * 3, [0.51] * 3, [0.9] * 3, [0.91] * 3], [0.92] * 3, IMAGE)
    reasons = [fit_law(one)[1] for one in (three, falling, jump)]
    assert [fit_law(one)[0] for one in (three, falling, jump)] == [None] * 3
    assert reasons[0] == "a power law needs 4 sizes (ablation.real_percent), not 3"
    assert reasons[1].startswith("more real images did not help")
    assert reasons[2].startswith("the power law misses the interval measured at")
    entry = real_equivalent(50, 1000, three, detectable=True)
    assert (entry.bound, entry.law, entry.num_real_law, entry.method_reason) == ("more_than", None, None, reasons[0])


def test_beyond_the_curve_there_are_bounds_and_the_law_apart() -> None:
    """Outside the measured sizes the figure is the end, flagged; what the law would say stands under its own key."""
    above, below = (real_equivalent(50, 1000, measured_at(size), detectable=True) for size in (3000, 100))
    assert (above.num_real_equivalent, above.bound, above.extrapolated) == (2000, "more_than", True)
    assert (above.high_bound, above.num_real_high) == ("more_than", 2000)
    assert (above.low_bound, above.num_real_low) == ("more_than", 2000)
    assert above.num_real_law == pytest.approx(3000, rel=0.02)
    assert above.law is not None
    assert (below.num_real_equivalent, below.bound) == (250, "fewer_than")
    assert real_equivalent(50, 1000, measured_at(1500), detectable=True).num_real_law is None


def test_an_interval_that_reaches_the_rim_ends_in_a_bound() -> None:
    """Where the last size cannot be told from the target, more images than were tried may be meant."""
    curve = [[law(n) + step for step in (-0.01, 0, 0.01)] for n in SIZES]
    low, high = read_interval(measure(SIZES, curve, [law(1900)] * 3, IMAGE))
    assert (high.num_real, high.bound) == (2000, "more_than")
    assert low.num_real < 1900


@given(st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=2), min_size=4, max_size=4), st.floats(0, 1))
def test_what_was_measured_is_not_beyond_the_curve(curve: list[list[float]], share: float) -> None:
    """An accuracy that real images alone reached is never reported as more (or less) than they reached."""
    means = [sum(row) / 2 for row in curve]
    target = min(means) + share * (max(means) - min(means))
    entry = real_equivalent(50, 1000, measure(SIZES, curve, [target, target], IMAGE), detectable=True)
    assert not entry.extrapolated
    assert entry.num_real_low <= entry.num_real_equivalent <= entry.num_real_high


# ---- words -----------------------------------------------------------------------------------------------------


def test_extra_images_are_those_beyond_the_seen() -> None:
    """Extra images are the equivalent number less the real images that the classifiers saw themselves."""
    entry = real_equivalent(50, 600, measured_at(1000), detectable=True)
    assert entry.num_real_extra == 400
    assert "extra real images." in entry.text
    assert "these classifiers saw 600" in entry.text


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
