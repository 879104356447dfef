"""Generators (z, y → image) and discriminators (image, y → logit) of all recipes.

Layouts: z float32 (N, latent_dim); y int64 (N,); images NCHW float32 in [-1, 1], square, side 16, 32, 64 or 128:
every doubling adds a block to each network.
A discriminator returns the realness logit (N,) and class logits (N, num_classes), or None without such a head.
"""

from itertools import pairwise
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm


class ImageShape(NamedTuple):
    """What the networks must know of the images."""

    size: int
    channels: int
    num_classes: int


Logits = tuple[Tensor, Tensor | None]  # of realness (N,) and of the classes (N, num_classes)


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation whose gain and bias depend on the class (de Vries et al. 2017)."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Embedding(num_classes, channels)
        self.bias = nn.Embedding(num_classes, channels)
        nn.init.zeros_(self.gain.weight)
        nn.init.zeros_(self.bias.weight)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        gain, bias = self.gain(y)[:, :, None, None], self.bias(y)[:, :, None, None]
        return torch.addcmul(bias, self.norm(x), 1 + gain)


class PixelShuffleGenerator(nn.Module):
    """Transposed convolutions from 4x4 up to half the size, then pixel shuffle (Shi et al. 2016)."""

    def __init__(self, latent_dim: int, width: int, shape: ImageShape) -> None:
        super().__init__()
        ups = (shape.size // 8).bit_length() - 1
        channels = [width << (ups - i) for i in range(ups + 1)]
        self.embed = nn.Embedding(shape.num_classes, latent_dim)
        self.seed = nn.Linear(2 * latent_dim, channels[0] * 16)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in pairwise(channels))
        self.norms = nn.ModuleList(ConditionalBatchNorm(c, shape.num_classes) for c in [*channels, width])
        self.refine = nn.Conv2d(width, width, 3, 1, 1)
        self.to_image = nn.Conv2d(width, shape.channels * 4, 3, 1, 1)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        x = self.seed(torch.cat([z, self.embed(y)], 1)).unflatten(1, (-1, 4, 4))
        for norm, up in zip(self.norms[:-2], self.ups, strict=True):
            x = up(F.relu(norm(x, y)))
        x = self.refine(F.relu(self.norms[-2](x, y)))
        x = self.to_image(F.relu(self.norms[-1](x, y)))
        return torch.tanh(F.pixel_shuffle(x, 2))


class PixelUnshuffleDiscriminator(nn.Module):
    """Convolutions without normalisation on 2x2 pixel blocks, and two heads.

    Realness by projection (Miyato & Koyama 2018, eq. 4), and an auxiliary class head (Odena et al. 2017).
    """

    def __init__(self, width: int, shape: ImageShape) -> None:
        super().__init__()
        downs = (shape.size // 8).bit_length() - 1
        channels = [width << i for i in range(downs + 1)]
        self.from_image = nn.Conv2d(shape.channels * 4, width, 3, 1, 1)
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(channels))
        self.refine = nn.Conv2d(channels[-1], channels[-1], 3, 1, 1)
        features = channels[-1] * 16
        self.linear = nn.Linear(features, 1)
        self.project = nn.Embedding(shape.num_classes, features)
        self.classes = nn.Linear(features, shape.num_classes)
        nn.init.normal_(self.project.weight, std=features**-0.5)

    def forward(self, x: Tensor, y: Tensor) -> Logits:
        x = F.leaky_relu(self.from_image(F.pixel_unshuffle(x, 2)), 0.2)
        for down in self.downs:
            x = F.leaky_relu(down(x), 0.2)
        h = F.leaky_relu(self.refine(x), 0.2).flatten(1)
        realness = self.linear(h).squeeze(1) + (self.project(y) * h).sum(1)
        return realness, self.classes(h)


class DcganGenerator(nn.Module):
    """Transposed convolutions with batch normalisation (Radford et al. 2016), y joined to z by an embedding."""

    def __init__(self, latent_dim: int, width: int, shape: ImageShape) -> None:
        super().__init__()
        ups = (shape.size // 8).bit_length()
        channels = [width << (ups - 1 - i) for i in range(ups)]
        self.embed = nn.Embedding(shape.num_classes, latent_dim)
        layers: list[nn.Module] = [nn.ConvTranspose2d(2 * latent_dim, channels[0], 4, 1, 0, bias=False)]
        for a, b in zip(channels, [*channels[1:], shape.channels], strict=True):
            layers += [nn.BatchNorm2d(a), nn.ReLU(), nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False)]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        self.layers.apply(_init_dcgan)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return cast(Tensor, self.layers(torch.cat([z, self.embed(y)], 1)[:, :, None, None]))


class DcganDiscriminator(nn.Module):
    """Strided convolutions with batch normalisation (Radford et al. 2016), y as one more input channel."""

    def __init__(self, width: int, shape: ImageShape) -> None:
        super().__init__()
        downs = (shape.size // 8).bit_length()
        channels = [width << i for i in range(downs)]
        self.embed = nn.Embedding(shape.num_classes, shape.size**2)
        layers: list[nn.Module] = [nn.Conv2d(shape.channels + 1, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for a, b in pairwise(channels):
            layers += [nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, 4, 1, 0, bias=False))
        self.layers.apply(_init_dcgan)

    def forward(self, x: Tensor, y: Tensor) -> Logits:
        label_map = self.embed(y).unflatten(1, (1, *x.shape[2:]))
        return self.layers(torch.cat([x, label_map], 1)).flatten(), None


def _init_dcgan(module: nn.Module) -> None:
    """Weights from N(0, 0.02), batch-normalisation gains from N(1, 0.02), as in Radford et al. 2016."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def normalize_spectrum(module: nn.Module) -> None:
    """Divides every weight matrix by its largest singular value (Miyato et al. 2018), in place.

    One power iteration a forward pass in training mode; its vectors are buffers, so checkpoints hold them.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear | nn.Embedding):
            spectral_norm(part)


Pair = tuple[nn.Module, nn.Module]  # generator, discriminator


def build_r3(latent_dim: int, width: int, shape: ImageShape) -> Pair:
    """The networks of `r3`."""
    return PixelShuffleGenerator(latent_dim, width, shape), PixelUnshuffleDiscriminator(width, shape)


def build_hinge_sn(latent_dim: int, width: int, shape: ImageShape) -> Pair:
    """Those of `r3`, the discriminator spectrally normalised."""
    generator, discriminator = build_r3(latent_dim, width, shape)
    normalize_spectrum(discriminator)
    return generator, discriminator


def build_dcgan(latent_dim: int, width: int, shape: ImageShape) -> Pair:
    """The classic networks."""
    return DcganGenerator(latent_dim, width, shape), DcganDiscriminator(width, shape)
