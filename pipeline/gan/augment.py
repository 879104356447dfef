"""Differentiable augmentation: what D sees, moved a little, without changing what G must learn."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.params.schema import GanParams
from pipeline.randomness import random_words


def flip(images: Tensor, mirror: Tensor) -> Tensor:
    """Mirrors the images (NCHW) whose entry of `mirror` (bool, N) is true."""
    return torch.where(mirror[:, None, None, None], images.flip(3), images)


def translate(images: Tensor, shifts: Tensor, reach: int) -> Tensor:
    """Shifts each image (NCHW) by its row of `shifts` (int64, (N, 2): down, right); zeros move in.

    No shift exceeds `reach` pixels.

    Translation of DiffAugment (Zhao et al. 2020), applied to real and generated images alike; gradients flow
    through the gather to the pixels that stay in sight.
    """
    n, _, height, width = images.shape
    padded = F.pad(images, (reach, reach, reach, reach)).permute(0, 2, 3, 1)
    rows = torch.arange(height, device=images.device)[None, :] + (reach - shifts[:, :1])
    columns = torch.arange(width, device=images.device)[None, :] + (reach - shifts[:, 1:])
    batch = torch.arange(n, device=images.device)[:, None, None]
    return padded[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


class Moves(NamedTuple):
    """What is drawn for a step: which images are mirrored (bool, N), and a shift an image (int64, (N, 2)) a view."""

    mirror: Tensor
    real: Tensor
    fake_for_d: Tensor
    fake_for_g: Tensor
    second_view: Tensor


def draw_moves(gan: GanParams, seed: int, step: int, stream: int, device: torch.device) -> Moves:
    """The moves of a step, a function of (seed, stream, step)."""
    words = random_words(9 * gan.batch_size, seed=seed, stream=stream, position=step)
    mirror = torch.from_numpy((words[: gan.batch_size] & 1).astype(bool)).to(device)
    if not gan.translate:
        return Moves(mirror, *torch.zeros(4, 0, 2, dtype=torch.int64))
    span = 2 * gan.translate + 1
    shifts = (words[gan.batch_size :] % span).astype("int64").reshape(4, gan.batch_size, 2) - gan.translate
    return Moves(mirror, *torch.from_numpy(shifts).to(device))


def augment(gan: GanParams, images: Tensor, shifts: Tensor) -> Tensor:
    """What the discriminator sees of the images."""
    return translate(images, shifts, gan.translate) if gan.translate else images
