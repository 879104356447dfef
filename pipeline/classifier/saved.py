"""A classifier on disk: its weights, and classifier.json, which rebuilds it."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field

from pipeline.classifier.backbone import is_code
from pipeline.classifier.network import Architecture, Network, build_network
from pipeline.files import Record, fill_network, load_weights, read_record, save_model, wrong_model
from pipeline.images import ImageSet
from pipeline.runtime.errors import UserError

AGAIN = "dvc repro"


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


def save_classifier(folder: Path, network: Network, record: ClassifierRecord) -> None:
    """Writes classifier.safetensors and classifier.json."""
    save_model(folder, "classifier", network.plain.state_dict(), record.model_dump(exclude_none=True))


def read_classifier_record(folder: Path) -> ClassifierRecord:
    """The content of classifier.json.

    Raises:
        UserError: it is missing or corrupted.
    """
    return read_record(folder / "classifier.json", ClassifierRecord, again=AGAIN)


def load_classifier(folder: Path, device: torch.device, data: ImageSet, *, network: str) -> Network:
    """The network that `save_classifier` wrote, in evaluation mode, to look at `data`.

    Args:
        folder: holds classifier.safetensors and classifier.json.
        device: where it is to compute.
        data: images of its classes.
        network: `classifier.network` of params.yaml, the only module of the user's that may be imported.

    Raises:
        UserError: a file is missing, corrupted or not a classifier of ours, or it knows other classes than `data`, or
            it names other code than `network`.
    """
    weights, record = load_weights(folder, "classifier"), read_classifier_record(folder)
    if is_code(record.shape.network) and record.shape.network != network:
        raise UserError(
            f"{folder}/classifier.json: asks for the network {record.shape.network!r}, params.yaml names {network!r} "
            f"as classifier.network; if that code is yours, write it there, else run: {AGAIN}"
        )
    if (record.shape.channels, record.class_names) != (data.images.shape[3], data.class_names):
        raise UserError(f"{folder}: made for other classes or channels than the images; run: {AGAIN}")
    with wrong_model(folder, "classifier"):
        with torch.device("meta") if record.shape.is_own else nullcontext():
            built = build_network(record.shape, seed=0)
        fill_network(built.plain, weights)
    return built.to(device).to(memory_format=torch.channels_last).eval()
