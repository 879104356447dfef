"""Trained networks from the files that `train_gan` wrote; no file decides which code runs."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from pipeline.files import fill_network, load_model, wrong_model
from pipeline.gan.networks import ImageShape, find_build
from pipeline.images import LabelledImages
from pipeline.runtime.errors import UserError

PLACES = {"generator": 0, "discriminator": 1}  # in what a build function returns
SIZES, CHANNELS = (16, 32, 64), (1, 3)


class Loaded(NamedTuple):
    """A network on the CPU, with what its description says of it."""

    network: nn.Module
    latent_dim: int
    shape: ImageShape
    class_names: tuple[str, ...]


def load_network(folder: Path, name: Literal["generator", "discriminator"], networks: str) -> Loaded:
    """The network `name` in `folder`.

    Args:
        folder: holds `<name>.safetensors` and `<name>.json`.
        name: which of the two.
        networks: `gan.networks` of params.yaml, the only module that may be imported; empty for the recipes' own.

    Raises:
        UserError: a file is missing, damaged or not of ours, or asks for other networks than `networks`.
    """
    weights, about = load_model(folder, name)
    _check_networks(folder / f"{name}.json", about.get("networks", ""), networks)
    with wrong_model(folder, name):
        names = _class_names(about)
        shape = ImageShape(_one_of(about, "image_size", SIZES), _one_of(about, "channels", CHANNELS), len(names))
        latent_dim, width = (_positive(about, key) for key in ("latent_dim", "width"))
        build = find_build(about["recipe"], networks)
        with nullcontext() if networks else torch.device("meta"):
            network = build(latent_dim, width, shape)[PLACES[name]]
        fill_network(network, weights)
    return Loaded(network, latent_dim, shape, names)


def check_data(folder: Path, loaded: Loaded, data: LabelledImages) -> None:
    """Refuses images unlike those that the network was trained for.

    Raises:
        UserError: their size or classes differ.
    """
    shape = (loaded.shape.size, loaded.shape.size, loaded.shape.channels)
    if data.images.shape[1:] != shape or data.class_names != loaded.class_names:
        raise UserError(f"{folder}: made for other classes or another image size than the images; run: dvc repro")


def _check_networks(file: Path, found: object, networks: str) -> None:
    """A file that names code is believed only where the user named the same code."""
    if found == networks:
        return
    told = f"asks for the networks {found!r}, params.yaml names {networks!r} as gan.networks"
    raise UserError(f"{file}: {told}; if that code is yours, write it there, else run: dvc repro train_gan")


def _class_names(about: dict[str, Any]) -> tuple[str, ...]:
    names = about["class_names"]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError("class_names is no list of names")
    if len(set(names)) < len(names):
        raise ValueError("class_names has a name twice")
    return tuple(names)


def _one_of(about: dict[str, Any], key: str, allowed: tuple[int, ...]) -> int:
    value = about[key]
    if type(value) is not int or value not in allowed:
        raise ValueError(f"{key} is {value!r}, none of {allowed}")
    return value


def _positive(about: dict[str, Any], key: str) -> int:
    value = about[key]
    if type(value) is not int or value < 1:
        raise ValueError(f"{key} is {value!r}, no positive whole number")
    return value
