"""Adversarial training: the attack stays in its bounds, finds what it seeks, and training withstands it."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pipeline.classifier.attack import LEVEL, attack_batch, predict_attacked
from pipeline.classifier.inference import measure_accuracy, predict
from pipeline.classifier.network import Network
from pipeline.images import LabelledImages, to_unit_range
from pipeline.params.schema import ClassifierParams, Params
from tests.test_classifier import train

EPSILON = 24


def values(tiny: Params, **changes: Any) -> ClassifierParams:
    """The tiny params with an attack."""
    return tiny.classifier.model_copy(update={"attack_epsilon": EPSILON, "attack_test_steps": 10} | changes)


@pytest.fixture(scope="module")
def network(tiny: Params, patches: LabelledImages) -> Network:
    """Trained without an attack."""
    return train(tiny, patches, steps=60).network


def test_a_batch_is_moved_within_epsilon(tiny: Params, network: Network, patches: LabelledImages) -> None:
    """No pixel by more than epsilon, none out of range; a function of seed and step; the loss rises."""
    x = to_unit_range(torch.from_numpy(patches.images))
    y = F.one_hot(torch.from_numpy(patches.labels), 3).float()
    attacked, again, other = (
        attack_batch(network, x, y, values(tiny, attack_steps=5), position=position)
        for position in ((0, 1), (0, 1), (0, 2))
    )
    assert (attacked - x).abs().max() <= EPSILON * LEVEL + 1e-6
    assert attacked.abs().max() <= 1
    assert torch.equal(attacked, again)
    assert not torch.equal(attacked, other)
    network.eval()
    assert F.cross_entropy(network(attacked), y) > F.cross_entropy(network(x), y)
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("flip", [False, True])
def test_more_steps_and_room_hurt_more(tiny: Params, network: Network, patches: LabelledImages, flip: bool) -> None:
    """Without room the logits are those of the images as they are; stronger attacks leave less accuracy."""
    clean = predict_attacked(network, patches, values(tiny, attack_epsilon=0, flip=flip))
    assert np.array_equal(clean, predict(network, patches, flip=flip))
    accuracies = [
        measure_accuracy(predict_attacked(network, patches, values(tiny, flip=flip, attack_epsilon=room)), patches)
        for room in (0, 16, 160)
    ]
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[2] < accuracies[0]


def test_adversarial_training_withstands_the_attack(tiny: Params, network: Network, patches: LabelledImages) -> None:
    """Trained under attack, a network keeps more under it than one that was not."""
    epsilon = 80  # classes are 180 levels apart: what separates them outlasts the attack, if nothing else is used
    robust = train(tiny, patches, steps=80, attack_epsilon=epsilon, attack_steps=2, attack_test_steps=10)
    under = values(tiny, attack_epsilon=epsilon)
    kept, lost = (measure_accuracy(predict_attacked(n, patches, under), patches) for n in (robust.network, network))
    assert kept > lost
    assert robust.history[-1]["val_accuracy"] == pytest.approx(kept, abs=0.02)
