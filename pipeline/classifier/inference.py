"""A trained classifier in use: logits, features, accuracy."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor

from pipeline.classifier.network import Network, device_of
from pipeline.images import ImageSet, to_unit_range

BATCH = 500  # images of up to LARGEST x LARGEST; fixed, because another shape may round differently
LARGEST = 64  # pixels; of larger images a batch has as many pixels, or activations would take gigabytes

Logits = NDArray[np.float32]
Answer = Callable[[ImageSet], Logits]


def predict(network: Network, data: ImageSet, *, flip: bool) -> Logits:
    """Logits, float32 (N, num_classes), in evaluation mode; with `flip`, the mean over both mirror images."""
    if flip:
        return _apply(network, data, lambda x: (network(x) + network(x.flip(3))) / 2)
    return _apply(network, data, network)


def predict_probabilities(network: Network, data: ImageSet, *, flip: bool) -> NDArray[np.float32]:
    """The softmax of `predict`, float32 (N, num_classes)."""
    probabilities: NDArray[np.float32] = softmax(predict(network, data, flip=flip), axis=1).astype(np.float32)
    return probabilities


def extract_features(network: Network, data: ImageSet) -> NDArray[np.float32]:
    """Pooled activations, float32 (N, D), in evaluation mode."""
    return _apply(network, data, network.features)


def measure_accuracy(logits: Logits, data: ImageSet) -> float:
    """Fraction of images whose largest logit is their label's, 0 to 1."""
    return float((logits.argmax(1) == data.labels).mean())


def batches_of(data: ImageSet) -> Iterator[Tensor]:
    """The images in their order, uint8 NHWC, BATCH at a time or fewer where they are large."""
    count = max(1, BATCH * LARGEST**2 // max(LARGEST, data.images.shape[1]) ** 2)
    for start in range(0, len(data), count):
        yield torch.from_numpy(data.images[start : start + count])


@torch.inference_mode()
def _apply(network: Network, data: ImageSet, function: Callable[[Tensor], Tensor]) -> NDArray[np.float32]:
    """`function` of NCHW images in [-1, 1], batch by batch, with the network in evaluation mode."""
    network.eval()
    device = device_of(network)
    return np.concatenate([function(to_unit_range(x.to(device))).float().cpu().numpy() for x in batches_of(data)])
