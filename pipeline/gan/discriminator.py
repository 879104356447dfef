"""The discriminator of the best state, kept to score how real each image looks as one of its class."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.files import save_model
from pipeline.gan.description import GanDescription
from pipeline.gan.loading import check_data, load_network
from pipeline.images import LabelledImages, to_unit_range

SCORE_BATCH = 500  # fixed, because another shape may round differently


@dataclass(frozen=True)
class TrainedDiscriminator:
    """A discriminator in evaluation mode on its device."""

    network: nn.Module
    device: torch.device

    @classmethod
    def load(cls, folder: Path, device: torch.device, data: LabelledImages, *, networks: str) -> Self:
        """The discriminator that `train_gan` left in `folder`, for `data`; `networks` is `gan.networks`.

        Raises:
            UserError: a file is missing, corrupted, not a discriminator of ours, or asks for other networks; or
                `data` is unlike the images that it was trained on.
        """
        network, about = load_network(folder, "discriminator", networks)
        check_data(folder, about, data)
        return cls(network.to(device).to(memory_format=torch.channels_last).eval(), device)

    def save(self, folder: Path, about: GanDescription) -> None:
        """Writes the weights (buffers of spectral norm included) beside their description."""
        save_model(folder, "discriminator", self.network.state_dict(), about.model_dump())

    @torch.inference_mode()
    def score(self, data: LabelledImages) -> NDArray[np.float32]:
        """Realness logits (N,) of the images, each given its label; they compare within a class alone."""
        parts = []
        for start in range(0, len(data), SCORE_BATCH):
            x = to_unit_range(torch.from_numpy(data.images[start : start + SCORE_BATCH]).to(self.device))
            y = torch.from_numpy(data.labels[start : start + SCORE_BATCH]).to(self.device)
            logits, _ = self.network(x, y)
            parts.append(logits.float().cpu().numpy())
        return np.concatenate(parts)
