"""`make demo`: the whole pipeline on handwritten digits, then its answer and where to look."""

import sys
from pathlib import Path

import typer

from pipeline.evaluation.report.write import to_text
from pipeline.evaluation.result import read_result
from pipeline.orchestration.repair import repair_all
from pipeline.params.compose import replace_params
from pipeline.runtime.dvc import refuse_concurrent_dvc, run_dvc

CHOICES = ["dataset=digits", "profile=demo"]
RESULT = Path("results/ablation.json")


def run_demo() -> None:
    """Composes params.yaml, runs `dvc repro` and prints the table, the verdict and what to open."""
    replace_params(CHOICES)
    for repaired in repair_all():
        typer.echo(repaired)
    if code := run_dvc("repro"):
        refuse_concurrent_dvc("the demo's results")  # DVC says that it is locked out, but not by whom
        sys.exit(code)
    typer.echo(f"\n{to_text(read_result(RESULT))}\n")
    typer.echo("The report:     open results/report.html in a browser")
    typer.echo("The runs:       make ui")
    typer.echo("CIFAR-10 again: git restore params.yaml dvc.lock results")
