"""The first layer of `convnet`: kernels that decorrelate image patches, computed from images and never trained."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.images import Pixels

PATCH, STRIDE = 4, 2  # pixels
FLOOR = 2e-3  # added to variances (of values in [-1, 1]), so that the rarest directions are not blown up
BLOCK = 2**18  # pixels at a time, whose patches in double precision take 25 MB


def whitening_kernels(images: Pixels, num_kernels: int) -> Tensor:
    """The patches' strongest principal directions at unit variance, in both signs: (num_kernels, C, PATCH, PATCH).

    Responses of one half of the kernels to `images` (uint8 NHWC, scaled to [-1, 1]) are uncorrelated; the other half
    has the opposite signs, since the activation that follows keeps one of them. As in cifar10-airbench (Jordan 2024).
    """
    variances, directions = np.linalg.eigh(_second_moment(images))
    variances, directions = variances[::-1], directions[:, ::-1].T  # strongest first, one a row
    half, channels = num_kernels // 2, images.shape[3]
    strongest = np.abs(directions).argmax(1)
    signs = np.sign(directions[np.arange(len(directions)), strongest])  # an eigenvector's own sign is arbitrary
    scaled = (directions * signs[:, None] / np.sqrt(variances.clip(0) + FLOOR)[:, None])[:half]
    kernels = torch.from_numpy(scaled.astype(np.float32)).view(half, channels, PATCH, PATCH)
    return torch.cat([kernels, -kernels])


def _second_moment(images: Pixels) -> NDArray[np.float64]:
    """Mean product of every two values of a patch, (D, D) with D = C * PATCH * PATCH.

    The sums are of whole numbers, so no order of adding matters.
    """
    size = images.shape[3] * PATCH**2
    total, count = np.zeros((size, size)), 0
    num_images = max(1, BLOCK // math.prod(images.shape[1:3]))
    for start in range(0, len(images), num_images):
        levels = 2.0 * images[start : start + num_images] - 255
        windows = np.lib.stride_tricks.sliding_window_view(levels, (PATCH, PATCH), axis=(1, 2))
        patches = windows[:, ::STRIDE, ::STRIDE].reshape(-1, size)
        total, count = total + patches.T @ patches, count + len(patches)
    mean: NDArray[np.float64] = total / count / 255**2
    return mean
