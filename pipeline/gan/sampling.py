"""Drawing images from a trained generator: image i is a function of (generator, seed, i)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import nn

from pipeline.files import save_model
from pipeline.gan.description import GanDescription
from pipeline.gan.labels import Labels
from pipeline.gan.loading import load_network
from pipeline.gan.networks import ImageShape
from pipeline.images import Indices, Pixels, to_pixels
from pipeline.randomness import Stream, latents

BLOCK = 256  # rows of every forward pass: another shape may round differently, so the shape never varies
CALIBRATION_BLOCKS = 16


@dataclass(frozen=True)
class Sampler:
    """A generator in evaluation mode on its device, with what is needed to draw from it."""

    network: nn.Module
    latent_dim: int
    shape: ImageShape
    class_names: tuple[str, ...]
    device: torch.device

    @classmethod
    def load(cls, folder: Path, device: torch.device, *, networks: str) -> Self:
        """The generator that `train_gan` left in `folder`; `networks` is `gan.networks` of params.yaml.

        Raises:
            UserError: a file is missing, corrupted, not a generator of ours, or asks for other networks.
        """
        network, about = load_network(folder, "generator", networks)
        return cls(network.to(device).eval(), about.latent_dim, about.shape, about.class_names, device)

    def save(self, folder: Path, about: GanDescription) -> None:
        """Writes the weights beside their description."""
        save_model(folder, "generator", self.network.state_dict(), about.model_dump())

    def draw(
        self,
        start: int,
        stop: int,
        *,
        seed: int,
        std: float,
        labels: Labels,
    ) -> tuple[Pixels, Indices]:
        """Images start ... stop (uint8 NHWC) and their labels, the same however the range is cut."""
        first = start // BLOCK * BLOCK
        blocks = [self._block(i, seed, std, labels) for i in range(first, stop, BLOCK)]
        images = np.concatenate(blocks)[start - first : stop - first]
        return images, labels.at(start, stop - start)

    @torch.inference_mode()
    def _block(self, start: int, seed: int, std: float, labels: Labels) -> Pixels:
        z = torch.from_numpy(latents(start, BLOCK, self.latent_dim, seed=seed, stream=Stream.SYNTHETIC_LATENTS)) * std
        y = torch.from_numpy(labels.at(start, BLOCK))
        pixels: Pixels = to_pixels(self.network(z.to(self.device), y.to(self.device))).cpu().numpy()
        return pixels

    @torch.inference_mode()
    def grid(self, columns: int, *, seed: int) -> Pixels:
        """A fixed choice of images, one row a class: (num_classes * columns) images in uint8 NHWC."""
        count = self.shape.num_classes * columns
        z = torch.from_numpy(latents(0, count, self.latent_dim, seed=seed, stream=Stream.GRID_LATENTS))
        y = torch.arange(self.shape.num_classes).repeat_interleave(columns)
        pixels: Pixels = to_pixels(self.network(z.to(self.device), y.to(self.device))).cpu().numpy()
        return pixels


@torch.no_grad()
def recalibrate(network: nn.Module, latent_dim: int, num_classes: int, *, seed: int) -> None:
    """Measures the batch-normalisation statistics of averaged weights afresh (Brock et al. 2019, section 4).

    The statistics gathered in training belong to other weights than the average that is sampled.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all blocks
    network.train()
    device = next(network.parameters()).device
    y = torch.from_numpy(Labels.balanced(num_classes).at(0, BLOCK)).to(device)
    for block in range(CALIBRATION_BLOCKS):
        z = torch.from_numpy(latents(block * BLOCK, BLOCK, latent_dim, seed=seed, stream=Stream.CALIBRATION_LATENTS))
        network(z.to(device), y)
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
