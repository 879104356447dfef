"""python -m pipeline.tracking sync | ui."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.config import load_all_params
from pipeline.errors import UserError
from pipeline.tracking import backfill, store
from pipeline.tracking import execution as names
from pipeline.tracking.view import ALL, ONE, view_url

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command()
def sync() -> None:
    """Rebuild the runs of params.yaml's grid from the files in results/; runs that are there stay."""
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
    typer.echo(f"tracking: {tally.added} runs added, {tally.kept} kept{absent}")


@app.command()
def ui(
    port: Annotated[int, typer.Option(envvar="PORT", help="Port on 127.0.0.1.")] = 5000,
) -> None:
    """Open MLflow's pages on this machine: one worker, no job runners."""
    if names.is_server():
        raise UserError(f"MLFLOW_TRACKING_URI names a server: open {names.without_credentials(names.store_uri())}")
    database = names.repository() / "mlflow.db"
    if not database.exists() and "MLFLOW_TRACKING_URI" not in os.environ:
        raise UserError("mlflow.db: no runs yet; run `dvc repro`, or `python -m pipeline.tracking sync`")
    experiment = store.open_experiment(load_all_params().dataset.name)
    for told, name in (("this execution", ONE), ("all executions", ALL)):
        typer.echo(f"{told}: {view_url(f'http://127.0.0.1:{port}', experiment.id, name)}")
    typer.echo("Ctrl-C ends MLflow")
    sys.stdout.flush()
    _serve(database.parent, port)


def _serve(root: Path, port: int) -> None:
    """Becomes the server: 2 processes and half a gigabyte, where `mlflow ui` takes 14 and 2.8."""
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    os.environ["MLFLOW_BACKEND_STORE_URI"] = names.store_uri()  # every user of the machine can read arguments
    arguments = ["--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    stores = ["--artifacts-destination", str(root / "mlruns")]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "server", *arguments, *stores])  # noqa: S606


def main() -> None:
    """Runs the command; a user's mistake is one line and exit code 2."""
    try:
        app()
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
