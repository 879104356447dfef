"""Runs rebuilt from the files in git: the parent, the cells of the declared grid, GAN and assessment."""

import csv
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.runtime.errors import UserError
from pipeline.tracking import execution as names
from pipeline.tracking import registry, store
from pipeline.tracking.contents import Point
from pipeline.tracking.store import Experiment, Parent
from pipeline.tracking.view import pin_views

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

RESULTS, MODELS = Path("results"), Path("models")
IDENTITY = ("synthetic_percent", "real_percent", "seed")
FINAL = ("test_accuracy", "test_loss", "test_calibration_error", "corrupted_accuracy", "val_accuracy", "train_loss")
SOURCE = "backfill"


@dataclass
class Tally:
    """How many declared runs were added, agreed with the files already, or have no result there."""

    added: int = 0
    kept: int = 0
    absent: int = 0


@dataclass(frozen=True)
class Result:
    """What the files say about one run."""

    stage: str
    key: str
    points: list[Point]
    cell: Mapping[str, int] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """The stage's name in DVC."""
        return names.dvc_name(self.stage, self.key)


def sync(params: Mapping[str, Any]) -> Tally:
    """Writes to the store what the files hold and it lacks: the parent with curve and report, its children.

    `params` is the whole of params.yaml. An execution that holds every locked result already, such as a
    `dvc exp run` that was applied, stays as it is.
    """
    _refuse_others(params)
    execution = names.current_execution(params)
    experiment = store.open_experiment(execution.dataset)
    if store.find_parent(experiment, execution) is None and (held := _count_held(experiment, params)):
        return Tally(kept=held)
    store.unite_parents(experiment, execution)
    parent = store.open_parent(experiment, execution, time=_now(), source=SOURCE)
    tally = complete(parent, params)
    _write_parent(parent)
    return tally


def _refuse_others(params: Mapping[str, Any]) -> None:
    """Refuses results of another data set or split than params.yaml asks for.

    Raises:
        UserError: dvc.lock's `prepare` was run with other values.
    """
    locked = names.lock_entries().get("prepare", {}).get("params", {}).get("params.yaml", {})
    asked = params["dataset"]
    for key, value in locked.get("dataset", asked).items():
        if asked.get(key) != value:
            raise UserError(f"dvc.lock: results/ come from dataset.{key} {value!r}, params.yaml says "
                            f"{asked.get(key)!r}; run `dvc repro`, or restore params.yaml")  # fmt: skip


def complete(parent: Parent, params: Mapping[str, Any]) -> Tally:
    """Adds a run for every declared result that no run under `parent` agrees with.

    Cells that DVC took from its cache, or that ran without tracking, thus stand beside the others. Of a stage that
    has several runs, because a sync was killed or a server's answer got lost, one stays.
    """
    tally, locked = Tally(), names.lock_entries()
    there: dict[str, list[MlflowRun]] = {}
    for run in store.children(parent):
        there.setdefault(run.data.tags.get("dvc.stage", ""), []).append(run)
    for stage, key in declared(params):
        result = read_result(stage, key)
        if result is None:
            tally.absent += 1
            continue
        run_id = _keep_or_add(parent, result, there.pop(result.name, []), tally)
        if stage_key := names.stage_key(locked.get(result.name)):
            parent.client.set_tag(run_id, "pipeline.stage_key", stage_key)
        if stage == "train_gan" and (MODELS / "gan" / "generator.json").exists():
            registry.register(parent, run_id, "generator", MODELS / "gan", "current")
    for runs in there.values():  # of stages without results in git
        _delete_all(parent, sorted(runs, key=lambda run: bool(run.info.status != "FINISHED"))[1:])
    pin_views(parent)
    return tally


