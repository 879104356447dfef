import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.evaluation.learning_curve import Floats, Reading, bounded, curve_limits, fit_curve, read_size

SIZES = [250, 500, 1000, 2000]


def exact(size: float) -> float:
    """A curve that is linear in log(num_real)."""
    return 0.6 + 0.05 * math.log2(size / 250)


def read(heights: list[float], target: float, sizes: list[int] = SIZES) -> Reading:
    """Where a curve reaches the target."""
    at = np.array(sizes, np.float64)
    return bounded(read_size(at, np.array(heights), target), at)


@given(st.floats(250, 2000))
def test_exact_curve_is_inverted(size: float) -> None:
    """On a curve linear in the logarithm any accuracy within range gives its size back."""
    reading = read([exact(n) for n in SIZES], exact(size))
    if not reading.extrapolated:  # the last bit at either end
        assert reading.num_real == pytest.approx(size, rel=1e-6)
    assert not reading.extrapolated or min(size - 250, 2000 - size) < 1e-6


def test_outside_the_measured_range_only_a_bound_is_given() -> None:
    """Beyond either end the reading is that end, flagged, never a figure outside."""
    heights = [exact(n) for n in SIZES]
    above, below = (read(heights, target) for target in (0.99, 0.1))
    assert (above.num_real, above.bound, above.extrapolated) == (2000, "more_than", True)
    assert (below.num_real, below.bound, below.extrapolated) == (250, "fewer_than", True)
    assert not read(heights, heights[-1]).extrapolated


def test_one_point_is_a_curve_of_bounds() -> None:
    """A grid with the baseline alone gives bounds, or equality."""
    assert [read([0.9], t, [800]).bound for t in (0.8, 0.9, 0.95)] == [
        "fewer_than",
        "equals",
        "more_than",
    ]


def test_noise_does_not_make_the_curve_fall() -> None:
    """A larger set that happened to do worse is pooled with its neighbour, in whatever order sizes are named."""
    sizes, heights = fit_curve([200, 100, 400], [0.90, 0.80, 0.88])
    assert list(sizes) == [100, 200, 400]
    assert heights == pytest.approx([0.80, 0.89, 0.89])


def test_flat_part_gives_its_fewest_images_and_starts_no_slope() -> None:
    """On a plateau the fewest images count; above it the line starts at the plateau's end."""
    sizes, heights = [100, 200, 400], [0.9, 0.9, 0.95]
    assert read(heights, 0.9, sizes).num_real == 100
    assert read(heights, 0.925, sizes).num_real == pytest.approx(math.sqrt(200 * 400))


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4), st.floats(0, 1))
def test_what_was_measured_is_not_beyond_the_curve(noise: list[float], target: float) -> None:
    """An accuracy that real images alone reached is never reported as more (or less) than they reached."""
    reading = read(noise, min(noise) + target * (max(noise) - min(noise)))
    assert not reading.extrapolated


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4), st.floats(0, 1), st.floats(0, 1))
def test_higher_accuracy_never_equals_fewer_images(heights: list[float], one: float, other: float) -> None:
    """The reading rises with the accuracy, whatever the curve."""
    low, high = (read(heights, t).num_real for t in sorted((one, other)))
    assert low <= high


# ---- between the measured sizes -----------------------------------------------------------------------------------


@given(
    st.lists(st.floats(100, 4000), min_size=2, max_size=5, unique=True),
    st.floats(0.3, 0.9),
    st.lists(st.floats(0, 0.2), min_size=5, max_size=5),
    st.lists(st.floats(100, 4000), min_size=5, max_size=5),
)
def test_curves_of_diminishing_returns_keep_within_the_limits(
    sizes: list[float], start: float, rises: list[float], knots: list[float]
) -> None:
    """Whatever rises ever less in log(num_real) lies between the limits of its values at the measured sizes."""
    at = np.sort(np.array(sizes))
    assume(np.diff(np.log(at)).min() > 0.05)

    def curve(num_real: Floats) -> Floats:
        """A sum of ramps that end, each at its knot."""
        ramps = np.minimum(np.log(num_real)[:, None], np.log(knots))
        heights: Floats = start + ramps @ np.array(rises) / 10
        return heights

    heights = curve(at)
    grid, lower, upper = curve_limits(at, heights)
    true = curve(grid)
    assert np.all(lower @ heights <= true + 1e-9)
    assert np.all(true <= upper @ heights + 1e-9)


def test_limits_meet_at_the_measured_sizes_and_are_tight() -> None:
    """By hand: up to 500, the line through the next two; beyond, the line through the two before, or the next point."""
    heights = np.array([0.6, 0.7, 0.75, 0.76])
    grid, lower, upper = curve_limits(np.array(SIZES, np.float64), heights)
    for size, height in zip(SIZES, heights, strict=True):
        assert (lower @ heights)[grid == size] == pytest.approx([height])
        assert (upper @ heights)[grid == size] == pytest.approx([height])
    half = {first: np.argmin(abs(grid - first * math.sqrt(2))) for first in SIZES[:3]}
    assert (lower @ heights)[list(half.values())] == pytest.approx([0.65, 0.725, 0.755])
    assert (upper @ heights)[list(half.values())] == pytest.approx([0.675, 0.745, 0.76])


@pytest.mark.parametrize("heights", [[0.9], [0.8, 0.9], [0.9, 0.8, 0.85, 0.84]])
def test_any_points_have_limits(heights: list[float]) -> None:
    """One point, two, and points that fall: the upper limit is never below the lower, each a weighted mean."""
    grid, lower, upper = curve_limits(np.array(SIZES[: len(heights)], np.float64), np.array(heights))
    assert grid[[0, -1]].tolist() == [SIZES[0], SIZES[len(heights) - 1]]
    assert np.all(lower @ heights <= upper @ heights + 1e-12)
    assert lower.sum(1) == pytest.approx(1)
    assert upper.sum(1) == pytest.approx(1)
