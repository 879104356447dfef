"""mixup and CutMix: every image of a batch is blended with another one of it, and so are their labels."""

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor

from pipeline.params.schema import ClassifierParams
from pipeline.randomness import Stream, random_words

WORD = 2.0**64


def blend(
    images: Tensor, targets: Tensor, classifier: ClassifierParams, *, position: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """NCHW images and their probabilities (N, num_classes) => the same of the blended ones.

    mixup (Zhang et al. 2018) takes the weighted mean of two images, CutMix (Yun et al. 2019) puts a rectangle of one
    into the other; the weight of a batch is drawn from Beta(alpha, alpha), of a rectangle it is its share of the area.

    Args:
        images: in any range.
        targets: what a network should answer.
        classifier: `mixup` and `cutmix`, alpha or 0, of which one is above 0.
        position: seed and step, of which the draws are a function.
    """
    seed, step = position
    words = random_words(len(images) + 3, seed=seed, stream=Stream.CELL_BLEND, position=step)
    order = torch.from_numpy(np.argsort(words[3:], kind="stable")).to(images.device)
    uniform = words[:3].astype(np.float64) / WORD
    alpha = classifier.mixup or classifier.cutmix
    weight = float(betaincinv(alpha, alpha, uniform[0]))
    if classifier.mixup:
        blended = weight * images + (1 - weight) * images[order]
    else:
        blended, weight = _cut(images, images[order], weight, uniform[1:])
    return blended, weight * targets + (1 - weight) * targets[order]


def _cut(images: Tensor, others: Tensor, weight: float, centre: np.ndarray) -> tuple[Tensor, float]:
    """`images` with a rectangle of `others` around `centre` (two fractions), cut at the border; and what is left."""
    size, half = images.shape[2], images.shape[2] * np.sqrt(1 - weight) / 2
    (top, bottom), (left, right) = (
        (max(0, round(size * at - half)), min(size, round(size * at + half))) for at in centre.tolist()
    )
    blended = images.clone()
    blended[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
    return blended, 1 - (bottom - top) * (right - left) / size**2
