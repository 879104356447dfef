"""Which synthetic images a cell trains on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifier.curation import ScoreColumns, curate, keep_best
from pipeline.classifier.mixture import Mixture, batch_rows
from pipeline.images import Indices
from pipeline.params.schema import CurationParams
from pipeline.runtime.errors import UserError

RAW = CurationParams(drop_near_copies=False, rank_by="confidence", keep_percent=100, recycle=True)
LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=60).map(lambda values: np.array(values, np.int64))


def scores_of(labels: Indices, seed: int) -> ScoreColumns:
    """Random scores of the images; of each class, the first image is no near-copy."""
    random = np.random.Generator(np.random.Philox(seed))
    near = random.random(len(labels)) < 0.4
    near[np.unique(labels, return_index=True)[1]] = False
    return {"confidence": random.random(len(labels)), "discriminator": random.random(len(labels)), "near_copy": near}


def having(**values: object) -> CurationParams:
    """Raw but for `values`."""
    return RAW.model_copy(update=values)


@given(LABELS, st.integers(0, 9))
def test_all_switches_off_keep_every_image(labels: Indices, seed: int) -> None:
    """Raw means raw: all rows in their order, whatever their scores."""
    assert np.array_equal(curate(RAW, labels, scores_of(labels, seed), size=5), np.arange(len(labels)))


@given(LABELS, st.integers(0, 9), st.integers(1, 100))
def test_the_best_of_every_class_are_kept(labels: Indices, seed: int, percent: int) -> None:
    """Per class, the share asked for (at least one), none scored lower than a dropped one, in row order."""
    score = scores_of(labels, seed)["confidence"]
    kept = keep_best(labels, score, percent)
    assert np.array_equal(kept, np.unique(kept))
    for k in np.unique(labels):
        rows = np.flatnonzero(labels == k)
        inside, outside = np.intersect1d(rows, kept), np.setdiff1d(rows, kept)
        assert len(inside) == max(1, len(rows) * percent // 100)
        assert len(outside) == 0 or score[inside].min() >= score[outside].max()


@pytest.mark.parametrize(("rank_by", "expected"), [("confidence", [2, 3, 6]), ("discriminator", [1, 3, 6])])
def test_switches_act_one_after_the_other(rank_by: str, expected: list[int]) -> None:
    """Near-copies go first, the chosen score ranks the rest, and without recycling a beginning of that is used."""
    labels = np.array([0, 0, 0, 0, 1, 1, 1])
    scores = {
        "near_copy": np.array([True, False, False, False, True, False, False]),
        "confidence": np.array([9.0, 1.0, 3.0, 2.0, 9.0, 4.0, 5.0]),
        "discriminator": np.array([9.0, 3.0, 1.0, 2.0, 9.0, 4.0, 5.0]),
    }
    curation = having(drop_near_copies=True, rank_by=rank_by, keep_percent=70)
    assert curate(curation, labels, scores, size=2).tolist() == expected
    once = curation.model_copy(update={"recycle": False})
    assert curate(once, labels, scores, size=2).tolist() == expected[:2]


def test_recycling_brings_a_fresh_slice_every_epoch() -> None:
    """With it, four epochs of 10 images show 40 different ones of a pool of 40; without, the same 10 four times."""
    labels, mixture = np.arange(40) % 4, Mixture("batch", 100, 10, 4)
    for recycle, different in ((True, 40), (False, 10)):
        rows = curate(having(recycle=recycle), labels, scores_of(labels, 1), size=10)
        epochs = [rows[batch_rows(mixture, step, (0, len(rows)), seed=3)[1]] for step in range(4)]
        assert len(np.unique(np.concatenate(epochs))) == different
        assert all(len(np.unique(epoch)) == 10 for epoch in epochs)


def test_a_class_of_near_copies_alone_is_one_line() -> None:
    """A generator that repeats a class's training images is found out, not trained on without that class."""
    scores = {"confidence": np.ones(4), "near_copy": np.array([False, True, False, True])}
    with pytest.raises(UserError, match=r"curation.drop_near_copies leaves no image of classes \[1\]"):
        curate(having(drop_near_copies=True), np.array([0, 1, 0, 1]), scores, size=4)
