"""Which of the synthetic images a cell trains on, by their scores: nothing is drawn or scored anew."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.images import Indices
from pipeline.params.schema import CurationParams
from pipeline.runtime.errors import UserError

ScoreColumns = Mapping[str, NDArray[np.generic]]  # one value an image


def curate(curation: CurationParams, labels: Indices, scores: ScoreColumns, *, size: int) -> Indices:
    """Rows to train on, in ascending order.

    First near-copies go, then each class's worst ranked. With `recycle` every row that is left takes its turn:
    batches pass through all of them in a seeded order, so that each `size` of images is a fresh slice
    (Lampis et al. 2023). Without it the first `size` rows are used over and over.

    Args:
        curation: what is wanted.
        labels: int64, shape N, of all synthetic images.
        scores: arrays of shape N: `curation.rank_by` (float, higher is better) and `near_copy` (bool).
        size: synthetic images of a set that is not recycled.

    Raises:
        UserError: a class has near-copies alone.
    """
    rows = np.arange(len(labels), dtype=np.int64)
    if curation.drop_near_copies:
        rows = rows[~scores["near_copy"].astype(bool)]
        if lost := np.setdiff1d(labels, labels[rows]).tolist():
            raise UserError(
                f"params.yaml: curation.drop_near_copies leaves no image of classes {lost}: the generator repeats "
                "its training images; turn it off, or train a better generator"
            )
    rows = rows[keep_best(labels[rows], scores[curation.rank_by][rows], curation.keep_percent)]
    return rows if curation.recycle else rows[:size]


def keep_best(labels: Indices, score: NDArray[np.generic], keep_percent: int) -> Indices:
    """Rows, in their order, of the `keep_percent` % of each class with the highest score, at least one."""
    kept = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        best = np.argsort(-score[rows].astype(np.float64), kind="stable")[: max(1, len(rows) * keep_percent // 100)]
        kept.append(rows[best])
    return np.sort(np.concatenate(kept)).astype(np.int64)
