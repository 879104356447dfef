"""The MLflow store: parent and child runs, metrics, files, lineage. mlflow is imported inside functions only."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.runtime.locks import lock
from pipeline.tracking import execution
from pipeline.tracking.contents import Contents, Point
from pipeline.tracking.execution import PARENT_STAGE, Cell, Execution
from pipeline.tracking.location import artifact_location, follow_move

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}
NOTE = "mlflow.note.content"
NOTE_CHARACTERS = 7500  # a run tag holds 8,000
UNSUCCESSFUL = ("FAILED", "KILLED")


@dataclass(frozen=True)
class Experiment:
    """An open store and the experiment that holds a dataset's runs."""

    client: "MlflowClient"
    id: str


@dataclass(frozen=True)
class Parent:
    """The run that holds an execution."""

    experiment: Experiment
    run_id: str
    execution: Execution

    @property
    def client(self) -> "MlflowClient":
        """The client of the open store."""
        return self.experiment.client


@dataclass(frozen=True)
class Published:
    """What a run holds already: its points, its files with their time of change in ns, its last time stamp in ms."""

    points: frozenset[Point] = frozenset()
    files: frozenset[tuple[Path, int]] = frozenset()
    time: int = 0


# ---- the store itself ----------------------------------------------------------------------------------------------


def open_experiment(name: str) -> Experiment:
    """Opens the store and the experiment, creating what is absent."""
    import_mlflow()
    with creation_lock():
        client = connect()
        return Experiment(client, _experiment_id(client, name))


def import_mlflow() -> None:
    """Imports mlflow, quiet, with telemetry off and short timeouts unless the user's environment differs."""
    for variable, value in ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    import mlflow.store.tracking.sqlalchemy_store
    import mlflow.tracking  # noqa: F401


def connect() -> "MlflowClient":
    """A client of the store.

    The SQLite file in the repository is created if absent, whole or not at all; where it was moved, it follows.
    """
    from mlflow.store.db.db_types import DATABASE_ENGINES
    from mlflow.tracking import MlflowClient

    uri = execution.store_uri()
    path = execution.repository() / "mlflow.db"
    if uri == f"sqlite:///{path}":
        if not path.exists():
            unfinished = path.with_name("mlflow.db.unfinished")
            unfinished.unlink(missing_ok=True)
            MlflowClient(f"sqlite:///{unfinished}")
            unfinished.replace(path)
        follow_move(path)
    if uri.split(":")[0].split("+")[0] in DATABASE_ENGINES:
        _probe(uri)
    return MlflowClient(uri)


def _probe(uri: str) -> None:
    """Connects once, because MLflow tries a database that does not answer for 100 seconds."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri)
    engine.connect().close()
    engine.dispose()


@contextmanager
def creation_lock() -> Iterator[None]:
    """One process a machine at a time: two that migrate one new database at once break each other."""
    with (execution.repository() / "mlflow.db.lock").open("a") as file:
        lock(file)
        yield


def _experiment_id(client: "MlflowClient", name: str) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        location = None if execution.is_server() else artifact_location(execution.repository() / "mlflow.db", name)
        return str(client.create_experiment(name, artifact_location=location))
    if experiment.lifecycle_stage == "deleted":
        _restore_empty(client, str(experiment.experiment_id))
    return str(experiment.experiment_id)


def _restore_empty(client: "MlflowClient", experiment_id: str) -> None:
    """Restores an experiment that somebody deleted, whose name MLflow keeps taken; its runs stay deleted."""
    client.restore_experiment(experiment_id)
    for run in search(Experiment(client, experiment_id), {}):
        client.delete_run(run.info.run_id)


def named_parents() -> "dict[str, list[tuple[Experiment, Run]]]":
    """The parent runs of every experiment that has one, newest first, by the experiment's name; creates none."""
    import_mlflow()
    client = connect()
    found = {item.name: Experiment(client, item.experiment_id) for item in client.search_experiments()}
    parents = {
        name: [(experiment, run) for run in search(experiment, {"pipeline.role": "parent"})]
        for name, experiment in found.items()
    }
    return {name: runs for name, runs in parents.items() if runs}


