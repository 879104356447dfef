"""What the files of a stage hold for its run: metrics, files to upload, a network to register. Imports no mlflow.

The only place that knows which file of a stage holds what. Paths are named as the flags of the stage's command, so
that a stage can say them at its start and `sync` finds the same ones in dvc.lock.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.assessment.record import read_assess_record
from pipeline.classifier.record import read_cell_record
from pipeline.files import parse_json
from pipeline.runtime.errors import UserError
from pipeline.sources.description import read_description
from pipeline.tracking.execution import CELLS, Cell

Paths = Mapping[str, Path]  # of a stage, by the names of its flags
IsThere = Callable[[Path], bool]
CELL_METRICS = ("test_accuracy", "test_loss", "test_calibration_error", "corrupted_accuracy")
REPORTS = ("ablation.json", "ablation.csv", "ablation.svg", "report.md", "report.html")
RESULT = REPORTS[0]
CURVE = ("test_accuracy_mean", "test_accuracy_low", "test_accuracy_high")  # step = percent
ALIKE = ("balanced_accuracy_mean", "macro_f1_mean")  # likewise, where classes are unequal


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
        networks: what to register.
        cell: what identifies the run among those of its stage.
        num_images: how many the stage worked through, where that is a number of it.
        num_steps: likewise, batches of the classifier.
    """

    points: list[Point] = field(default_factory=list)
    artifacts: list[Path] = field(default_factory=list)
    networks: tuple[Network, ...] = ()
    cell: Cell = field(default_factory=dict)
    num_images: int = 0
    num_steps: int = 0


def read_contents(stage: str, key: str, paths: Paths, is_there: IsThere = Path.exists) -> Contents | None:
    """What the files of a stage hold; None before its record is there.

    Args:
        stage: name of the stage, without its cell.
        key: of its cell, as in `50-0`; empty for a stage without cells.
        paths: of the stage, by flag.
        is_there: whether a file or folder is that of this very run.

    Raises:
        UserError: a file is corrupted.
    """
    record, read = RECORDS[stage]
    file = Path(record.format(**paths, stage=stage, key=key))
    contents = read(file, paths, is_there) if is_there(file) else None
    if contents is None or CELLS.get(stage) != ("replicate",):
        return contents
    return replace(contents, cell={"replicate": int(key)})


def _read_prepare(folder: Path, *_: object) -> Contents | None:
    """The sizes of the splits, which are those of every replicate."""
    if not (files := sorted(folder.glob("*/dataset.json"))):
        return None
    sizes = {split: sum(counts.values()) for split, counts in read_description(files[0]).counts.items()}
    return Contents([Point(f"num_{split}", size, 0) for split, size in sizes.items()], num_images=sum(sizes.values()))


def _read_train_gan(file: Path, paths: Paths, is_there: IsThere) -> Contents:
    history = _read_history(file)
    images = [int(point.value) for point in history if point.metric == "images"]
    if is_there(about := paths["out"] / "generator.json"):
        values = _read_json(about)  # its model would bring torch
        kept = {"degraded": values["degraded"], "kept_images": values["images_seen"], "kept_cas": values["small_cas"]}
        history += [Point(metric, float(value), history[-1].step) for metric, value in kept.items()]
    pictures = [path for path in (paths["samples"], paths["evolution"]) if is_there(path)]
    alias = f"replicate-{paths['out'].name}"
    networks = (Network("generator", alias, paths["out"]),) if is_there(paths["out"]) else ()
    return Contents(history, pictures, networks, num_images=max(images, default=0))


def _read_screen_set(file: Path, paths: Paths, is_there: IsThere) -> Contents:
    values = _read_json(file)  # its model would bring pyarrow
    points = [Point(name, values[name], 0) for name in ("num_found", "num_images", "num_dropped")]
    points += [
        Point(f"{kind}_copies_of_{split}", counts[kind], 0)
        for split, counts in values["copies"].items()
        for kind in ("exact", "near")
    ]
    samples = paths["out"] / "samples.png"
    return Contents(points, [samples] if is_there(samples) else [], num_images=values["num_images"])


