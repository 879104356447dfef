"""The MLflow store: parent and child runs, metrics, files, lineage. mlflow is imported inside functions only."""

import fcntl
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.tracking import execution as names
from pipeline.tracking.contents import Contents, Point
from pipeline.tracking.execution import Execution

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun
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
CURVE = ("test_accuracy_mean", "test_accuracy_low", "test_accuracy_high")  # on the parent, step = percent
NOTE = "mlflow.note.content"
NOTE_CHARACTERS = 7500  # a run tag holds 8,000


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


def open_experiment(name: str) -> Experiment:
    """Opens the store and the experiment, creating what is absent."""
    import_mlflow()
    with creation_lock():
        client = connect()
        return Experiment(client, _experiment_id(client, name))


def open_parent(experiment: Experiment, execution: Execution, *, time: int, source: str | None = None) -> Parent:
    """Finds the execution's parent run, or creates it with start `time` (ms since 1970) and tag `source`."""
    with creation_lock():
        if (parent := find_parent(experiment, execution)) is None:
            return _create_parent(experiment, execution, time, source)
        if not experiment.client.get_run(parent.run_id).data.params:  # its writer was killed before it came to them
            _log_params(experiment.client, parent.run_id, execution.params)
        return parent


def import_mlflow() -> None:
    """Imports mlflow, quiet, with telemetry off and short timeouts unless the user's environment differs."""
    for variable, value in ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    import mlflow.store.tracking.sqlalchemy_store
    import mlflow.tracking  # noqa: F401


