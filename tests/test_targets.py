"""What a cell is to answer for its synthetic images, and what their loss weighs."""

import numpy as np
import pytest
from scipy.special import logsumexp

from pipeline.classifier.mixture import Mixture
from pipeline.classifier.targets import mixed_data, one_hot
from pipeline.classifier.training import TrainingData, train_classifier
from pipeline.images import LabelledImages
from pipeline.params.schema import AblationParams, Labels, Params
from tests.test_classifier import CPU


def change(tiny: Params, **values: object) -> AblationParams:
    """The tiny params but for `values`."""
    return tiny.ablation.model_copy(update=values)


@pytest.mark.parametrize("labels", ["asked", "predicted", "soft"])
def test_real_images_keep_their_labels(tiny: Params, patches: LabelledImages, labels: Labels) -> None:
    """Synthetic ones take the asked class, the likeliest one, or all probabilities."""
    predicted = np.random.default_rng(0).dirichlet(np.ones(3), 10).astype(np.float32)
    real, synthetic = patches.select(np.arange(20)), patches.select(np.arange(20, 30))
    targets = mixed_data(change(tiny, labels=labels), real, synthetic, real, predicted).targets
    wanted = {
        "asked": one_hot(synthetic.labels, 3),
        "predicted": one_hot(predicted.argmax(1), 3),
        "soft": predicted,
    }
    if targets is None:
        assert labels == "asked"
    else:
        assert np.array_equal(targets, np.concatenate([one_hot(real.labels, 3), wanted[labels]]))


def test_asked_labels_as_targets_change_nothing(tiny: Params, patches: LabelledImages) -> None:
    """The labels given as probabilities, and weights that are all alike, train the same network."""
    mixture, classifier = Mixture("batch", 50, 16, 4), tiny.classifier
    targets, weights = one_hot(np.concatenate([patches.labels] * 2), 3), np.full(2 * len(patches), 0.5, np.float32)
    plain = TrainingData(patches, patches, patches)
    given = TrainingData(patches, patches, patches, targets, weights)
    first, second = (train_classifier(classifier, data, mixture, seed=1, device=CPU) for data in (plain, given))
    assert first.history == second.history


def test_the_weight_is_that_of_synthetic_images(tiny: Params, patches: LabelledImages) -> None:
    """The loss of the first step is the weighted mean of what real and synthetic images give."""
    classifier = tiny.classifier.model_copy(update={"label_smoothing": 0.0, "flip": False, "translate": 0})
    real, wrong = patches, np.roll(one_hot(patches.labels, 3), 1, axis=1)

    def first_loss(weight: float, percent: int) -> float:
        data = mixed_data(change(tiny, labels="soft", synthetic_weight=weight), real, real, real, wrong)
        mixture = Mixture("batch", percent, len(real), 1)
        return train_classifier(classifier, data, mixture, seed=1, device=CPU).history[0]["train_loss"]

    assert first_loss(1e-6, 50) != pytest.approx(first_loss(1e6, 50))
    assert first_loss(1e6, 100) == pytest.approx(first_loss(1, 100), rel=1e-4)
    low, even, high = (first_loss(weight, 50) for weight in (1e-6, 1, 1e6))
    assert even == pytest.approx((low + high) / 2, rel=1e-3)
    assert np.isfinite(logsumexp([low, high]))
