"""One setting of a sweep: the whole graph in a working tree of its own, so that this folder stays as it is.

The tree lies in .dvc/tmp until the sweep is at its end. It shares DVC's cache with this folder: what any run made of
the same inputs is taken from there, and after a kill the tree goes on where it was.
"""

import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from pipeline.evaluation.result import Result, read_result
from pipeline.orchestration.dvc_graph import cache_folder
from pipeline.params.graph import fit_graph
from pipeline.params.load import GRAPH_FILE, parse_params, read_yaml
from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.dvc import run_module
from pipeline.runtime.errors import UserError

TREES = Path(".dvc/tmp/sweep")
RESULT = Path("results/ablation.json")
DOWNLOADS = Path("data/raw")  # git ignores it, so the tree lacks it
RUN = (":(exclude)dvc.lock", ":(exclude)results")  # what a run wrote, and goes on from
NOBODY = ("-c", "user.name=synthmix", "-c", "user.email=synthmix@localhost")  # git asks for a name, and forgets it


@contextmanager
def one_sweep_at_a_time() -> Iterator[None]:
    """Holds the trees of this folder.

    Raises:
        UserError: another sweep is at work in them.
    """
    TREES.mkdir(parents=True, exist_ok=True)
    with (TREES / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{TREES}: another sweep is at work in this folder; wait for its end, or stop it") from None
        yield


def run_setting(name: str, experiment: str, params: str, jobs: int) -> Result:
    """Runs the whole graph; returns what ablation.json holds.

    Args:
        name: of the sweep and the setting: the tree is called so.
        experiment: the DVC experiment that the run becomes, in the place of an older one on the same commit.
        params: the text of params.yaml.
        jobs: GANs and cells at once.

    Raises:
        UserError: this is no git repository with a commit, or the tree cannot be made.
    """
    tree = TREES / name
    _bring_up(tree)
    write_bytes(tree / "params.yaml", params.encode())
    fit_graph(tree / GRAPH_FILE, parse_params(read_yaml(tree / "params.yaml")))
    if DOWNLOADS.is_dir():
        os.environ.setdefault("CIFAR10_ROOT", str(DOWNLOADS.resolve()))
    here = {"DVC_ROOT": str(Path.cwd()), "DVC_EXP_NAME": experiment}
    code = run_module("pipeline", "run", "--jobs", f"{jobs}", folder=tree, **here)
    if code:
        typer.echo(f"{name} ended with code {code}; the same command goes on where it stopped", err=True)
        sys.exit(code)
    saved = ("exp", "save", "--quiet", "--force", "--name", experiment, "-I", "results", "-I", "dvc.lock")
    if run_module("dvc", *saved, folder=tree):
        typer.echo(f"{name}: DVC kept no experiment of it; the result is safe", err=True)
    return read_result(tree / RESULT)


def remove_trees(names: list[str]) -> None:
    """Removes the trees of settings that are done."""
    for name in names:
        _git("worktree", "remove", "--force", str(TREES / name))


def experiment_name(*words: object) -> str:
    """`words` as a name that git takes."""
    return re.sub(r"[^\w.-]+", "-", "-".join(map(str, words))).strip(".-")


def _bring_up(tree: Path) -> None:
    """Makes the tree, or brings it up to what the files of this folder that git knows are now.

    Of a tree that is there, dvc.lock and results stay as its run left them: DVC knows which of them still hold.
    """
    try:
        commit = _git("rev-parse", "--verify", "--quiet", "HEAD")
    except (FileNotFoundError, subprocess.CalledProcessError):
        raise UserError("sweep: its settings start from a commit of git, and there is none: git commit") from None
    is_new = not (tree / ".git").exists()
    try:
        if is_new:
            _git("worktree", "add", "--force", "--detach", str(tree), commit)
        else:
            _git("-C", str(tree), "update-ref", "--no-deref", "HEAD", commit)
        now = _git(*NOBODY, "stash", "create") or commit  # with what is changed and not committed
        kept = () if is_new else RUN
        _git("-C", str(tree), "restore", f"--source={now}", "--staged", "--worktree", "--", ".", *kept)
    except subprocess.CalledProcessError as error:
        raise UserError(f"{tree}: git cannot bring it up to date: {' '.join(error.stderr.split())}") from None
    cache = f'[cache]\n    dir = {cache_folder()}\n    type = "reflink,hardlink,copy"\n'
    write_bytes(tree / ".dvc/config.local", cache.encode())


def _git(*arguments: str) -> str:
    no_hooks = ("-c", "core.hooksPath=/dev/null")
    done = subprocess.run(["git", *no_hooks, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
