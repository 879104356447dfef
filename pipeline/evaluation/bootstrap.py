"""The interval of a difference over other replicates and other test images at once."""

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.statistics import Interval, t_critical
from pipeline.randomness import Stream, random_words

DRAWS = 1000
SEED, POSITION = 0, 1
Z_CRITICAL = 1.959964  # the normal distribution's, of a 95 % interval

Bools = NDArray[np.bool_]


def images_interval(right: Bools, baseline: Bools) -> Interval:
    """Mean difference in accuracy and its 95 % percentile interval over a two-way bootstrap.

    A draw takes replicates and test images anew, each with replacement (the pigeonhole bootstrap of Owen 2007). The
    part of the replicates is widened as a few of them ask for: by sqrt(n / (n - 1)) t / z.

    Args:
        right: bool (replicates, N), whether each test image is classified correctly.
        baseline: the same of the baseline.
    """
    gain = right.astype(np.float32) - baseline.astype(np.float32)
    mean, (num_replicates, num_images) = float(gain.mean()), gain.shape
    wider = sqrt(num_replicates / (num_replicates - 1)) * t_critical(num_replicates) / Z_CRITICAL
    words = random_words(DRAWS * (num_replicates + num_images), seed=SEED, stream=Stream.BOOTSTRAP, position=POSITION)
    picks = words.reshape(DRAWS, num_replicates + num_images)
    rows, columns = picks[:, :num_replicates] % num_replicates, picks[:, num_replicates:] % num_images
    draws = np.array([_draw(gain, mean, wider, *pick) for pick in zip(rows, columns, strict=True)])
    low, high = np.quantile(draws, (0.025, 0.975))
    return Interval(mean, float(low), float(high))


def _draw(
    gain: NDArray[np.float32], mean: float, wider: float, rows: NDArray[np.uint64], columns: NDArray[np.uint64]
) -> float:
    """The mean of one draw, its deviation that comes from the replicates alone widened."""
    weights = np.bincount(columns.astype(np.int64), minlength=gain.shape[1]) / gain.shape[1]
    of_replicates = float(gain[rows.astype(np.int64)].mean()) - mean
    of_images = float((gain[rows.astype(np.int64)] @ weights).mean()) - mean - of_replicates
    return mean + wider * of_replicates + of_images
