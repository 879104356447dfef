"""`make demo`: the whole pipeline on a hundred handwritten digits, then its answer and where to look."""

from pathlib import Path

import typer

from pipeline.evaluation.report.write import to_text
from pipeline.evaluation.result import read_result
from pipeline.orchestration.fanout import bring_up_to_date
from pipeline.orchestration.workers import run_in_processes
from pipeline.params.compose import replace_params
from pipeline.runtime.dvc import need_repository

CHOICES = ["dataset=digits", "profile=demo"]
RESULT = Path("results/ablation.json")


def run_demo(jobs: int) -> None:
    """Composes params.yaml, brings all stages up to date, `jobs` at once, and prints the answer and what to open.

    Raises:
        UserError: this is no git repository, a stage failed, or another dvc is at work.
    """
    need_repository()
    replace_params(CHOICES)
    bring_up_to_date(["dvc.yaml"], jobs, run_in_processes)
    typer.echo(f"\n{to_text(read_result(RESULT))}\n")
    typer.echo("The report:     open results/report.html in a browser")
    typer.echo("The runs:       make ui")
    typer.echo("CIFAR-10 again: git restore params.yaml dvc.lock results")
