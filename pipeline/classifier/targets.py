"""What a cell is to answer for its synthetic images, and what their loss weighs."""

import numpy as np
from numpy.typing import NDArray

from pipeline.classifier.training import TrainingData
from pipeline.images import ImageSet, Indices
from pipeline.params.schema import AblationParams

Probabilities = NDArray[np.float32]


def mixed_data(
    ablation: AblationParams,
    real: ImageSet,
    synthetic: ImageSet,
    val: ImageSet,
    predicted: Probabilities,
) -> TrainingData:
    """Real images with their labels, and synthetic ones as `ablation.labels` and `.synthetic_weight` say.

    Args:
        ablation: these two.
        real: the real images of the cell.
        synthetic: its synthetic ones.
        val: the images that choose.
        predicted: a real-only classifier's probabilities for `synthetic`, float32 (N, num_classes).
    """
    num_classes, targets, weights = len(real.class_names), None, None
    if ablation.labels != "asked":
        answers = predicted if ablation.labels == "soft" else one_hot(predicted.argmax(1), num_classes)
        targets = np.concatenate([one_hot(real.labels, num_classes), answers])
    if ablation.synthetic_weight != 1:
        weights = np.ones(len(real) + len(synthetic), np.float32)
        weights[len(real) :] = ablation.synthetic_weight
    return TrainingData(real, synthetic, val, targets, weights)


def one_hot(labels: Indices, num_classes: int) -> Probabilities:
    """float32 (N, num_classes): 1 for the label, 0 for all others."""
    return np.eye(num_classes, dtype=np.float32)[labels]
