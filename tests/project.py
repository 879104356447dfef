"""A repository with our code and tiny params, for tests with real DVC."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from pipeline.params.compose import write_params
from tests.conftest import TINY

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = os.environ | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PIPELINE_TRACKING": "off",
}


def run(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in `folder`; both its streams come back as `stdout`."""
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT | environment, check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def make_project(folder: Path) -> Path:
    """A fresh repository with our code and the tiny params."""
    for name in ("pipeline", "stages", "conf"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    write_params(folder / "params.yaml", TINY)
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"], ["git", "add", "."]):
        assert run(folder, *command).returncode == 0
    return folder
