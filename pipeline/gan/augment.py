"""Differentiable augmentation: what D sees, moved a little, without changing what G must learn."""

import torch
from torch import Tensor
from torch.nn import functional as F


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
