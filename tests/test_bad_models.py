"""Generators, discriminators and classifiers that are not what their files say."""

import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from pipeline.classifier.saved import load_classifier
from pipeline.gan.discriminator import TrainedDiscriminator
from pipeline.gan.sampling import Sampler
from pipeline.params.load import load_all_params
from pipeline.shards.reader import read_images
from pipeline.sources.description import check_classes, read_description
from tests.bad_files import Check, Spoil, Work, change_json, cut, make_folder, set_param

GAN, JUDGE = "models/gan/0", "models/train_baseline/100-0"
WEIGHTS, ABOUT, JUDGED = f"{GAN}/generator.safetensors", f"{GAN}/generator.json", f"{JUDGE}/classifier.json"
DATASET, SYNTHETIC, CPU = "data/prepared/0/dataset.json", "data/synthetic/0/data", torch.device("cpu")


def edit(file: str, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    """Rewrites a weights file after `change` of its arrays."""
    weights = {name: value.copy() for name, value in load_file(file).items()}
    change(weights)
    save_file(weights, file)


def spoil(value: float) -> Callable[[dict[str, np.ndarray]], object]:
    """Puts one such value into the first weight with digits after the point."""

    def change(weights: dict[str, np.ndarray]) -> None:
        name = min(name for name, array in weights.items() if array.dtype == np.float32 and array.ndim)
        weights[name].flat[0] = value

    return change


def grow(weights: dict[str, np.ndarray]) -> None:
    """Gives the first matrix one more row."""
    name = min(name for name, array in weights.items() if array.ndim == 2)
    weights[name] = np.concatenate([weights[name], weights[name][:1]])


def widen(weights: dict[str, np.ndarray]) -> None:
    """Stores every weight with twice the bits."""
    for name, array in weights.items():
        weights[name] = array.astype(np.float64) if array.dtype == np.float32 else array


def pickled(file: str) -> None:
    """A pickle under the name of a weights file."""
    Path(file).write_bytes(pickle.dumps({"weight": [1.0]}))


def vast_header(file: str) -> None:
    """A safetensors file that announces a header of petabytes."""
    Path(file).write_bytes(struct.pack("<Q", 2**50) + b"{}")


def vast_weight(file: str) -> None:
    """A safetensors file whose header promises terabytes that are not there."""
    size = 4 * 10**12
    header = json.dumps({"w": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, size]}}).encode()
    Path(file).write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 8)


