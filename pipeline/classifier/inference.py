"""A trained classifier in use: logits, features, accuracy."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor

from pipeline.classifier.network import Network, device_of
from pipeline.images import LabelledImages, to_unit_range

BATCH = 500  # fixed, because another shape may round differently

Logits = NDArray[np.float32]


def predict(network: Network, data: LabelledImages, *, flip: bool) -> Logits:
    """Logits, float32 (N, num_classes), in evaluation mode; with `flip`, the mean over both mirror images."""
    if flip:
        return _apply(network, data, lambda x: (network(x) + network(x.flip(3))) / 2)
    return _apply(network, data, network)


def predict_probabilities(network: Network, data: LabelledImages, *, flip: bool) -> NDArray[np.float32]:
    """The softmax of `predict`, float32 (N, num_classes)."""
    probabilities: NDArray[np.float32] = softmax(predict(network, data, flip=flip), axis=1).astype(np.float32)
    return probabilities


def extract_features(network: Network, data: LabelledImages) -> NDArray[np.float32]:
    """Pooled activations, float32 (N, D), in evaluation mode."""
    return _apply(network, data, network.features)


def measure_accuracy(logits: Logits, data: LabelledImages) -> float:
    """Fraction of images whose largest logit is their label's, 0 to 1."""
    return float((logits.argmax(1) == data.labels).mean())


@torch.inference_mode()
def _apply(network: Network, data: LabelledImages, function: Callable[[Tensor], Tensor]) -> NDArray[np.float32]:
    """`function` of NCHW images in [-1, 1], BATCH at a time, with the network in evaluation mode."""
    network.eval()
    device = device_of(network)
    parts = []
    for start in range(0, len(data), BATCH):
        x = to_unit_range(torch.from_numpy(data.images[start : start + BATCH]).to(device))
        parts.append(function(x).float().cpu().numpy())
    return np.concatenate(parts)
