"""Projected gradient descent (Madry et al. 2018, eq. 2.1): images moved so that a network errs on them."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.classifier.inference import Logits, batches_of, predict
from pipeline.classifier.network import Network, device_of
from pipeline.images import ImageSet, to_unit_range
from pipeline.params.schema import ClassifierParams
from pipeline.randomness import Stream, random_words

LEVEL = 1 / 127.5  # one of 255, in [-1, 1]
STEPS_LENGTH = 2.5  # what all steps together could move a pixel, in epsilons; one step moves it one at the most
HALF_WORDS = 2**16


def attack_batch(
    network: Network, images: Tensor, targets: Tensor, classifier: ClassifierParams, *, position: tuple[int, int]
) -> Tensor:
    """A training batch, attacked from a random start near every pixel.

    Args:
        network: in training mode; its parameters get no gradient.
        images: NCHW in [-1, 1].
        targets: probabilities (N, num_classes).
        classifier: `attack_epsilon` and `attack_steps`.
        position: seed and step, of which the start is a function.
    """
    seed, step = position
    words = random_words(-(-images.numel() // 4), seed=seed, stream=Stream.CELL_ATTACK, position=step)
    uniform = words.view(np.uint16)[: images.numel()].astype(np.float32) / (HALF_WORDS / 2) - 1
    start = torch.from_numpy(uniform).to(images.device).view(images.shape)
    epsilon = LEVEL * classifier.attack_epsilon
    return _descend(network, images, targets, epsilon * start, epsilon, classifier.attack_steps)


def predict_attacked(network: Network, data: ImageSet, classifier: ClassifierParams) -> Logits:
    """Logits, float32 (N, num_classes), of the images as an attack on this very network leaves them.

    Without `attack_epsilon` those of the images as they are. With `flip` the answer under attack, too, is the mean
    over both mirror images.
    """
    if not classifier.attack_epsilon:
        return predict(network, data, flip=classifier.flip)
    network.eval()

    def answer(x: Tensor) -> Tensor:
        logits: Tensor = network(x)
        return (logits + network(x.flip(3))) / 2 if classifier.flip else logits

    device, epsilon = device_of(network), LEVEL * classifier.attack_epsilon
    parts, labels = [], torch.from_numpy(data.labels)
    for levels in batches_of(data):
        y, labels = labels[: len(levels)].to(device), labels[len(levels) :]
        x = to_unit_range(levels.to(device))
        attacked = _descend(answer, x, y, torch.zeros_like(x), epsilon, classifier.attack_test_steps)
        with torch.inference_mode():
            parts.append(answer(attacked).float().cpu().numpy())
    return np.concatenate(parts)


def _descend(
    answer: Callable[[Tensor], Tensor], images: Tensor, targets: Tensor, delta: Tensor, epsilon: float, num_steps: int
) -> Tensor:
    """`images` + delta after steps along the sign of the loss's gradient, within epsilon of every pixel."""
    length = min(1.0, STEPS_LENGTH / num_steps) * epsilon
    for _ in range(num_steps):
        moved = (images + delta).clamp(-1, 1).requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(answer(moved).float(), targets), moved)
        delta = (delta + length * gradient.sign()).clamp(-epsilon, epsilon)
    return (images + delta).clamp(-1, 1).detach()
