"""Metrics of logits, float32 (N, num_classes): accuracy a class, negative log-likelihood, calibration."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

from pipeline.classifier.inference import Logits
from pipeline.images import ImageSet

MOST_TIMES = 100.0  # what a temperature multiplies or divides logits by; beyond it no figure changes
BINS = 15  # of equal width, as Guo et al. 2017 have them


def accuracy_per_class(logits: Logits, data: ImageSet) -> dict[str, float]:
    """Fraction of each class's images that are classified correctly, 0 to 1, to six digits, by the class's name."""
    right = logits.argmax(1) == data.labels
    return {name: round(float(right[data.labels == k].mean()), 6) for k, name in enumerate(data.class_names)}


def negative_log_likelihood(logits: Logits, data: ImageSet) -> float:
    """Mean of -log p(label), in nats."""
    log_probability = log_softmax(logits.astype(np.float64), axis=1)
    return float(-log_probability[np.arange(len(data)), data.labels].mean())


def fit_temperature(logits: Logits, data: ImageSet) -> float:
    """The T for which logits / T have the least negative log-likelihood (Guo et al. 2017, section 4.2).

    Above 1 the classifier is too confident, below 1 too cautious; at most MOST_TIMES either way. As in Platt 1999,
    section 2.2, the likelihood counts one image more, whose class is any: where all of `data` are classified
    correctly, its maximum would lie at T = 0, and a single error on other images would cost without bound.
    """
    centred = logits.astype(np.float64) - logits.max(1, keepdims=True)
    of_label, of_any = centred[np.arange(len(data)), data.labels].mean(), centred.mean() / len(data)

    def loss(log_temperature: float) -> float:
        factor = np.exp(-log_temperature)
        normalizer = logsumexp(factor * centred, axis=1).mean() * (1 + 1 / len(data))
        return float(normalizer - factor * (of_label + of_any))

    bound = float(np.log(MOST_TIMES))
    return float(np.exp(minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))


def confidence_gap(logits: Logits, data: ImageSet) -> float:
    """Mean largest probability less accuracy, -1 to 1: above 0 the classifier is too confident."""
    confidence = np.exp(log_softmax(logits.astype(np.float64), axis=1).max(1))
    return float((confidence - (logits.argmax(1) == data.labels)).mean())


def calibration_error(logits: Logits, data: ImageSet) -> float:
    """Expected calibration error, 0 to 1 (Guo et al. 2017, eq. 3): how far confidence and accuracy lie apart.

    Images fall into BINS equal bins of their largest probability, ((k - 1)/BINS, k/BINS]; the error is the mean
    over all images of the gap between their bin's accuracy and its mean confidence.
    """
    confidence = np.exp(log_softmax(logits.astype(np.float64), axis=1).max(1))
    right = logits.argmax(1) == data.labels
    bins = np.ceil(confidence * BINS).astype(np.int64)
    gaps = np.bincount(bins, weights=right - confidence)  # a bin's sum: its size times its gap
    return float(np.abs(gaps).sum() / len(data))
