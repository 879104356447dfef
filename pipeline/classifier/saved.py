"""A classifier on disk: its weights, and classifier.json, which rebuilds it."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field

from pipeline.classifier.backbone import is_code
from pipeline.classifier.network import Architecture, Network, build_network
from pipeline.files import Record, fill_network, load_weights, read_record, save_model, wrong_model
from pipeline.images import ImageSet
from pipeline.runtime.errors import UserError

AGAIN = "dvc repro"
Name = Literal["classifier", "judge"]


class ClassifierRecord(Record):
    """classifier.json: what is needed to rebuild a network and to use it on images."""

    shape: Architecture
    """What rebuilds the network."""
    image_size: Annotated[int, Field(gt=0)]
    """Side of the square images, in pixels."""
    class_names: Annotated[tuple[str, ...], Field(min_length=1)]
    """One name a class, in the order of the logits."""
    flip: bool
    """Whether its answer is the mean over both mirror images, as in `predict`."""


def save_classifier(folder: Path, network: Network, record: ClassifierRecord, *, name: Name = "classifier") -> None:
    """Writes `<name>.safetensors` and `<name>.json`."""
    weights = {key: value.clone() for key, value in network.plain.state_dict().items()}  # some may share memory
    save_model(folder, name, weights, record.model_dump(exclude_none=True))


def read_classifier_record(folder: Path, name: Name = "classifier") -> ClassifierRecord:
    """The content of `<name>.json`.

    Raises:
        UserError: it is missing or corrupted.
    """
    return read_record(folder / f"{name}.json", ClassifierRecord, again=AGAIN)


def load_judge(folder: Path, device: torch.device, data: ImageSet, *, network: str) -> Network:
    """The baseline's classifier or, where that was trained by a program of the user's, the network beside it."""
    name: Name = "judge" if (folder / "judge.json").is_file() else "classifier"
    return load_classifier(folder, device, data, network=network, name=name)


def load_classifier(
    folder: Path, device: torch.device, data: ImageSet, *, network: str, name: Name = "classifier"
) -> Network:
    """The network that `save_classifier` wrote, in evaluation mode, to look at `data`.

    Args:
        folder: holds `<name>.safetensors` and `<name>.json`.
        device: where it is to compute.
        data: images of its classes.
        network: `classifier.network` of params.yaml, the only module of the user's that may be imported.
        name: of the two files.

    Raises:
        UserError: a file is missing, corrupted or not a classifier of ours, or it knows other classes than `data`, or
            it names other code than `network`.
    """
    weights, record = load_weights(folder, name), read_classifier_record(folder, name)
    if is_code(record.shape.network) and record.shape.network != network:
        raise UserError(
            f"{folder / name}.json: asks for the network {record.shape.network!r}, params.yaml names {network!r} "
            f"as classifier.network; if that code is yours, write it there, else run: {AGAIN}"
        )
    if (record.shape.channels, record.class_names) != (data.images.shape[3], data.class_names):
        raise UserError(f"{folder}: made for other classes or channels than the images; run: {AGAIN}")
    with wrong_model(folder, name):
        with torch.device("meta") if record.shape.is_own else nullcontext():
            built = build_network(record.shape, seed=0)
        fill_network(built.plain, weights)
    return built.to(device).to(memory_format=torch.channels_last).eval()
