"""The classifier: a small speed-run network, images NCHW in [-1, 1] → logits (N, num_classes)."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNet(nn.Module):
    """Convolutions on 2x2 pixel blocks in three widths (w, 2w, 4w), global max pooling, scaled logits.

    The shape of cifar10-airbench's network (Jordan 2024) on space-to-depth input, which a CPU digests.
    """

    def __init__(self, width: int, channels: int, num_classes: int) -> None:
        super().__init__()
        self.from_image = nn.Conv2d(channels * 4, width, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.groups = nn.ModuleList([ConvGroup(width, 2 * width), ConvGroup(2 * width, 4 * width)])
        self.linear = nn.Linear(4 * width, num_classes, bias=False)
        self.scale = (4 * width) ** -0.5

    def features(self, images: Tensor) -> Tensor:
        """The pooled activations before the linear layer: (N, 4 * width)."""
        x = F.gelu(self.norm(self.from_image(F.pixel_unshuffle(images, 2))))
        for group in self.groups:
            x = group(x)
        return x.amax((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.linear(self.features(images)) * self.scale)


class ConvGroup(nn.Module):
    """Convolution, 2x2 max pooling, convolution, each with batch normalisation and GELU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, 1, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return F.gelu(self.norm2(self.conv2(x)))


def build_network(width: int, channels: int, num_classes: int, *, seed: int) -> ConvNet:
    """An untrained network whose weights are drawn by `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ConvNet(width, channels, num_classes)