OTHERS = f"{GAN}/generator.json: asks for the networks 'os:system', params.yaml names '' as gan.networks"
CASES: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "generator: gone": (lambda: shutil.rmtree(GAN), (GAN, "dvc repro")),
    "generator: NaN": (lambda: edit(WEIGHTS, spoil(np.nan)), (GAN, "NaN", "dvc repro")),
    "generator: infinite": (lambda: edit(WEIGHTS, spoil(np.inf)), (GAN, "infinity", "dvc repro")),
    "generator: pickle": (lambda: pickled(WEIGHTS), (GAN, "dvc repro")),
    "synthesize: weights cut off": (lambda: cut(WEIGHTS, 0.7), (GAN, "dvc repro")),
    "generator: cut off": (lambda: cut(WEIGHTS, 0.7), (GAN, "dvc repro")),
    "generator: empty": (lambda: cut(WEIGHTS, 0), (GAN, "dvc repro")),
    "generator: header of petabytes": (lambda: vast_header(WEIGHTS), (GAN, "dvc repro")),
    "generator: weight of terabytes": (lambda: vast_weight(WEIGHTS), (GAN, "dvc repro")),
    "generator: other shape": (lambda: edit(WEIGHTS, grow), (GAN, "is ((")),
    "generator: other type": (lambda: edit(WEIGHTS, widen), (GAN, "float64", "float32")),
    "generator: weight missing": (lambda: edit(WEIGHTS, dict.popitem), (GAN, "is absent")),
    "generator: weight too many": (lambda: edit(WEIGHTS, lambda w: w.update(x=np.ones(1))), ("x is", "absent")),
    "generator: discriminator's weights": (lambda: shutil.copy(f"{GAN}/discriminator.safetensors", WEIGHTS), (GAN,)),
    "generator: recipe of another": (lambda: change_json(ABOUT, recipe="dcgan"), (GAN, "dvc repro")),
    "generator: unknown recipe": (lambda: change_json(ABOUT, recipe="wgan"), (GAN, "recipe")),
    "generator: width of petabytes": (lambda: change_json(ABOUT, width=10**9), (GAN, "dvc repro")),
    "generator: latent_dim beyond numbers": (lambda: change_json(ABOUT, latent_dim=10**30), (GAN, "dvc repro")),
    "generator: latent_dim as text": (lambda: change_json(ABOUT, latent_dim="64"), ("latent_dim", "integer")),
    "generator: odd image size": (lambda: change_json(ABOUT, image_size=17), ("image_size: is 17",)),
    "generator: size of no recipe": (lambda: change_json(ABOUT, image_size=48), ("image_size is 48, none of (16, 32",)),
    "generator: four channels": (lambda: change_json(ABOUT, channels=4), ("channels: is 4",)),
    "generator: other classes": (
        lambda: change_json(ABOUT, class_names=[str(9 - k) for k in range(10)]),
        ("data/prepared/0/dataset.json", "dvc repro prepare")),
    "generator: class names are no list": (lambda: change_json(ABOUT, class_names="0123456789"), ("class_names",)),
    "generator: a class twice": (lambda: change_json(ABOUT, class_names=["0"] * 10), ("class_names", "twice")),
    "generator: description lacks a key": (lambda: change_json(ABOUT, width=...), (GAN, "width")),
    "generator: description is a list": (lambda: Path(ABOUT).write_text("[]"), (GAN, "corrupted")),
    "generator: description nested": (lambda: Path(ABOUT).write_text("[" * 10**5), (GAN, "corrupted")),
    "generator: description not UTF-8": (lambda: Path(ABOUT).write_bytes(b"\xff\xfe{"), (GAN, "dvc repro")),
    "generator: names code": (lambda: change_json(ABOUT, networks="os:system"), (OTHERS, "write it there")),
    "generator: names a type of code": (lambda: change_json(ABOUT, networks=["os"]), (GAN, "networks")),
    "generator: params name other code": (
        lambda: set_param("gan.networks", "my_networks:build"), ("gan.networks", "dvc repro train_gan")),
    "discriminator: names code": (
        lambda: change_json(f"{GAN}/discriminator.json", networks="os:system"),
        (OTHERS.replace("generator.json", "discriminator.json"),)),
    "discriminator: NaN": (lambda: edit(f"{GAN}/discriminator.safetensors", spoil(np.nan)), (GAN, "NaN", "dvc repro")),
    "discriminator: other classes": (
        lambda: change_json(f"{GAN}/discriminator.json", class_names=list("abcdefghij")), (GAN, "dvc repro")),
    "classifier: NaN": (lambda: edit(f"{JUDGE}/classifier.safetensors", spoil(np.nan)), (JUDGE, "NaN", "dvc repro")),
    "assess: a pickle": (lambda: pickled(f"{JUDGE}/classifier.safetensors"), (JUDGE, "dvc repro")),
    "classifier: pickle": (lambda: pickled(f"{JUDGE}/classifier.safetensors"), (JUDGE, "dvc repro")),
    "classifier: other shape": (lambda: edit(f"{JUDGE}/classifier.safetensors", grow), (JUDGE, "is ((")),
    "classifier: other classes": (lambda: change_json(JUDGED, class_names=["a", "b"]), (JUDGE, "other classes")),
    "classifier: width of petabytes": (
        lambda: change_json(JUDGED, shape={"network": "convnet", "width": 10**9, "channels": 1, "num_classes": 10}),
        (JUDGE, "dvc repro")),
    "classifier: shape is text": (lambda: change_json(JUDGED, shape="?"), (JUDGE,)),
    "classifier: a folder in its place": (lambda: make_folder(JUDGED), (JUDGE,)),
}  # fmt: skip


def read_generator() -> None:
    """As synthesize does."""
    sampler = Sampler.load(Path(GAN), CPU, networks=load_all_params().gan.networks)
    check_classes(Path(DATASET), read_description(Path(DATASET)), sampler.class_names)


def read_discriminator() -> None:
    """As assess does."""
    images = read_images(Path(SYNTHETIC))
    TrainedDiscriminator.load(Path(GAN), CPU, images, networks=load_all_params().gan.networks)


def read_classifier() -> None:
    """As assess does."""
    load_classifier(Path(JUDGE), CPU, read_images(Path(SYNTHETIC)), network=load_all_params().classifier.network)


READERS: dict[str, Work] = {
    "generator": read_generator,
    "discriminator": read_discriminator,
    "classifier": read_classifier,
    "synthesize": "synthesize",
    "assess": "assess",
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_model_is_one_line(case: str, workdir: Path, check_refusal: Check) -> None:
    """Another network's weights, NaN, pickles, promises of petabytes, names of code: one line, nothing changed."""
    damage, told = CASES[case]
    damage()
    check_refusal(READERS[case.split(":")[0]], *told)
