"""A repository with our code and tiny params, for tests with real DVC."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from pipeline.params.compose import write_params

ROOT = Path(__file__).resolve().parent.parent
TINY = [
    "dataset=digits", "profile=demo",
    "dataset.train_size=100", "dataset.val_size=50", "dataset.select_size=50", "dataset.test_size=50",
    "gan.steps=8", "gan.batch_size=16", "gan.probe_every=3", "gan.r3.width=8", "gan.dcgan.width=8",
    "gan.hinge_sn.width=8", "gan.judge.steps=6", "gan.health.cas_every=3", "gan.health.num_images=50",
    # Eight steps teach a generator little: it must pass no floor.
    "gan.health.min_gan_test=0", "gan.health.min_diversity=0", "gan.health.max_coverage_drop=1.0",
    "synthesize.num_images=300", "classifier.width=8", "classifier.steps=12", "classifier.batch_size=32",
    "ablation.synthetic_percent=[50]", "ablation.real_percent=[100,200]", "ablation.rivals=[mixup]",
    "ablation.replicates=[0,1]",
]  # fmt: skip
FAN_OUT = (sys.executable, "-m", "pipeline", "run", "--jobs", "2")
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


def once_per_run(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Path:
    """A folder that `build` makes: once a run, in whichever process of pytest-xdist needs it first."""
    above = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        above = above.parent  # the one that the workers share
    folder, finished = above / name, above / f"{name}.done"
    with FileLock(above / f"{name}.lock"):
        if not finished.exists():
            shutil.rmtree(folder, ignore_errors=True)
            build(folder)
            finished.touch()
    return folder


def copy_project(project: Path, folder: Path, *left_out: str) -> Path:
    """A copy to change, caches of Python's and what is `left_out` aside."""
    return shutil.copytree(project, folder, symlinks=True, ignore=shutil.ignore_patterns(*left_out, "__pycache__"))


def make_reproduced(folder: Path) -> None:
    """A project that the fan-out ran from zero, tracked in SQLite."""
    done = fan_out(make_project(folder), PIPELINE_TRACKING="on")
    assert done.returncode == 0, done.stdout


def fan_out(project: Path, *targets: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the fan-out in `project`, on the project's own code."""
    return run(project, *FAN_OUT, *targets, PYTHONPATH=str(project), **environment)


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
