"""`make demo`: the whole pipeline on a hundred handwritten digits, then its answer and where to look.

It runs in the folder demo/, a project of its own that git ignores and that shares the code: what results/, params.yaml
and dvc.lock hold here stays as it is.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

import typer

from pipeline.evaluation.report.write import to_text
from pipeline.evaluation.result import read_result
from pipeline.params.compose import compose_params, write_params
from pipeline.params.graph import fitted
from pipeline.params.load import GRAPH_FILE, PARAMS_FILE, parse_params
from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.dvc import refuse_concurrent_dvc, run_module
from pipeline.runtime.errors import UserError

CHOICES = ["dataset=digits", "profile=demo"]
FOLDER = Path("demo")
CODE = ("pipeline", "stages", "conf")
IGNORED = Path(".dvcignore")
CONFIG = b"[core]\n    analytics = false\n    autostage = false\n    no_scm = true\n"
RESULT = Path("results/ablation.json")


def run_demo(jobs: int) -> None:
    """Composes demo/params.yaml, brings all stages up to date, `jobs` at once, and prints the answer and what to open.

    The runs are in the MLflow store of this folder.

    Raises:
        UserError: this is not the repository's root, or another dvc is at work in demo/.
    """
    if not GRAPH_FILE.is_file():
        raise UserError(f"{Path.cwd()}: no {GRAPH_FILE} here; run this in the root of the repository")
    refuse_concurrent_dvc(str(FOLDER / PARAMS_FILE), FOLDER)
    make_project(FOLDER)
    here = {"DVC_ROOT": os.environ.get("DVC_ROOT", str(Path.cwd()))}
    if code := run_module("pipeline", "run", "--jobs", f"{jobs}", folder=FOLDER, **here):
        sys.exit(code)
    typer.echo(f"\n{to_text(read_result(FOLDER / RESULT))}\n")
    typer.echo(f"The report:  open {FOLDER / RESULT.with_name('report.html')} in a browser")
    typer.echo("The runs:    make ui")
    typer.echo(f"All of it:   {FOLDER}/, in which the paths above lie, and which you may delete")


def make_project(folder: Path) -> None:
    """Makes `folder` a project of DVC without git, on this folder's code, or brings it up to date."""
    for name in CODE:
        (folder / ".dvc").mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            (folder / name).symlink_to(Path("..") / name)
    write_bytes(folder / ".dvc/config", CONFIG)
    write_bytes(folder / IGNORED, IGNORED.read_bytes())
    write_bytes(folder / GRAPH_FILE, fitted(GRAPH_FILE, parse_params(compose_params(CHOICES))).encode())
    write_params(folder / PARAMS_FILE, CHOICES)
