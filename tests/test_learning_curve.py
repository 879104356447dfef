import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.learning_curve import equivalent_num_real, fit_curve

SIZES = [250, 500, 1000, 2000]


def exact(size: float) -> float:
    """A curve that is linear in log(num_real)."""
    return 0.6 + 0.05 * math.log2(size / 250)


@given(st.floats(250, 2000))
def test_exact_curve_is_inverted(size: float) -> None:
    """On a curve linear in the logarithm any accuracy within range gives its size back."""
    reading = equivalent_num_real(SIZES, [exact(n) for n in SIZES], exact(size))
    if not reading.extrapolated:  # the last bit at either end
        assert reading.num_real == pytest.approx(size, rel=1e-6)
    assert not reading.extrapolated or min(size - 250, 2000 - size) < 1e-6


def test_order_of_sizes_does_not_matter() -> None:
    """The curve is sorted by size before it is read."""
    mixed = [1000, 250, 2000, 500]
    assert equivalent_num_real(mixed, [exact(n) for n in mixed], exact(700)).num_real == pytest.approx(700)


def test_outside_the_measured_range_only_a_bound_is_given() -> None:
    """Beyond either end the reading is that end, flagged, never a figure outside."""
    heights = [exact(n) for n in SIZES]
    above, below = (equivalent_num_real(SIZES, heights, target) for target in (0.99, 0.1))
    assert (above.num_real, above.bound, above.extrapolated) == (2000, "more_than", True)
    assert (below.num_real, below.bound, below.extrapolated) == (250, "fewer_than", True)
    assert not equivalent_num_real(SIZES, heights, heights[-1]).extrapolated


def test_one_point_is_a_curve_of_bounds() -> None:
    """A grid with the baseline alone gives bounds, or equality."""
    assert [equivalent_num_real([800], [0.9], t).bound for t in (0.8, 0.9, 0.95)] == [
        "fewer_than",
        "equals",
        "more_than",
    ]


def test_noise_does_not_make_the_curve_fall() -> None:
    """A larger set that happened to do worse is pooled with its neighbour."""
    sizes, heights = fit_curve([100, 200, 400], [0.80, 0.90, 0.88])
    assert list(sizes) == [100, 200, 400]
    assert heights == pytest.approx([0.80, 0.89, 0.89])


def test_flat_part_gives_its_fewest_images_and_starts_no_slope() -> None:
    """On a plateau the fewest images count; above it the line starts at the plateau's end."""
    sizes, heights = [100, 200, 400], [0.9, 0.9, 0.95]
    assert equivalent_num_real(sizes, heights, 0.9).num_real == 100
    assert equivalent_num_real(sizes, heights, 0.925).num_real == pytest.approx(math.sqrt(200 * 400))


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4), st.floats(0, 1))
def test_what_was_measured_is_not_beyond_the_curve(noise: list[float], target: float) -> None:
    """An accuracy that real images alone reached is never reported as more (or less) than they reached."""
    reading = equivalent_num_real(SIZES, noise, min(noise) + target * (max(noise) - min(noise)))
    assert not reading.extrapolated


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4), st.floats(0, 1), st.floats(0, 1))
def test_higher_accuracy_never_equals_fewer_images(heights: list[float], one: float, other: float) -> None:
    """The reading rises with the accuracy, whatever the curve."""
    low, high = (equivalent_num_real(SIZES, heights, t).num_real for t in sorted((one, other)))
    assert low <= high
