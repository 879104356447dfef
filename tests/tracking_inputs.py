"""Runs and results that the tests of tracking are about."""

import time
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from pipeline.classifier.network import Architecture, build_network
from pipeline.classifier.saved import ClassifierRecord, save_classifier
from pipeline.files import write_csv, write_json
from pipeline.gan.description import GanDescription
from pipeline.gan.networks import ImageShape, PixelShuffleGenerator, PixelUnshuffleDiscriminator
from pipeline.gan.sampling import Sampler
from pipeline.tracking import TrackedRun, execution, store, tracked_run, writer

ROOT = Path(__file__).resolve().parents[1]
CELL = {"synthetic_percent": 50, "real_percent": 100, "seed": 0}
DIGITS = tuple("0123456789")
GRID = {"synthetic_percent": [50, 100], "real_percent": [25, 100], "seeds": [0, 1]}


def read_params() -> dict[str, Any]:
    """The values in force."""
    values: dict[str, Any] = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    return values


def open_parent() -> store.Parent:
    """The only parent run, as the store has it."""
    found = store.find_parent(store.open_experiment("digits"), execution.current_execution(read_params()))
    assert found
    return found


def child(name: str) -> Any:
    """The only child of DVC's stage `name`."""
    (run,) = store.children(open_parent(), name)
    return run


def write_run(stage: str, cell: dict[str, int], *messages: dict[str, Any], status: str | None = "FINISHED") -> None:
    """Writes a run as the companion does, in this process."""
    start = {"do": "start", "stage": stage, "cell": cell, "time": 1}
    end = [{"do": "end", "status": status}] if status else []
    writer.write(start, iter([*messages, *end]))


def wait_for(condition: Callable[[], object]) -> None:
    """Waits until `condition` is true, three minutes at most: a server starts slowly on a busy machine."""
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline, "waited three minutes in vain"
        time.sleep(0.2)


def answers(address: str) -> bool:
    """Whether something listens there."""
    try:
        with urllib.request.urlopen(address, timeout=2):  # noqa: S310 - our own server
            return True
    except OSError:
        return False


def save_networks(folder: Path, seed: int = 0) -> None:
    """Untrained networks of the digits in `classifier` and `generator`, as the stages save them."""
    shape = Architecture(network="convnet", width=8, channels=1, num_classes=len(DIGITS))
    record = ClassifierRecord(shape=shape, image_size=16, class_names=DIGITS, flip=False)
    save_classifier(folder / "classifier", build_network(shape, seed=seed), record)
    torch.manual_seed(seed)
    size = ImageShape(16, 1, len(DIGITS))
    sampler = Sampler(PixelShuffleGenerator(8, 8, size).eval(), 8, size, DIGITS, torch.device("cpu"))
    about = GanDescription(
        recipe="r3", networks="", latent_dim=8, width=8, image_size=16, channels=1, class_names=DIGITS,
        images_seen=512, restarts=0, degraded=False, small_cas=0.5, seed=0,
    )  # fmt: skip
    sampler.save(folder / "generator", about)


def build_own(latent_dim: int, width: int, shape: ImageShape) -> tuple[nn.Module, nn.Module]:
    """Networks as a user names them."""
    return PixelShuffleGenerator(latent_dim, width, shape), PixelUnshuffleDiscriminator(width, shape)


def track_gan() -> AbstractContextManager[TrackedRun]:
    """The run of train_gan, on the paths of dvc.yaml."""
    files = {"history": "history/train_gan.csv", "samples": "gan_samples.png", "evolution": "gan_evolution.png"}
    paths = {"train": Path("data/prepared/train"), "val": Path("data/prepared/val"), "out": Path("models/gan")}
    return tracked_run("train_gan", paths | {flag: Path("results", name) for flag, name in files.items()})


def track_cell(seed: int = 0) -> AbstractContextManager[TrackedRun]:
    """The run of the cell 50-`seed`."""
    paths = {"prepared": "data/prepared", "synthetic": "data/synthetic/data", "scores": "data/scores"}
    files = {flag: Path(path) for flag, path in (paths | {"results": "results"}).items()}
    return tracked_run("train_classifier", files, cell=CELL | {"seed": seed})


def grow_history(cas: dict[int, float]) -> None:
    """The GAN's history file with these steps."""
    write_csv(Path("results/history/train_gan.csv"), [{"step": step, "cas": value} for step, value in cas.items()])


def write_cell(stage: str, percent: int, seed: int, accuracy: float) -> None:
    """The files of one cell, as the stages write them."""
    mixed, name = stage == "train_classifier", f"{stage}-{percent}-{seed}"
    record = {
        "stage": stage, "real_percent": 100 if mixed else percent, "synthetic_percent": percent if mixed else 0,
        "seed": seed, "budget": "steps", "steps": 2, "num_real": 100, "num_synthetic": 100 if mixed else 0,
        "train_loss": 0.1, "val_accuracy": 0.6, "test_accuracy": accuracy, "test_loss": 0.3,
        "test_calibration_error": 0.1, "test_accuracy_per_class": dict.fromkeys(DIGITS, accuracy),
        "num_corrupted": 50, "corrupted_accuracy": 0.4, "accuracy_per_corruption": {"blur": 0.4},
    } | ({"mode": "add", "mixing": "batch"} if mixed else {})  # fmt: skip
    write_csv(Path(f"results/history/{name}.csv"), [
        {"step": step, "train_loss": 0.2 / step, "val_accuracy": 0.3 * step} for step in (1, 2)
    ])  # fmt: skip
    write_json(Path(f"results/cells/{name}.json"), record)


def write_results() -> None:
    """Everything a finished `dvc repro` leaves in git, and the files of a cell that the grid lost since."""
    for seed in (0, 1):
        for percent in (25, 100):
            write_cell("train_baseline", percent, seed, 0.8 + seed / 100)
        for percent in (10, 50, 100):
            write_cell("train_classifier", percent, seed, 0.7 + seed / 100)
    settings = [
        {"synthetic_percent": p, "test_accuracy_mean": 0.8, "test_accuracy_low": 0.7, "test_accuracy_high": 0.9}
        for p in (0, 50, 100)
    ]
    champion = {"stage": "train_classifier", "percent": 50, "seed": 1}
    answer = {"chosen_percent": 50, "chosen_difference_mean": 0.01}
    write_json(Path("results/ablation.json"), {"settings": settings, "champion": champion, "answer": answer})
    write_json(Path("results/assess.json"), {"feature_space": "ours", "frechet_distance": 12.5})
    write_csv(Path("results/history/train_gan.csv"), [{"step": 10, "images": 640, "loss_d": 1.5}])
    Path("results/gan_samples.png").write_bytes(b"picture")
    Path("results/report.md").write_text("# It helps\n", encoding="utf-8")
    Path("results/ablation.svg").write_text("<svg/>", encoding="utf-8")
