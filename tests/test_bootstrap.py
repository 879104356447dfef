from math import sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.evaluation.bootstrap import images_interval
from pipeline.evaluation.statistics import paired_difference

Bools = NDArray[np.bool_]


def draw(random: np.random.Generator, liked: float) -> tuple[Bools, Bools]:
    """Which of 1,000 images two settings of 5 replicates get right: 70 %.

    `liked` is the standard deviation, between images, of what one of the settings is better by.
    """
    chance = 0.7 + liked * random.choice([-1, 1], 1000)
    return random.random((5, 1000)) < chance, random.random((5, 1000)) < 0.7


def test_images_that_are_alike_add_nothing() -> None:
    """Where no image is easier for one setting, the interval is as wide as the paired t-test's, on average."""
    random = np.random.default_rng(0)
    widths = []
    for _ in range(30):
        right, baseline = draw(random, liked=0.0)
        interval = images_interval(right, baseline)
        alone = paired_difference(right.mean(1).tolist(), baseline.mean(1).tolist(), 1e-3).difference
        widths.append((interval.high - interval.low, alone.high - alone.low))
    ours, paired = np.mean(widths, axis=0)
    assert ours == pytest.approx(paired, rel=0.1)


def test_images_that_one_setting_likes_widen_the_interval() -> None:
    """Where a setting is better by 30 points on one half of the images and worse on the other, that is chance too."""
    random = np.random.default_rng(0)
    intervals = [images_interval(*draw(random, liked=0.3)) for _ in range(50)]
    deviation = sqrt(0.3**2 / 1000 + (2 * 0.7 * 0.3 - 0.3**2) / 5000)  # images', and of single answers
    widths = [interval.high - interval.low for interval in intervals]
    assert 1.96 * deviation < np.mean(widths) / 2 < 2.776 * deviation  # of a normal mean, and of a t on 4
    assert sum(interval.low <= 0 <= interval.high for interval in intervals) >= 43  # of 50, 95 %


def test_replicates_that_agree_are_not_certain_about_other_images() -> None:
    """Where all replicates gain on the same 40 of 1,000 images, other images could gain 28 to 52: binomial."""
    baseline = np.zeros((3, 1000), np.bool_)
    gaining = np.broadcast_to(np.arange(1000) < 40, baseline.shape)
    interval = images_interval(gaining, baseline)
    assert interval.mean == pytest.approx(0.04)
    assert (interval.low, interval.high) == pytest.approx((0.028, 0.052), abs=0.003)
    assert images_interval(gaining, baseline) == interval


def test_one_image_each_proves_nothing() -> None:
    """Three replicates that gain one image each are no certainty, be it the same image or not."""
    baseline = np.zeros((3, 400), np.bool_)
    for images in ([0, 0, 0], [0, 1, 2]):
        gaining = np.arange(400) == np.array(images)[:, None]
        assert images_interval(gaining, baseline).low < 0
