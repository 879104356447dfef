"""One value of a sweep: a DVC experiment in a temporary copy, so that the working folder stays as it is."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import typer

from pipeline.evaluation.result import Result
from pipeline.runtime.dvc import run_dvc
from pipeline.runtime.errors import UserError

RESULT = "results/ablation.json"
DOWNLOADS = Path("data/raw")  # git ignores it, so the copy lacks it


def run_experiment(name: str, params: Mapping[str, object]) -> Result:
    """Runs the whole graph with `params` in place of those of params.yaml; returns what ablation.json holds.

    DVC's run cache serves every stage that ran before, whichever run that was, so that a killed sweep goes on
    where it was. An older experiment of the same name on the same commit gives way.

    Raises:
        UserError: this is no git repository with a commit, or a stage failed.
    """
    reference = _reference(name)
    _git("update-ref", "-d", reference)
    if DOWNLOADS.is_dir():
        os.environ.setdefault("CIFAR10_ROOT", str(DOWNLOADS.resolve()))
    choices = [part for key, value in params.items() for part in ("-S", f"{key}={literal(value)}")]
    if code := run_dvc("exp", "run", "--temp", "--name", name, *choices):
        typer.echo(f"sweep: {name} ended with code {code}; the same command goes on where it stopped", err=True)
        sys.exit(code)
    return Result.model_validate_json(_git("show", f"{reference}:{RESULT}"))


def experiment_name(*words: object) -> str:
    """`words` as a name that git takes."""
    return re.sub(r"[^\w.-]+", "-", "-".join(map(str, words))).strip(".-")


def _reference(name: str) -> str:
    """Where DVC keeps the experiment `name` that starts from the commit at hand."""
    try:
        commit = _git("rev-parse", "--verify", "--quiet", "HEAD")
    except (FileNotFoundError, subprocess.CalledProcessError):
        raise UserError("sweep: DVC keeps experiments beside a commit of git, and there is none: git commit") from None
    return f"refs/exps/{commit[:2]}/{commit[2:]}/{name}"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def literal(value: object) -> str:
    """`value` as DVC's -S reads it; text in quotes, so that it stays text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(literal, value))}]"
    if isinstance(value, str):
        # Hydra's quoting: backslashes count double before a quote, and there alone
        quoted = re.sub(r"(\\*)('|\Z)", lambda found: 2 * found[1] + found[2].replace("'", r"\'"), value)
        return f"'{quoted}'"
    return repr(value)
