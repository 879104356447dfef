"""Whether the generator repeats training images: nearest neighbours in a classifier's features."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.assessment.fidelity import Features, squared_distances

EXPECTED_PERCENT = 1.0  # so many unseen real images are closer to a training image than the threshold
CHUNK = 1000  # rows of one distance matrix: bounds the memory


class Nearest(NamedTuple):
    """For each query its nearest training image: row (int64) and Euclidean distance (float32)."""

    row: NDArray[np.int64]
    distance: Features


def find_nearest(queries: Features, train: Features) -> Nearest:
    """The nearest row of `train` for each row of `queries`."""
    rows, distances = [], []
    for start in range(0, len(queries), CHUNK):
        between = squared_distances(queries[start : start + CHUNK], train)
        rows.append(between.argmin(1))
        distances.append(np.sqrt(between.min(1)))
    return Nearest(np.concatenate(rows).astype(np.int64), np.concatenate(distances))


def find_near_copies(synthetic: Nearest, unseen: Nearest) -> NDArray[np.bool_]:
    """Which synthetic images are nearer to a training image than all but EXPECTED_PERCENT % of unseen real ones.

    About EXPECTED_PERCENT % for a generator that draws new images; all for one that repeats the training set.
    """
    near: NDArray[np.bool_] = synthetic.distance <= np.percentile(unseen.distance, EXPECTED_PERCENT)
    return near
