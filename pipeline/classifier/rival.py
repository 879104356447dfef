"""What else the compute of a generator buys: a change of the training on real images alone."""

import numpy as np
from numpy.typing import NDArray

from pipeline.classifier.training import TrainingData
from pipeline.images import ImageSet, Indices, empty_like
from pipeline.params.schema import CellClassifierParams, Params, Rival


def with_rival(params: Params, rival: Rival | None) -> CellClassifierParams:
    """`params.classifier`, changed as `params.rivals` say of `rival`; as it is where that changes the data alone."""
    classifier, values = params.classifier, params.rivals if rival else None
    if values is None:
        return classifier
    changes: dict[Rival, dict[str, float | bool]] = {
        "mixup": {"mixup": values.mixup, "cutmix": 0.0},
        "cutmix": {"cutmix": values.cutmix, "mixup": 0.0},
        "trivial_augment": {"trivial_augment": True},
        "cutout": {"cutout": values.cutout},
        "longer": {"steps": round(values.longer * classifier.steps)},
    }
    return classifier.model_copy(update=changes.get(rival, {}) if rival else {})


def rival_data(rival: Rival, real: ImageSet, val: ImageSet, soft: NDArray[np.float32] | None) -> TrainingData:
    """What the rival trains on: the real images, with what it changes of their number, weights or targets.

    Args:
        rival: which one.
        real: the training images.
        val: the images that choose.
        soft: of `distilled`, a real-only classifier's probabilities for `real`, float32 (N, num_classes).
    """
    if rival == "oversampling":
        real = real.select(oversample(real.labels))
    weights = class_weights(real.labels) if rival == "class_weights" else None
    return TrainingData(real, empty_like(real), val, soft if rival == "distilled" else None, weights)


def oversample(labels: Indices) -> Indices:
    """Rows in which every class that occurs has as many as the largest: those of a smaller one come again in turn."""
    rows = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    most = max(map(len, rows))
    return np.concatenate([np.resize(row, most) for row in rows]).astype(np.int64)


def class_weights(labels: Indices) -> NDArray[np.float32]:
    """Of each image's loss, float32 (N,): all classes that occur weigh alike, and the mean is 1."""
    classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return (len(labels) / (len(classes) * counts[inverse])).astype(np.float32)
