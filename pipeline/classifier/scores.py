"""What test logits say: accuracy a class, negative log-likelihood, calibration."""

import numpy as np
from numpy.typing import NDArray

from pipeline.classifier.inference import Logits
from pipeline.images import LabelledImages

BINS = 15  # of equal width, as Guo et al. 2017 have them


def accuracy_per_class(logits: Logits, data: LabelledImages) -> dict[str, float]:
    """Fraction of each class's images that are recognised."""
    right = logits.argmax(1) == data.labels
    return {name: round(float(right[data.labels == k].mean()), 6) for k, name in enumerate(data.class_names)}


def negative_log_likelihood(logits: Logits, data: LabelledImages) -> float:
    """Mean of -log p(label), in nats."""
    return float(-_log_probability(logits)[np.arange(len(data)), data.labels].mean())


def calibration_error(logits: Logits, data: LabelledImages) -> float:
    """Expected calibration error, 0 to 1 (Guo et al. 2017, eq. 3): how far confidence and accuracy lie apart.

    Images fall into BINS equal bins of their largest probability, ((k - 1)/BINS, k/BINS]; the error is the mean
    over all images of the gap between their bin's accuracy and its mean confidence.
    """
    confidence = np.exp(_log_probability(logits).max(1))
    right = logits.argmax(1) == data.labels
    bins = np.ceil(confidence * BINS).astype(np.int64)
    gaps = np.bincount(bins, weights=right - confidence)  # a bin's sum: its size times its gap
    return float(np.abs(gaps).sum() / len(data))


def _log_probability(logits: Logits) -> NDArray[np.float64]:
    """Log of the softmax of each row."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    log_probability: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return log_probability