def _read_synthesize(file: Path, *_: object) -> Contents:
    size = int(_read_json(file)["num_images"])  # the manifest's model would bring pyarrow
    return Contents([Point("num_images", size, 0)], num_images=size)


def _read_assess(file: Path, *_: object) -> Contents:
    record = read_assess_record(file)
    numbers = {metric: value for metric, value in record.model_dump().items() if isinstance(value, int | float)}
    return Contents([Point(metric, value, 0) for metric, value in numbers.items()], num_images=record.num_images)


def _read_cell(file: Path, paths: Paths, is_there: IsThere) -> Contents:
    record, history = read_cell_record(file), paths["results"] / "history" / f"{file.stem}.csv"
    points = _read_history(history) if is_there(history) else []
    points += [Point(metric, getattr(record, metric), record.steps) for metric in CELL_METRICS]
    return Contents(points, cell=record.identity, num_steps=record.steps)


def _read_extension(file: Path, paths: Paths, _: IsThere) -> Contents:
    values, (num_shots, replicate) = _read_json(file), map(int, paths["out"].name.split("-"))
    cell = {"num_shots": num_shots, "replicate": replicate}
    return Contents([Point("loss", values["loss"], 0)], cell=cell)


def _read_extended(file: Path, *_: object) -> Contents:
    values = _read_json(file)  # its model would bring torch
    points = [Point(metric, values[metric], 0) for metric in ("new_recall", "old_accuracy", "harmonic_mean")]
    cell = {key: values[key] for key in ("arm", "num_shots", "replicate")}
    return Contents(points, cell=cell, num_steps=values["steps"])


def _read_evaluate(file: Path, paths: Paths, is_there: IsThere) -> Contents:
    from pipeline.evaluation.headline import headline_numbers
    from pipeline.evaluation.result import read_result  # here, as scipy comes with it and takes a second of each stage

    result = read_result(file)
    points = [Point(name, getattr(item, name), item.synthetic_percent) for item in result.settings for name in CURVE]
    alike = [(name, row) for row in result.class_metrics for name in ALIKE]
    points += [Point(f"test_{name}", getattr(row, name), row.synthetic_percent) for name, row in alike]
    points += [Point(metric, value, 0) for metric, value in headline_numbers(result).items()]
    files = [path for path in (paths["out"] / name for name in REPORTS) if is_there(path)]
    return Contents(points, files)


RECORDS: dict[str, tuple[str, Callable[[Path, Paths, IsThere], Contents | None]]] = {
    "prepare": ("{out}", _read_prepare),
    "train_gan": ("{history}", _read_train_gan),
    "screen_set": ("{metrics}", _read_screen_set),
    "synthesize": ("{out}/manifest.json", _read_synthesize),
    "train_baseline": ("{results}/cells/{stage}-{key}.json", _read_cell),
    "train_rival": ("{results}/cells/{stage}-{key}.json", _read_cell),
    "train_control": ("{results}/cells/{stage}-{key}.json", _read_cell),
    "assess": ("{metrics}", _read_assess),
    "train_classifier": ("{results}/cells/{stage}-{key}.json", _read_cell),
    "extend_classes": ("{out}/extension.json", _read_extension),
    "train_extended": ("{results}/cells/{stage}-{key}.json", _read_extended),
    "evaluate": (f"{{out}}/{RESULT}", _read_evaluate),
}


def _read_history(file: Path) -> list[Point]:
    """Points of a CSV with a column `step` and one a metric; empty fields are no points."""
    try:
        with file.open(encoding="utf-8", newline="") as rows:
            return [
                Point(metric, float(value), int(row["step"]))
                for row in csv.DictReader(rows)
                for metric, value in row.items()
                if metric != "step" and value
            ]
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(f"{file}: corrupted ({error!r}); delete it and run: dvc repro") from None


def _read_json(file: Path) -> Any:
    try:
        return parse_json(file.read_bytes())
    except ValueError as error:
        raise UserError(f"{file}: corrupted ({error}); delete it and run: dvc repro") from None
