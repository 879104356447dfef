"""Generators, discriminators and classifiers that are not what their files say."""

import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.bad_files import change_json, check_refusal, copy, cut, make_folder, project, set_param

__all__ = ["copy", "project"]  # fixtures
GAN, JUDGE = "models/gan", "models/train_baseline/100-0"


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
CASES: dict[str, tuple[str, Callable[[], object], tuple[str, ...]]] = {
    "generator: gone": ("synthesize", lambda: shutil.rmtree(GAN), (GAN, "dvc repro")),
    "generator: NaN": (
        "synthesize", lambda: edit(f"{GAN}/generator.safetensors", spoil(np.nan)), (GAN, "NaN", "dvc repro")),
    "generator: infinite": (
        "synthesize", lambda: edit(f"{GAN}/generator.safetensors", spoil(np.inf)), (GAN, "infinity", "dvc repro")),
    "generator: pickle": ("synthesize", lambda: pickled(f"{GAN}/generator.safetensors"), (GAN, "dvc repro")),
    "generator: cut off": ("synthesize", lambda: cut(f"{GAN}/generator.safetensors", 0.7), (GAN, "dvc repro")),
    "generator: empty": ("synthesize", lambda: cut(f"{GAN}/generator.safetensors", 0), (GAN, "dvc repro")),
    "generator: header of petabytes": (
        "synthesize", lambda: vast_header(f"{GAN}/generator.safetensors"), (GAN, "dvc repro")),
    "generator: weight of terabytes": (
        "synthesize", lambda: vast_weight(f"{GAN}/generator.safetensors"), (GAN, "dvc repro")),
    "generator: other shape": ("synthesize", lambda: edit(f"{GAN}/generator.safetensors", grow), (GAN, "is ((")),
    "generator: other type": (
        "synthesize", lambda: edit(f"{GAN}/generator.safetensors", widen), (GAN, "float64", "float32")),
    "generator: weight missing": (
        "synthesize", lambda: edit(f"{GAN}/generator.safetensors", dict.popitem), (GAN, "is absent")),
    "generator: weight too many": (
        "synthesize", lambda: edit(f"{GAN}/generator.safetensors", lambda w: w.update(x=np.ones(1))),
        ("x is", "absent")),
    "generator: discriminator's weights": (
        "synthesize", lambda: shutil.copy(f"{GAN}/discriminator.safetensors", f"{GAN}/generator.safetensors"), (GAN,)),
    "generator: recipe of another": (
        "synthesize", lambda: change_json(f"{GAN}/generator.json", recipe="dcgan"), (GAN, "dvc repro")),
    "generator: unknown recipe": (
        "synthesize", lambda: change_json(f"{GAN}/generator.json", recipe="wgan"), (GAN, "recipe")),
    "generator: width of petabytes": (
        "synthesize", lambda: change_json(f"{GAN}/generator.json", width=10**9), (GAN, "dvc repro")),
    "generator: latent_dim beyond numbers": (
        "synthesize", lambda: change_json(f"{GAN}/generator.json", latent_dim=10**30), (GAN, "dvc repro")),
    "generator: latent_dim as text": (
        "synthesize", lambda: change_json(f"{GAN}/generator.json", latent_dim="64"), ("latent_dim", "integer")),
    "generator: odd image size": (
        "synthesize", lambda: change_json(f"{GAN}/generator.json", image_size=17), ("image_size: is 17",)),
    "generator: four channels": (
        "synthesize", lambda: change_json(f"{GAN}/generator.json", channels=4), ("channels: is 4",)),
    "generator: other classes": (
        "synthesize", lambda: change_json(f"{GAN}/generator.json", class_names=[str(9 - k) for k in range(10)]),
        ("data/prepared/dataset.json", "dvc repro prepare")),
    "generator: class names are no list": (
        "synthesize", lambda: change_json(f"{GAN}/generator.json", class_names="0123456789"), ("class_names",)),
    "generator: a class twice": (
        "synthesize", lambda: change_json(f"{GAN}/generator.json", class_names=["0"] * 10), ("class_names", "twice")),
    "generator: description lacks a key": (
        "synthesize", lambda: change_json(f"{GAN}/generator.json", width=...), (GAN, "width")),
    "generator: description is a list": (
        "synthesize", lambda: Path(f"{GAN}/generator.json").write_text("[]"), (GAN, "corrupted")),
    "generator: description nested": (
        "synthesize", lambda: Path(f"{GAN}/generator.json").write_text("[" * 10**5), (GAN, "corrupted")),
    "generator: description not UTF-8": (
        "synthesize", lambda: Path(f"{GAN}/generator.json").write_bytes(b"\xff\xfe{"), (GAN, "dvc repro")),
    "generator: names code": (
        "synthesize", lambda: change_json(f"{GAN}/generator.json", networks="os:system"), (OTHERS, "write it there")),
    "generator: names a type of code": (
        "synthesize", lambda: change_json(f"{GAN}/generator.json", networks=["os"]), (GAN, "networks")),
    "generator: params name other code": (
        "synthesize", lambda: set_param("gan.networks", "my_networks:build"), ("gan.networks", "dvc repro train_gan")),
    "discriminator: names code": (
        "assess", lambda: change_json(f"{GAN}/discriminator.json", networks="os:system"),
        (OTHERS.replace("generator.json", "discriminator.json"),)),
    "discriminator: NaN": (
        "assess", lambda: edit(f"{GAN}/discriminator.safetensors", spoil(np.nan)), (GAN, "NaN", "dvc repro")),
    "discriminator: other classes": (
        "assess", lambda: change_json(f"{GAN}/discriminator.json", class_names=list("abcdefghij")), (GAN, "dvc repro")),
    "classifier: NaN": (
        "assess", lambda: edit(f"{JUDGE}/classifier.safetensors", spoil(np.nan)), (JUDGE, "NaN", "dvc repro")),
    "classifier: pickle": ("assess", lambda: pickled(f"{JUDGE}/classifier.safetensors"), (JUDGE, "dvc repro")),
    "classifier: other shape": ("assess", lambda: edit(f"{JUDGE}/classifier.safetensors", grow), (JUDGE, "is ((")),
    "classifier: other classes": (
        "assess", lambda: change_json(f"{JUDGE}/classifier.json", class_names=["a", "b"]), (JUDGE, "other classes")),
    "classifier: width of petabytes": (
        "assess", lambda: change_json(f"{JUDGE}/classifier.json", shape={"network": "convnet", "width": 10**9,
                                      "channels": 1, "num_classes": 10}), (JUDGE, "dvc repro")),
    "classifier: shape is text": ("assess", lambda: change_json(f"{JUDGE}/classifier.json", shape="?"), (JUDGE,)),
    "classifier: a folder in its place": (
        "assess", lambda: make_folder(f"{JUDGE}/classifier.json"), (JUDGE,)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_bad_model_is_one_line(
    case: str, copy: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Another network's weights, NaN, pickles, promises of petabytes, names of code: one line, nothing changed."""
    stage, damage, told = CASES[case]
    damage()
    check_refusal(stage, told, monkeypatch, capfd)