def search(experiment: Experiment, tags: Mapping[str, str]) -> "list[Run]":
    """All runs that bear `tags`, newest first."""
    query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    runs: list[Run] = []
    token = None
    while True:
        page = experiment.client.search_runs([experiment.id], query, max_results=1000, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


# ---- parents and children ------------------------------------------------------------------------------------------


def find_parents(experiment: Experiment, described: Execution) -> list[Parent]:
    """Runs of executions with these params and this graph, under whatever name, oldest first."""
    tags = {"pipeline.digest": described.digest, "pipeline.role": "parent"}
    return [
        Parent(experiment, run.info.run_id, replace(described, name=run.data.tags["pipeline.execution"]))
        for run in reversed(search(experiment, tags))
    ]


def find_parent(experiment: Experiment, described: Execution) -> Parent | None:
    """The oldest parent run of this execution."""
    return next((parent for parent in find_parents(experiment, described) if parent.execution == described), None)


def open_parent(experiment: Experiment, described: Execution, *, time: int, tags: Mapping[str, str]) -> Parent:
    """Finds the execution's parent run, or creates it with start `time` (ms since 1970) and `tags`."""
    with creation_lock():
        parent = find_parent(experiment, described)
        if parent is None:
            own = execution.execution_tags(described) | {"pipeline.role": "parent", "stage": PARENT_STAGE}
            run = experiment.client.create_run(experiment.id, time, tags=own | dict(tags), run_name=described.name)
            parent = Parent(experiment, run.info.run_id, described)
        if not experiment.client.get_run(parent.run_id).data.params:  # new, or its writer was killed before this
            _log_params(experiment.client, parent.run_id, described.params)
        return parent


def unite_parents(experiment: Experiment, described: Execution) -> None:
    """Leaves the oldest of several parents of one execution, which two hosts or a lost answer can make."""
    parents = [parent for parent in find_parents(experiment, described) if parent.execution == described]
    for other in parents[1:]:
        for run in children(other):
            experiment.client.set_tag(run.info.run_id, "mlflow.parentRunId", parents[0].run_id)
        experiment.client.delete_run(other.run_id)


def create_child(parent: Parent, stage: str, cell: Cell, *, time: int, tags: Mapping[str, str]) -> str:
    """Creates the run of a stage or cell under its parent, with params and tags; returns its id."""
    own = execution.run_tags(parent.execution, stage, cell) | {"mlflow.parentRunId": parent.run_id}
    name = " ".join(filter(None, (stage, execution.cell_key(stage, cell))))
    run = parent.client.create_run(parent.experiment.id, time, tags=own | dict(tags), run_name=name)
    _log_params(parent.client, run.info.run_id, cell)
    return str(run.info.run_id)


def children(parent: Parent, stage: str | None = None) -> "list[Run]":
    """Runs under the parent, newest first; of `stage` (DVC's name, with the cell) alone if given."""
    tags = {"mlflow.parentRunId": parent.run_id} | ({"dvc.stage": stage} if stage else {})
    return search(parent.experiment, tags)


def reopen(parent: Parent) -> None:
    """Says of the execution that it runs again, where no stage of it is left that did not succeed."""
    if parent.client.get_run(parent.run_id).info.status in UNSUCCESSFUL and not any(
        run.info.status in UNSUCCESSFUL for run in children(parent)
    ):
        parent.client.update_run(parent.run_id, "RUNNING")


# ---- what a run holds ----------------------------------------------------------------------------------------------


def _log_params(client: "MlflowClient", run_id: str, params: Mapping[str, object]) -> None:
    from mlflow.entities import Param

    batch = [Param(name, str(value)) for name, value in params.items()]
    for start in range(0, len(batch), 100):  # MLflow's limit
        client.log_batch(run_id, params=batch[start : start + 100])


def log_inputs(client: "MlflowClient", run_id: str, stage: str, inputs: Mapping[str, str]) -> None:
    """Ties the run to the data folders, md5 by path, that its stage reads."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    context = [InputTag("mlflow.data.context", "training" if stage.startswith("train_") else stage)]
    datasets = [
        DatasetInput(Dataset(path, md5, "local", json.dumps({"uri": path})), context) for path, md5 in inputs.items()
    ]
    if datasets:
        client.log_inputs(run_id, datasets)


def publish(client: "MlflowClient", run_id: str, contents: Contents, before: Published, time: int) -> Published:
    """Adds to the run what `contents` has more than `before`; returns what it holds then.

    The one function that writes metrics and files, while a stage runs and in `sync`.
    """
    points = [point for point in dict.fromkeys(contents.points) if point not in before.points]
    time = max(time, before.time + 1)  # each stamp is later than those before, so that of a step the last value counts
    log_points(client, run_id, points, time)
    files = stamps(contents)
    for path, _ in sorted(files - before.files):
        client.log_artifact(run_id, str(path))
        if path.name == "report.md":  # becomes the run's description too
            client.set_tag(run_id, NOTE, path.read_text(encoding="utf-8")[:NOTE_CHARACTERS])
    return Published(before.points.union(points), before.files | files, time + len(points))


def stamps(contents: Contents) -> frozenset[tuple[Path, int]]:
    """The files with their time of change."""
    return frozenset((path, path.stat().st_mtime_ns) for path in contents.artifacts)


def log_points(client: "MlflowClient", run_id: str, points: Sequence[Point], time: int) -> None:
    """Logs the points in as few batches as MLflow takes, a millisecond apart."""
    from mlflow.entities import Metric

    batch = [Metric(point.metric, point.value, time + turn, point.step) for turn, point in enumerate(points)]
    for start in range(0, len(batch), 1000):  # MLflow's limit
        client.log_batch(run_id, metrics=batch[start : start + 1000])


def published_points(client: "MlflowClient", run_id: str) -> frozenset[Point]:
    """The newest value of each metric at each step of the run."""
    metrics = client.get_run(run_id).data.metrics
    history = [item for metric in metrics for item in client.get_metric_history(run_id, metric)]
    newest = {(item.key, item.step): item.value for item in sorted(history, key=lambda item: item.timestamp)}
    return frozenset(Point(metric, value, step) for (metric, step), value in newest.items())
