"""Runs rebuilt from the files that dvc.lock names: the parent, and one for each stage and cell of the grid."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.params.schema import Params
from pipeline.runtime.errors import UserError
from pipeline.tracking import registry, store
from pipeline.tracking.champion import register_named
from pipeline.tracking.contents import RESULT, Contents, Point, read_contents
from pipeline.tracking.execution import CELLS, PARENT_STAGE, Execution, current_execution, declared_keys, dvc_name
from pipeline.tracking.lock import Lock
from pipeline.tracking.store import Experiment, Parent, Published

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass
class Tally:
    """How many declared runs were added, agreed with the files already, or have no result there.

    `unregistered` are lines on the networks that the result names and that could not be registered.
    """

    added: int = 0
    kept: int = 0
    absent: int = 0
    unregistered: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class StageResult:
    """What the files say about one run; `contents` is None where dvc.lock names none that are there.

    `inputs` are the md5 of the data folders that the stage read, by path.
    """

    stage: str
    key: str
    contents: Contents | None
    inputs: Mapping[str, str]

    @property
    def name(self) -> str:
        """The stage's name in DVC."""
        return dvc_name(self.stage, self.key)


def sync(params: Params) -> Tally:
    """Publishes what the files hold and the store lacks: the parent with curve and report, its children.

    Raises:
        UserError: the files come from other data than params.yaml asks for, or one is corrupted.
    """
    lock = Lock({})
    _refuse_other_data(lock)
    results, evaluated = read_results(params, lock), _read_result(PARENT_STAGE, "", lock)
    execution = current_execution(params.model_dump())
    experiment = store.open_experiment(execution.dataset)
    store.unite_parents(experiment, execution)
    parent = store.find_parent(experiment, execution) or _find_applied(experiment, execution, results)
    parent = parent or store.open_parent(experiment, execution, time=_now(), tags={})
    tally = complete(parent, results)
    tally.unregistered = _complete_parent(parent, evaluated, lock)
    return tally


def _refuse_other_data(lock: Lock) -> None:
    """Refuses results of another data set or split than params.yaml asks for."""
    if keys := [f"{key} {value}" for key, value in lock.changed("prepare").items() if key.startswith("dataset.")]:
        raise UserError(
            f"dvc.lock: results/ come from {keys[0]}, params.yaml says another value; run `dvc repro`, or "
            "restore params.yaml"
        )


def read_results(params: Params, lock: Lock) -> list[StageResult]:
    """What the files say about every stage and cell that params declare, but for evaluate's."""
    return [_read_result(stage, key, lock) for stage, key in _declared(params)]


def _declared(params: Params) -> Iterator[tuple[str, str]]:
    """Stages with the keys of their cells; of train_gan and screen_set the one that is there."""
    yield "prepare", ""
    other = "screen_set" if params.synthesize.source == "gan" else "train_gan"
    for stage in (stage for stage in CELLS if stage != other):
        yield from ((stage, key) for key in declared_keys(stage, params))


def _read_result(stage: str, key: str, lock: Lock) -> StageResult:
    paths = lock.paths(dvc_name(stage, key))
    if paths is None:
        return StageResult(stage, key, None, {})
    return StageResult(stage, key, read_contents(stage, key, paths, lock.holds), lock.inputs(paths))


def _find_applied(experiment: Experiment, execution: Execution, results: list[StageResult]) -> Parent | None:
    """An execution of another name that holds all these results: `dvc exp apply` brings the files of one."""
    there = [result for result in results if result.contents]
    for parent in store.find_parents(experiment, execution):
        runs = _runs_by_stage(parent)
        if there and all(any(_agrees(run, result) for run in runs.get(result.name, [])) for result in there):
            return parent
    return None


def complete(parent: Parent, results: list[StageResult]) -> Tally:
    """Adds a run for every result that no run under `parent` agrees with, and what a run that does agree lacks.

    Cells that DVC took from its cache, or that ran without tracking, thus stand beside the others. Of a stage that
    has several runs, because a sync was killed or a server's answer got lost, one stays.
    """
    tally, runs = Tally(), _runs_by_stage(parent)
    for result in results:
        if result.contents is None:
            tally.absent += 1
            continue
        older = runs.pop(result.name, [])
        if kept := next((run for run in older if _agrees(run, result)), None):
            tally.kept += 1
            _publish(parent, str(kept.info.run_id), result.contents, _held_by(parent, kept, result.contents))
        else:
            tally.added += 1
            _add(parent, result, result.contents)
        _delete_all(parent, [run for run in older if run is not kept])
    for older in runs.values():  # of stages without a result
        _delete_all(parent, sorted(older, key=lambda run: bool(run.info.status != "FINISHED"))[1:])
    return tally


def _runs_by_stage(parent: Parent) -> "dict[str, list[Run]]":
    """Runs under the parent, newest first, by the stage's name in DVC."""
    runs: dict[str, list[Run]] = {}
    for run in store.children(parent):
        runs.setdefault(run.data.tags.get("dvc.stage", ""), []).append(run)
    return runs


def _agrees(run: "Run", result: StageResult) -> bool:
    """Whether the run has ended, and no value or input of it is another one than the files'."""
    assert result.contents
    last: dict[str, Point] = {}
    for point in dict.fromkeys(result.contents.points):
        if point.step >= last.get(point.metric, point).step:
            last[point.metric] = point
    shared = last.keys() & run.data.metrics.keys()
    datasets = run.inputs.dataset_inputs if run.inputs else []
    inputs = {item.dataset.name: item.dataset.digest for item in datasets}
    same = inputs == result.inputs and all(run.data.metrics[metric] == last[metric].value for metric in shared)
    return bool(same and run.info.status == "FINISHED")


def _held_by(parent: Parent, run: "Run", contents: Contents) -> Published:
    """What of `contents` a run that agrees with it holds: whole metrics, and the files that the store still has."""
    points = (point for point in contents.points if point.metric in run.data.metrics)
    found = parent.client.list_artifacts(run.info.run_id) if contents.artifacts else []
    names = {item.path for item in found}
    files = (stamp for stamp in store.stamps(contents) if stamp[0].name in names)
    return Published(frozenset(points), frozenset(files))


def _add(parent: Parent, result: StageResult, contents: Contents) -> None:
    run_id = store.create_child(parent, result.stage, contents.cell, time=_now(), tags={})
    store.log_inputs(parent.client, run_id, result.stage, result.inputs)
    _publish(parent, run_id, contents, Published())
    parent.client.set_terminated(run_id)


def _publish(parent: Parent, run_id: str, contents: Contents, before: Published) -> None:
    store.publish(parent.client, run_id, contents, before, _now())
    for network in contents.networks:
        registry.register(parent, run_id, network)


def _delete_all(parent: Parent, runs: "list[Run]") -> None:
    for run in runs:
        parent.client.delete_run(run.info.run_id)


def _complete_parent(parent: Parent, evaluated: StageResult, lock: Lock) -> list[str]:
    """What evaluate publishes, the answer, the curve over synthetic_percent, reports and figure; then the networks.

    Returns lines on the networks that could not be registered.
    """
    paths = lock.paths(PARENT_STAGE)
    if not (evaluated.contents and paths):
        return []
    store.log_inputs(parent.client, parent.run_id, evaluated.stage, evaluated.inputs)
    held = Published(store.published_points(parent.client, parent.run_id))
    _publish(parent, parent.run_id, evaluated.contents, held)
    lines = register_named(parent, paths["out"] / RESULT, lock)
    parent.client.set_terminated(parent.run_id)
    return lines


def _now() -> int:
    return time.time_ns() // 1_000_000
