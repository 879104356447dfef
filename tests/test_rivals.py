"""What else the compute buys on real images alone: augmentations, longer training, soft labels, balanced classes."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, kstest
from torch import Tensor

from pipeline.classifier.augment import Augmentation
from pipeline.classifier.blend import blend
from pipeline.classifier.inference import measure_accuracy, predict
from pipeline.classifier.plan import plan_cell
from pipeline.classifier.rival import class_weights, oversample, rival_data, with_rival
from pipeline.images import Indices, LabelledImages
from pipeline.params.schema import CellClassifierParams, Params, Rival
from tests.test_classifier import CPU, train

SIDE = 16


def blended(params: Params, position: tuple[int, int], **alpha: float) -> tuple[Tensor, Tensor]:
    """Twelve images of one level each, a class each, after mixup or CutMix; and their probabilities."""
    values = params.classifier.model_copy(update={"mixup": 0.0, "cutmix": 0.0} | alpha)
    levels = torch.arange(12.0)[:, None, None, None].expand(12, 1, SIDE, SIDE)
    return blend(levels, torch.eye(12), values, position=position)


@given(st.sampled_from(["mixup", "cutmix"]), st.floats(0.1, 3), st.integers(0, 2**31 - 1), st.integers(0, 10**6))
def test_labels_are_blended_as_the_pixels(tiny: Params, kind: str, alpha: float, seed: int, step: int) -> None:
    """The share of each class among the probabilities is its share of the pixels; CutMix moves one rectangle."""
    images, probabilities = blended(tiny, (seed, step), **{kind: alpha})
    assert torch.allclose(images.mean((1, 2, 3)), probabilities @ torch.arange(12.0), atol=1e-4)
    assert torch.allclose(probabilities.sum(1), torch.ones(12))
    if kind == "cutmix":
        moved = images[:, 0] != torch.arange(12.0)[:, None, None]
        for mask in moved:
            assert mask.sum() == mask.any(0).sum() * mask.any(1).sum()
        assert set(images.flatten().tolist()) <= set(range(12))
    again = blended(tiny, (seed, step), **{kind: alpha})
    assert torch.equal(images, again[0])
    assert torch.equal(probabilities, again[1])


@pytest.mark.parametrize("alpha", [0.4, 1.0])
def test_weights_of_mixup_have_their_distribution(tiny: Params, alpha: float) -> None:
    """Beta(alpha, alpha) over the steps, one a batch (Zhang et al. 2018); the partners are all images in turn."""
    weights, partners = [], np.zeros(12)
    for step in range(600):
        probabilities = blended(tiny, (1, step), mixup=alpha)[1]
        own = probabilities.diagonal()
        weights.append(float(own.min()))
        partners += (probabilities - torch.diag(own)).sum(0).numpy() > 0
    assert kstest(weights, beta(alpha, alpha).cdf).pvalue > 0.01
    assert partners.min() > 400


@pytest.mark.parametrize("channels", [1, 3])
def test_trivial_augment_draws_an_operation_an_image(tiny: Params, channels: int) -> None:
    """A function of seed and step; equal images become different ones; torch's own stream is left alone."""
    values = tiny.classifier.model_copy(update={"flip": False, "translate": 0, "cutout": 0, "trivial_augment": True})
    one = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, channels), np.uint8))
    augment, before = Augmentation(values, SIDE, CPU), torch.get_rng_state()
    first, same, *others = (
        augment(one.repeat(40, 1, 1, 1), seed=seed, step=step) for seed, step in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert (first.shape, first.dtype) == ((40, SIDE, SIDE, channels), torch.uint8)
    assert torch.equal(first, same)
    assert not any(torch.equal(first, other) for other in others)
    assert len({image.numpy().tobytes() for image in first}) > 20


CHANGES: dict[Rival, dict[str, Any]] = {
    "mixup": {"mixup": 0.7},
    "cutmix": {"cutmix": 0.9},
    "trivial_augment": {"trivial_augment": True},
    "cutout": {"cutout": 5},
    "longer": {"steps": 30},
    "distilled": {},
    "oversampling": {},
    "class_weights": {},
}


@pytest.mark.parametrize("rival", CHANGES)
def test_a_rival_changes_one_thing_in_the_baseline(tiny: Params, rival: Rival) -> None:
    """As the params say; its cell is the baseline's but for that, its steps among it."""
    values = tiny.rivals.model_copy(update={"mixup": 0.7, "cutmix": 0.9, "cutout": 5, "longer": 2.5})
    params = tiny.model_copy(update={"rivals": values})
    changed = with_rival(params, rival)
    assert changed == CellClassifierParams(**(params.classifier.model_dump() | CHANGES[rival]))
    plan, baseline = (plan_cell(params, train_size=100, replicate=4, rival=name) for name in (rival, None))
    changes = {"stage": "train_rival", "rival": rival, "steps": changed.steps}
    assert plan.model_dump() == baseline.model_dump() | changes
    assert plan.name == f"train_rival-{rival}-4"


@pytest.mark.parametrize("values", [{"mixup": 0.4}, {"cutmix": 1.0}, {"trivial_augment": True}])
def test_a_classifier_learns_from_what_was_changed(
    tiny: Params, patches: LabelledImages, values: dict[str, Any]
) -> None:
    """Three easy classes, though it never saw an image as it is, or a label that was sure."""
    trained = train(tiny, patches, steps=80, **values)
    assert measure_accuracy(predict(trained.network, patches, flip=False), patches) > 0.9
    plain = train(tiny, patches, steps=80)
    assert trained.history[-1]["train_loss"] > plain.history[-1]["train_loss"]


LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(lambda labels: np.array(labels, np.int64))


@given(LABELS)
def test_oversampling_makes_classes_level_and_loses_no_image(labels: Indices) -> None:
    """Every class has as many rows as the largest; of one class, no image comes twice more often than another."""
    rows = oversample(labels)
    assert set(np.bincount(labels[rows])) <= {0, np.bincount(labels).max()}
    for label in np.unique(labels):
        times = np.bincount(rows, minlength=len(labels))[labels == label]
        assert times.min() >= 1
        assert times.max() - times.min() <= 1


@given(LABELS)
def test_class_weights_make_classes_weigh_alike(labels: Indices) -> None:
    """The weights of each class that occurs sum to the same; their mean is 1."""
    weights = class_weights(labels)
    sums = [weights[labels == label].sum() for label in np.unique(labels)]
    assert sums == pytest.approx([sums[0]] * len(sums), rel=1e-4)
    assert weights.mean() == pytest.approx(1, rel=1e-4)


def test_rivals_of_the_data_leave_the_rest_alone(patches: LabelledImages) -> None:
    """Soft labels, weights and repeated images, each for its rival alone; no synthetic image anywhere."""
    soft = np.full((len(patches), 3), 1 / 3, np.float32)
    uneven = patches.select(np.flatnonzero((patches.labels > 0) | (np.arange(len(patches)) < 6)))
    data = {rival: rival_data(rival, uneven, patches, soft) for rival in CHANGES}
    assert {rival for rival, this in data.items() if this.targets is soft} == {"distilled"}
    assert {rival for rival, this in data.items() if this.weights is not None} == {"class_weights"}
    assert {rival for rival, this in data.items() if len(this.real) > len(uneven)} == {"oversampling"}
    assert not any(len(this.synthetic) for this in data.values())
