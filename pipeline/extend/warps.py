"""Copies of images, each turned, scaled, sheared, shifted and bent a little: a function of (images, seed, position)."""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pipeline.images import LabelledImages, Pixels, to_pixels, to_unit_range
from pipeline.randomness import random_words

BENDS = 4  # points of the bending field a side; between them it is interpolated
NUMBERS = 6 + 2 * BENDS**2  # uniform draws an image


class Warp(NamedTuple):
    """The most that a copy may differ by; each value is drawn uniformly from minus to plus this much."""

    rotation: float
    """In degrees."""
    scale: float
    """Change of size, a fraction, in each direction apart."""
    shear: float
    """Horizontal shift a unit of height."""
    shift: float
    """In sides of the image, in each direction."""
    bend: float
    """Shift of a point of the bending field, in sides of the image."""


MILD = Warp(rotation=8, scale=0.08, shear=0.1, shift=1 / 16, bend=0.6 / 16)
STRONG = Warp(rotation=15, scale=0.15, shear=0.2, shift=2 / 16, bend=1.0 / 16)


def warped_copies(data: LabelledImages, count: int, warp: Warp, *, seed: int, stream: int) -> LabelledImages:
    """`count` images: those of `data` as they are, then warped copies of them in turn; all of them at the least.

    What a warp moves in from beyond the border repeats the border.
    """
    rows = np.arange(max(count, len(data)), dtype=np.int64) % len(data)
    copies = data.select(rows)
    copies.images[len(data) :] = _warp(copies.images[len(data) :], warp, seed=seed, stream=stream)
    return copies


def _warp(images: Pixels, warp: Warp, *, seed: int, stream: int) -> Pixels:
    """Every image by its own numbers."""
    if not len(images):
        return images
    words = [random_words(NUMBERS, seed=seed, stream=stream, position=place) for place in range(len(images))]
    numbers = (np.stack(words) / 2.0**63 - 1).astype(np.float32)
    grid = F.affine_grid(_matrices(numbers[:, :6], warp), [len(images), 1, *images.shape[1:3]], align_corners=False)
    field = torch.from_numpy(numbers[:, 6:].reshape(-1, 2, BENDS, BENDS)) * (2 * warp.bend)
    bent = F.interpolate(field, images.shape[1:3], mode="bicubic", align_corners=True)
    x = to_unit_range(torch.from_numpy(images))
    moved = F.grid_sample(x, grid + bent.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)
    pixels: Pixels = to_pixels(moved).numpy()
    return pixels


def _matrices(numbers: NDArray[np.float32], warp: Warp) -> Tensor:
    """(N, 6) numbers in [-1, 1] => (N, 2, 3) affine maps in coordinates in which an image's side is 2."""
    maps = np.zeros((len(numbers), 2, 3), np.float32)
    for row, (turn, wide, high, slant, right, down) in enumerate(numbers.tolist()):
        angle = math.radians(turn * warp.rotation)
        cosine, sine = math.cos(angle), math.sin(angle)
        linear = np.array([[cosine, -sine], [sine, cosine]]) @ np.array([[1, slant * warp.shear], [0, 1]])
        maps[row, :, :2] = linear * [1 + wide * warp.scale, 1 + high * warp.scale]
        maps[row, :, 2] = 2 * warp.shift * right, 2 * warp.shift * down
    return torch.from_numpy(maps)