def connect() -> "MlflowClient":
    """A client of the store; the SQLite file in the repository is created if absent, whole or not at all."""
    from mlflow.store.db.db_types import DATABASE_ENGINES
    from mlflow.tracking import MlflowClient

    uri = names.store_uri()
    path = names.repository() / "mlflow.db"
    if uri == f"sqlite:///{path}" and not path.exists():
        unfinished = path.with_name("mlflow.db.unfinished")
        unfinished.unlink(missing_ok=True)
        MlflowClient(f"sqlite:///{unfinished}")
        unfinished.replace(path)
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
    with (names.repository() / "mlflow.db.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _experiment_id(client: "MlflowClient", name: str) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        return str(experiment.experiment_id)
    location = None if names.is_server() else (names.repository() / "mlruns" / name).as_uri()
    return str(client.create_experiment(name, artifact_location=location))


def unite_parents(experiment: Experiment, execution: Execution) -> None:
    """Leaves the execution's oldest parent, with the children of all: where an answer gets lost, MLflow asks again."""
    parents = _parents(experiment, execution)
    for other in parents[:-1]:
        for run in search(experiment, {"mlflow.parentRunId": other.run_id}):
            experiment.client.set_tag(run.info.run_id, "mlflow.parentRunId", parents[-1].run_id)
        experiment.client.delete_run(other.run_id)


def find_parent(experiment: Experiment, execution: Execution) -> Parent | None:
    """The oldest parent run of the execution with these params."""
    return next(iter(_parents(experiment, execution)[::-1]), None)


def _parents(experiment: Experiment, execution: Execution) -> list[Parent]:
    """Newest first; there is one, but for a fault."""
    tags = {"pipeline.execution": execution.name, "pipeline.digest": execution.digest}
    runs = search(experiment, tags | {"pipeline.role": "parent"})
    return [Parent(experiment, run.info.run_id, execution) for run in runs]


def search(experiment: Experiment, tags: Mapping[str, str]) -> "list[MlflowRun]":
    """All runs that bear `tags`, newest first."""
    query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    runs: list[MlflowRun] = []
    token = None
    while True:
        page = experiment.client.search_runs([experiment.id], query, max_results=1000, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def _create_parent(experiment: Experiment, execution: Execution, time: int, source: str | None) -> Parent:
    tags = names.execution_tags(execution) | {"pipeline.role": "parent", "stage": names.PARENT_STAGE}
    run = experiment.client.create_run(
        experiment.id, start_time=time, tags=tags | _source(source), run_name=execution.name
    )
    _log_params(experiment.client, run.info.run_id, execution.params)
    return Parent(experiment, run.info.run_id, execution)


def _source(source: str | None) -> dict[str, str]:
    return {"pipeline.source": source} if source else names.git_tags()


def _log_params(client: "MlflowClient", run_id: str, params: Mapping[str, object]) -> None:
    from mlflow.entities import Param

    batch = [Param(name, str(value)) for name, value in params.items()]
    for start in range(0, len(batch), 100):  # MLflow's limit
        client.log_batch(run_id, params=batch[start : start + 100])


def create_child(parent: Parent, stage: str, cell: Mapping[str, int], *, time: int, source: str | None = None) -> str:
    """Creates the run of a stage or cell under its parent, with params, tags and lineage; returns its id."""
    tags = names.run_tags(parent.execution, stage, cell) | _source(source)
    run = parent.client.create_run(
        parent.experiment.id,
        start_time=time,
        tags=tags | {"mlflow.parentRunId": parent.run_id},
        run_name=" ".join(filter(None, (stage, names.cell_key(stage, cell)))),
    )
    _log_params(parent.client, run.info.run_id, cell)
    log_inputs(parent, run.info.run_id, stage)
    return str(run.info.run_id)


def children(parent: Parent, stage: str | None = None) -> "list[MlflowRun]":
    """Runs under the parent, newest first; of `stage` (DVC's name, with the cell) alone if given."""
    tags = {"mlflow.parentRunId": parent.run_id} | ({"dvc.stage": stage} if stage else {})
    return search(parent.experiment, tags)


def log_inputs(parent: Parent, run_id: str, stage: str) -> None:
    """Ties the run to the md5 of the data folders that its stage reads."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    context = [InputTag("mlflow.data.context", "training" if stage.startswith("train_") else stage)]
    inputs = [
        DatasetInput(Dataset(path, md5, "local", json.dumps({"uri": path})), context)
        for path, md5 in names.data_inputs(stage).items()
    ]
    if inputs:
        parent.client.log_inputs(run_id, inputs)


@dataclass(frozen=True)
class Published:
    """What a run holds already: its points, and its files with their time of change."""

    points: frozenset[Point] = frozenset()
    files: frozenset[tuple[Path, int]] = frozenset()


def publish(client: "MlflowClient", run_id: str, contents: Contents, before: Published, time: int) -> Published:
    """Adds to the run what `contents` has more than `before`; returns what it holds then."""
    points = [point for point in dict.fromkeys(contents.points) if point not in before.points]
    log_points(client, run_id, points, time)
    files = {(path, path.stat().st_mtime_ns) for path in contents.artifacts}
    for path, _ in sorted(files - before.files):
        log_file(client, run_id, path)
    return Published(before.points.union(points), before.files | files)


def log_points(client: "MlflowClient", run_id: str, points: list[Point], time: int) -> None:
    """Logs the points in as few batches as MLflow takes; of two at one step, the later one counts."""
    from mlflow.entities import Metric

    batch = [Metric(point.metric, point.value, time + turn, point.step) for turn, point in enumerate(points)]
    for start in range(0, len(batch), 1000):  # MLflow's limit
        client.log_batch(run_id, metrics=batch[start : start + 1000])


def log_new_points(client: "MlflowClient", run_id: str, points: list[Point], time: int) -> None:
    """Logs those points that the run does not hold yet, so that saying it again adds nothing."""
    logged = {p[::2]: p.value for p in points_of(client, run_id, {point.metric for point in points})}
    log_points(client, run_id, [p for p in points if not agree(p.value, logged.get(p[::2], math.nan))], time)


def agree(value: float, other: float) -> bool:
    """Whether two values are one but for the six digits to which files round."""
    return math.isclose(value, other, rel_tol=1e-5, abs_tol=1e-6)


def points_of(client: "MlflowClient", run_id: str, metrics: Iterable[str]) -> list[Point]:
    """Every point of `metrics` that the run holds."""
    history = [item for metric in metrics for item in client.get_metric_history(run_id, metric)]
    return [Point(item.key, item.value, item.step) for item in history]


def log_file(client: "MlflowClient", run_id: str, path: Path) -> None:
    """Uploads a file; report.md becomes the run's description too."""
    client.log_artifact(run_id, str(path))
    if path.name == "report.md":
        client.set_tag(run_id, NOTE, path.read_text(encoding="utf-8")[:NOTE_CHARACTERS])
