"""What `synthmix track` does: rebuild the runs from the files, serve MLflow's pages."""

import os
import sys
from pathlib import Path

import typer

from pipeline.params.load import load_all_params
from pipeline.runtime.errors import UserError
from pipeline.tracking import backfill, store
from pipeline.tracking import execution as names
from pipeline.tracking.view import ALL, ONE, view_url


def sync_runs() -> str:
    """Rebuilds the runs of params.yaml's grid from the files in results/; says what it added."""
    params = load_all_params().model_dump()
    names.lock_entries()  # a torn dvc.lock is told before a store is made
    try:
        tally = backfill.sync(params)
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a store or a network throws, the user gets one line
        reason = names.without_credentials(f"{type(error).__name__}: {error}")[:200]
        where = names.without_credentials(names.store_uri())
        raise UserError(f"tracking: {where} cannot be written ({reason}); mend it and run sync again") from None
    absent = f", {tally.absent} without a result yet" if tally.absent else ""
    return f"tracking: {tally.added} runs added, {tally.kept} kept{absent}"


def serve(port: int) -> None:
    """Prints the views' addresses and becomes MLflow's server on 127.0.0.1."""
    if names.is_server():
        raise UserError(f"MLFLOW_TRACKING_URI names a server: open {names.without_credentials(names.store_uri())}")
    database = names.repository() / "mlflow.db"
    if not database.exists() and "MLFLOW_TRACKING_URI" not in os.environ:
        raise UserError("mlflow.db: no runs yet; run `dvc repro`, or `synthmix track sync`")
    experiment = store.open_experiment(load_all_params().dataset.name)
    for told, name in (("this execution", ONE), ("all executions", ALL)):
        typer.echo(f"{told}: {view_url(f'http://127.0.0.1:{port}', experiment.id, name)}")
    typer.echo("Ctrl-C ends MLflow")
    sys.stdout.flush()
    _become_server(database.parent, port)


def _become_server(root: Path, port: int) -> None:
    """Becomes the server: 2 processes and half a gigabyte, where `mlflow ui` takes 14 and 2.8."""
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    os.environ["MLFLOW_BACKEND_STORE_URI"] = names.store_uri()  # every user of the machine can read arguments
    arguments = ["--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    stores = ["--artifacts-destination", str(root / "mlruns")]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "server", *arguments, *stores])  # noqa: S606
