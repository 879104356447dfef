"""The interval of a difference over other replicates and other test images: which images are tested is chance too."""

from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from pipeline.evaluation.statistics import CONFIDENCE, Interval, std
from pipeline.randomness import Stream, random_words

DRAWS, BLOCKS = 1000, 20  # in blocks they take 4 MB each where there are 10,000 images
SEED = 0

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def images_interval(right: Bools, baseline: Bools) -> Interval:
    """Mean difference in accuracy with its 95 % interval over replicates and test images, both drawn at random.

    The percentiles of DRAWS two-way resamples, in which replicates and images each move the mean by themselves.
    Taking both anew at once would count what is particular to one image in one replicate three times (Owen 2007),
    and the interval would cover 99 % and more; here it counts once. In the place of resampled replicates,
    whose means vary too little where they are few, stands Student's distribution of it.

    Args:
        right: bool (replicates, images), whether each test image is classified correctly.
        baseline: the same of the baseline, in the same order.
    """
    difference = right.astype(np.float64) - baseline
    count, size = difference.shape
    error = std(difference.mean(1).tolist(), 1 / size) / sqrt(count)
    moved = error * _students_t(count - 1) + _own_share(difference) * _image_draws(difference.mean(0))
    low, high = np.quantile(moved, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    mean = float(difference.mean())
    return Interval(mean, mean + float(low), mean + float(high))


def _students_t(freedom: int) -> Floats:
    """Student's t at DRAWS equal steps of probability: free of the chance that as many random values would add."""
    values: Floats = np.asarray(stdtrit(freedom, (np.arange(DRAWS) + 0.5) / DRAWS))
    return values


def _image_draws(means: Floats) -> Floats:
    """By how much the mean of `means`, one an image, moves in each of DRAWS resamples of the images."""
    size, rows = len(means), DRAWS // BLOCKS
    shifts = []
    for block in range(BLOCKS):
        words = random_words(-(-rows * size // 2), seed=SEED, stream=Stream.BOOTSTRAP, position=block)
        picks = words.astype("<u8").view("<u4")[: rows * size] % np.uint32(size)  # 32 bits are plenty, and faster
        shifts.append(means[picks].reshape(rows, size).mean(1) - means.mean())
    return np.concatenate(shifts)


def _own_share(difference: Floats) -> float:
    """Of the deviation between images' means, the part that is the images' own: root of a fraction, 0 to 1.

    The rest is chance in single replicates, which the replicates' part holds already. Both come from the mean squares
    of a two-way layout: 1 - residual / images, at least 0.
    """
    count, size = difference.shape
    rows, columns = difference.mean(1, keepdims=True), difference.mean(0, keepdims=True)
    residual = ((difference - rows - columns + difference.mean()) ** 2).sum() / ((count - 1) * (size - 1))
    images = count * columns.var(ddof=1)
    return sqrt(max(0.0, 1 - residual / images)) if images > 0 else 0.0
