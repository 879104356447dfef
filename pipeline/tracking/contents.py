"""What the files of a stage hold for its run: metrics, files to upload, a network to register. Imports no mlflow.

The only place that knows which file of a stage holds what. Paths are named as the flags of the stage's command, so
that a stage can say them at its start and `sync` finds the same ones in dvc.lock.
"""

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.assessment.record import read_assess_record
from pipeline.classifier.record import read_cell_record
from pipeline.runtime.errors import UserError

Paths = Mapping[str, Path]  # of a stage, by the names of its flags
IsThere = Callable[[Path], bool]
CELL_METRICS = ("test_accuracy", "test_loss", "test_calibration_error", "corrupted_accuracy")
CURVE = ("test_accuracy_mean", "test_accuracy_low", "test_accuracy_high")  # step = percent


class Point(NamedTuple):
    """One value of a metric."""

    metric: str
    value: float
    step: int


class Network(NamedTuple):
    """A folder that holds a network; `kind` is `classifier` or `generator`, `alias` the registered version's."""

    kind: str
    alias: str
    folder: Path


@dataclass(frozen=True)
class Contents:
    """What a run is to hold.

    Attributes:
        points: of all metrics; those of one metric in the order in which they came about.
        artifacts: files to upload.
        network: what to register.
        cell: what identifies the run among those of its stage.
        num_images: how many the stage worked through, where that is a number of it.
        num_steps: likewise, batches of the classifier.
    """

    points: list[Point] = field(default_factory=list)
    artifacts: list[Path] = field(default_factory=list)
    network: Network | None = None
    cell: Mapping[str, int] = field(default_factory=dict)
    num_images: int = 0
    num_steps: int = 0


def read_contents(stage: str, key: str, paths: Paths, is_there: IsThere = Path.exists) -> Contents | None:
    """What the files of a stage hold; None where none of them is there.

    Args:
        stage: name of the stage, without its cell.
        key: of its cell, as in `50-0`; empty for a stage without cells.
        paths: of the stage, by flag.
        is_there: whether a file or folder is that of this very run.

    Raises:
        UserError: a file is corrupted.
    """
    return READERS[stage](paths, f"{stage}-{key}", is_there)


def _read_prepare(paths: Paths, _: str, is_there: IsThere) -> Contents | None:
    about = _read_json(paths["out"] / "dataset.json", is_there)
    if about is None:
        return None
    sizes = {name: sum(counts.values()) for name, counts in about["counts"].items()}
    return Contents([Point(f"num_{name}", size, 0) for name, size in sizes.items()], num_images=sum(sizes.values()))


def _read_train_gan(paths: Paths, _: str, is_there: IsThere) -> Contents | None:
    history = _read_history(paths["history"], is_there)
    if not history:
        return None
    last = history[-1].step
    images = [int(point.value) for point in history if point.metric == "images"]
    if about := _read_json(paths["out"] / "generator.json", is_there):
        values = {"degraded": about["degraded"], "kept_images": about["images_seen"], "kept_cas": about["small_cas"]}
        history += [Point(metric, float(value), last) for metric, value in values.items()]
    pictures = [path for path in (paths["samples"], paths["evolution"]) if is_there(path)]
    network = Network("generator", "current", paths["out"]) if is_there(paths["out"]) else None
    return Contents(history, pictures, network, num_images=images[-1] if images else 0)


def _read_synthesize(paths: Paths, _: str, is_there: IsThere) -> Contents | None:
    about = _read_json(paths["out"] / "manifest.json", is_there)
    if about is None:
        return None
    return Contents([Point("num_images", about["num_images"], 0)], num_images=about["num_images"])


def _read_assess(paths: Paths, _: str, is_there: IsThere) -> Contents | None:
    if not is_there(paths["metrics"]):
        return None
    values = read_assess_record(paths["metrics"]).model_dump()
    return Contents([Point(metric, value, 0) for metric, value in values.items() if isinstance(value, int | float)])


def _read_cell(paths: Paths, name: str, is_there: IsThere) -> Contents | None:
    file = paths["results"] / "cells" / f"{name}.json"
    if not is_there(file):
        return None
    record = read_cell_record(file)
    points = _read_history(paths["results"] / "history" / f"{name}.csv", is_there)
    points += [Point(metric, getattr(record, metric), record.steps) for metric in CELL_METRICS]
    cell = {key: getattr(record, key) for key in ("synthetic_percent", "real_percent", "seed")}
    return Contents(points, cell=cell, num_steps=record.steps)


def _read_evaluate(paths: Paths, _: str, is_there: IsThere) -> Contents | None:
    from pipeline.evaluation.result import read_result  # here, as scipy comes with it and takes a second of each stage

    file = paths["out"] / "ablation.json"
    if not is_there(file):
        return None
    result = read_result(file)
    points = [Point(name, getattr(item, name), item.synthetic_percent) for item in result.settings for name in CURVE]
    headline = {
        "baseline_test_accuracy": result.baseline.test_accuracy_mean,
        "chosen_test_accuracy": result.chosen.test_accuracy_mean,
        "chosen_percent": result.chosen_percent,
        "difference": result.chosen.difference_mean,
        "p_value": result.chosen.p_value_holm,
        "real_equivalent": result.real_equivalent.num_real_equivalent,
    }
    points += [Point(metric, value, 0) for metric, value in headline.items()]
    names = ("ablation.json", "ablation.csv", "ablation.svg", "report.md", "report.html")
    files = [path for path in (paths["out"] / name for name in names) if is_there(path)]
    best = result.champion
    folder = paths["models"] / best.stage / f"{best.percent}-{best.seed}"
    return Contents(points, files, Network("classifier", "champion", folder) if is_there(folder) else None)


READERS: dict[str, Callable[[Paths, str, IsThere], Contents | None]] = {
    "prepare": _read_prepare,
    "train_gan": _read_train_gan,
    "synthesize": _read_synthesize,
    "train_baseline": _read_cell,
    "assess": _read_assess,
    "train_classifier": _read_cell,
    "evaluate": _read_evaluate,
}


def _read_history(path: Path, is_there: IsThere) -> list[Point]:
    """Points of a CSV with a column `step` and one a metric; empty fields are no points."""
    if not is_there(path):
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    try:
        return [Point(metric, float(value), int(row["step"])) for row in rows for metric, value in row.items()
                if metric != "step" and value]  # fmt: skip
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(f"{path}: corrupted ({error!r}); restore it, or delete it and run: dvc repro") from None


def _read_json(path: Path, is_there: IsThere) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes()) if is_there(path) else None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: corrupted ({error}); restore it, or delete it and run: dvc repro") from None
    return value
