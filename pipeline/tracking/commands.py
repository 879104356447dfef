"""What `synthmix track` does: rebuild the runs from the files, serve MLflow's pages."""

import os
import socket
import sys
from pathlib import Path

import typer

from pipeline.params.load import load_all_params
from pipeline.runtime.errors import UserError
from pipeline.tracking import execution, store
from pipeline.tracking.sync import sync

HOST = "127.0.0.1"


def sync_runs() -> str:
    """Publishes what the files that dvc.lock names hold, and the store lacks; reports what it added."""
    params = load_all_params()
    try:
        tally = sync(params)
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a store or a network throws, the user gets one line
        reason = execution.without_credentials(f"{type(error).__name__}: {error}")[:200]
        where = execution.without_credentials(execution.store_uri())
        raise UserError(f"tracking: {where} cannot be written ({reason}); repair it and run sync again") from None
    absent = f", {tally.absent} without a result yet" if tally.absent else ""
    unregistered = "".join(f"; {line}" for line in tally.unregistered)
    return f"tracking: {tally.added} runs added, {tally.kept} kept{absent}{unregistered}"


def serve(port: int) -> None:
    """Prints the addresses of `describe_pages`, and becomes MLflow's server there."""
    if execution.is_server():
        address = execution.without_credentials(execution.store_uri())
        raise UserError(f"MLFLOW_TRACKING_URI names a server: open {address}")
    database = execution.repository() / "mlflow.db"
    if not database.exists() and "MLFLOW_TRACKING_URI" not in os.environ:
        raise UserError("mlflow.db: no runs yet; run `dvc repro`, or `synthmix track sync`")
    _need_port(port)
    for line in describe_pages(f"http://{HOST}:{port}"):
        typer.echo(line)
    typer.echo("Ctrl-C ends MLflow")
    sys.stdout.flush()
    _become_server(database.parent, port)


def describe_pages(server: str) -> list[str]:
    """Of every data set with runs a line for the charts of one execution and one for the list of all on `server`.

    The one is that of params.yaml where the store has it, else the latest.
    """
    described, lines = execution.current_execution(load_all_params().model_dump()), []
    for name, parents in store.named_parents().items():
        experiment, latest = parents[0]
        ours = [run for _, run in parents if run.data.tags["pipeline.execution"] == described.name]
        which, run = ("this", ours[0]) if ours else ("latest", latest)
        lines.append(f"{name}, {which} execution: {chart_url(server, experiment.id, run.info.run_id)}")
        lines.append(f"{name}, all executions: {experiment_url(server, experiment.id)}")
    return lines


def experiment_url(server: str, experiment_id: str) -> str:
    """Address of the list of runs on `server`."""
    return f"{server.rstrip('/')}/?workflowType=machine_learning#/experiments/{experiment_id}/runs"


def chart_url(server: str, experiment_id: str, run_id: str) -> str:
    """Address of the charts of a run's metrics on `server`: of a parent, accuracy over synthetic_percent as step."""
    return f"{experiment_url(server, experiment_id)}/{run_id}/model-metrics"


def _need_port(port: int) -> None:
    """Raises UserError where nobody can listen on the port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind((HOST, port))
        except OSError as error:
            why = error.strerror or error
            raise UserError(f"track ui: port {port} of {HOST}: {why}; name another one with --port") from None


def _become_server(root: Path, port: int) -> None:
    """Becomes the server: 2 processes and half a gigabyte, where `mlflow ui` takes 14 and 2.8."""
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    os.environ["MLFLOW_BACKEND_STORE_URI"] = execution.store_uri()  # every user of the machine can read arguments
    arguments = ["--workers", "1", "--host", HOST, "--port", str(port)]
    stores = ["--artifacts-destination", str(root / "mlruns")]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "server", *arguments, *stores])  # noqa: S606
