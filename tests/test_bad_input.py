"""Bad input through real command lines; the tables of cases are in test_bad_{params,sources,shards,...}.py."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bad_files import FLAGS, change_json, cut, digest, set_param

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parent.parent
LOCK = "schema: '2.0'\nstages:\n  prepare:\n    cmd: [\n"

CASES: dict[str, tuple[str, Callable[[], object], tuple[str, ...]]] = {
    "params": (f"stages.prepare {FLAGS['prepare']}", lambda: set_param("gan.stepz", 1), ("gan.stepz: no such key",)),
    "a trap in a model": (
        f"stages.synthesize {FLAGS['synthesize']}",
        lambda: change_json("models/gan/0/generator.json", networks="trap:build"), ("'trap:build'", "gan.networks")),
    "a shard": (
        f"stages.assess {FLAGS['assess']}",
        lambda: cut("data/synthetic/0/data/train-00000-of-00001.parquet", 0.5), ("not a readable Parquet file",)),
    "a manifest": ("pipeline dataset verify data/synthetic/0", lambda: cut("data/synthetic/0/manifest.json", 0.5),
                   ("manifest.json: corrupted",)),
    "an unknown profile": ("pipeline configure profile=huge", lambda: None, ("profile/huge",)),
    "a torn dvc.lock": ("pipeline track sync", lambda: Path("dvc.lock").write_text(LOCK), ("dvc.lock", "not YAML")),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_real_command_refuses_in_one_line(case: str, workdir: Path) -> None:
    """The process ends with exit code 2 and one line on stderr, runs nothing it finds, and changes no file."""
    command, damage, told = CASES[case]
    Path("trap.py").write_text("open('sprung', 'w')\n")
    damage()
    before = digest(workdir)
    done = subprocess.run(
        [sys.executable, "-m", *command.split()], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}.", "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("error: ")
    assert all(part in done.stderr for part in told), done.stderr
    assert digest(workdir) == before