def declared(params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Stages, with the keys of their cells, that params declare and whose results are in git."""
    ablation = params["ablation"]
    yield "train_gan", ""
    yield "assess", ""
    for stage, axis in names.AXES.items():
        for percent in ablation[axis]:
            for seed in ablation["seeds"]:
                yield stage, names.cell_key(stage, {axis: percent, "seed": seed})


def _count_held(experiment: Experiment, params: Mapping[str, Any]) -> int:
    """The number of locked results if some execution has a run for each of them, else 0."""
    locked = names.lock_entries()
    wanted = {key for cell in declared(params) if (key := names.stage_key(locked.get(names.dvc_name(*cell))))}
    held: dict[str, set[str]] = {}
    for run in store.search(experiment, {"dataset": params["dataset"]["name"]}):
        tags = run.data.tags
        if tags.get("pipeline.stage_key") in wanted:
            held.setdefault(tags["pipeline.execution"], set()).add(tags["pipeline.stage_key"])
    return len(wanted) if wanted in held.values() else 0


def _keep_or_add(parent: Parent, result: Result, runs: "list[MlflowRun]", tally: Tally) -> str:
    """Keeps the one of `runs` that agrees with the files, or adds one, and deletes the others; returns its id."""
    if kept := next((run for run in runs if _agrees(run, result)), None):
        tally.kept += 1
        run_id = str(kept.info.run_id)
    else:
        tally.added += 1
        run_id = _add(parent, result)
    _delete_all(parent, [run for run in runs if run is not kept])
    return run_id


def _add(parent: Parent, result: Result) -> str:
    run_id = store.create_child(parent, result.stage, result.cell, time=_now(), source=SOURCE)
    store.log_points(parent.client, run_id, result.points, _now())
    for path in result.files:
        store.log_file(parent.client, run_id, path)
    parent.client.set_terminated(run_id)
    return run_id


def _delete_all(parent: Parent, runs: "list[MlflowRun]") -> None:
    for run in runs:
        parent.client.delete_run(run.info.run_id)


def _agrees(run: "MlflowRun", result: Result) -> bool:
    """Whether the run has ended and its last values are the files'."""
    last = {point.metric: point.value for point in result.points}
    both = last.keys() & run.data.metrics.keys()
    equal = all(store.agree(run.data.metrics[name], last[name]) for name in both)
    return bool(run.info.status == "FINISHED" and equal)


def read_result(stage: str, key: str) -> Result | None:
    """The result of a stage or cell; None before it ran."""
    if stage == "train_gan":
        points = _history(RESULTS / "history" / "train_gan.csv")
        return Result(stage, key, points, files=(RESULTS / "gan_samples.png",)) if points else None
    if stage == "assess":
        values = _json(RESULTS / "assess.json") or {}
        numbers = [Point(name, value, 0) for name, value in values.items() if isinstance(value, int | float)]
        return Result(stage, key, numbers) if numbers else None
    final = _json(RESULTS / "cells" / f"{stage}-{key}.json")
    if final is None:
        return None
    points = _history(RESULTS / "history" / f"{stage}-{key}.csv")
    curves = {point.metric for point in points}
    points += [Point(name, final[name], final["steps"]) for name in FINAL if name in final and name not in curves]
    return Result(stage, key, points, {name: final[name] for name in IDENTITY})


def _history(path: Path) -> list[Point]:
    """Points of a CSV with a column `step` and one a metric; empty fields are no points."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        Point(metric, float(value), int(row["step"]))
        for row in rows
        for metric, value in row.items()
        if metric != "step" and value
    ]


def _json(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_bytes()) if path.exists() else None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged ({error}); restore it, or delete it and run: dvc repro") from None


def _write_parent(parent: Parent) -> None:
    """What evaluate logs: the answer, the mean curve over synthetic_percent, the report and the figure."""
    ablation = _json(RESULTS / "ablation.json")
    if ablation is None:
        return
    points = [
        Point(name, item[name], item["synthetic_percent"]) for item in ablation["settings"] for name in store.CURVE
    ]
    points += [Point(name, value, 0) for name, value in ablation["answer"].items()]
    store.log_new_points(parent.client, parent.run_id, points, _now())
    for path in (RESULTS / "report.md", RESULTS / "ablation.svg"):
        if path.exists():
            store.log_file(parent.client, parent.run_id, path)
    best = ablation["champion"]
    folder = MODELS / best["stage"] / f"{best['percent']}-{best['seed']}"
    if (folder / "classifier.json").exists():  # not before `dvc pull` in a fresh clone
        registry.register(parent, parent.run_id, "classifier", folder, "champion")
    parent.client.set_terminated(parent.run_id)


def _now() -> int:
    return time.time_ns() // 1_000_000
