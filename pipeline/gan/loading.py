"""Trained networks from the files that `train_gan` wrote; no file decides which code runs."""

from contextlib import nullcontext
from pathlib import Path

import torch
from torch import nn

from pipeline.files import fill_network, load_weights, wrong_model
from pipeline.gan.build import find_build
from pipeline.gan.description import AGAIN, GanDescription, Name, read_description
from pipeline.images import LabelledImages
from pipeline.runtime.errors import UserError


def load_network(folder: Path, name: Name, networks: str) -> tuple[nn.Module, GanDescription]:
    """The network `name` in `folder`, on the CPU, with its description.

    Args:
        folder: holds `<name>.safetensors` and `<name>.json`.
        name: which of the two.
        networks: `gan.networks` of params.yaml, the only module that may be imported; empty for the recipes' own.

    Raises:
        UserError: a file is missing, corrupted or not of ours, or asks for other networks than `networks`.
    """
    weights, about = load_weights(folder, name), read_description(folder, name)
    if about.networks != networks:  # a file that names code is believed only where the user named the same code
        raise UserError(
            f"{folder / name}.json: asks for the networks {about.networks!r}, params.yaml names {networks!r} as "
            f"gan.networks; if that code is yours, write it there, else run: {AGAIN}"
        )
    with wrong_model(folder, name):
        build = find_build(about.recipe, networks)
        with nullcontext() if networks else torch.device("meta"):
            generator, discriminator = build(about.latent_dim, about.width, about.shape)
        network = generator if name == "generator" else discriminator
        fill_network(network, weights)
    return network, about


def check_data(folder: Path, about: GanDescription, data: LabelledImages) -> None:
    """Refuses images unlike those that the network was trained for.

    Raises:
        UserError: their size or classes differ.
    """
    shape = (about.image_size, about.image_size, about.channels)
    if data.images.shape[1:] != shape or data.class_names != about.class_names:
        raise UserError(f"{folder}: made for other classes or another image size than the images; run: dvc repro")
