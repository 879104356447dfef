"""Exponential moving average of the generator's weights, its horizon counted in images."""

import torch
from torch import nn


def ema_decay(batch_size: int, images_seen: int, half_life_images: int, rampup: float) -> float:
    """Factor that keeps half of a weight's part after `half_life_images` images.

    Early on the half-life is capped at `rampup` times the images seen (Karras et al. 2020, ADA, appendix C).
    """
    half_life = min(float(half_life_images), rampup * images_seen) if rampup else float(half_life_images)
    return float(0.5 ** (batch_size / max(half_life, 1e-8)))


@torch.no_grad()
def update_ema(average: nn.Module, model: nn.Module, decay: float) -> None:
    """average ← decay * average + (1 - decay) * model, for all weights; buffers are copied."""
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
    for kept, new in zip(average.buffers(), model.buffers(), strict=True):
        kept.copy_(new)
