"""A tiny project of ours that has run to its end, the truth; copies of it in which something goes wrong."""

import csv
import hashlib
import json
import os
import random
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from filelock import FileLock

from pipeline.orchestration.demo import CHOICES, FOLDER
from pipeline.orchestration.fanout import NOTHING_TO_DO
from tests.project import ENVIRONMENT, FAN_OUT, ROOT, copy_project, make_project

DEMO = ("python", "-m", "pipeline", "demo")
GONE_SECONDS = 30.0  # what was killed must be gone by then, its companions too
PROGRESS = "results/gan/samples-"  # shows a probe while the generator trains: whole, but not yet the last one
HISTORY = "results/history/train_gan-"  # grows by a row a probe
STAGES = (
    "prepare",
    "train_gan@1",
    "synthesize@1",
    "assess@0",
    "train_baseline@200-0",
    "train_rival@mixup-1",
    "train_control@ceiling-50-0",
    "train_classifier@50-1",
    "evaluate",
)


class Job(NamedTuple):
    """A stage or cell: its name in DVC, its command line, its outs."""

    name: str
    command: list[str]
    outs: list[str]


class Outcome(NamedTuple):
    """What became of a fault.

    Attributes:
        told: what went wrong; empty if all was as promised and the work was done in the end.
        equal: whether the outs are the truth's; None where there are none.
    """

    told: str
    equal: bool | None


class Moments(NamedTuple):
    """How often a job changes the disk, and how many seconds it takes."""

    changes: int
    seconds: float


class Truth:
    """The project that nothing happened to."""

    def __init__(self, folder: Path) -> None:
        """Reads what `make_truth` made in `folder`."""
        self.root, self.jobs = folder, read_jobs(folder)

    @property
    def tracked(self) -> list[str]:
        """Stages and cells that have a run beside the parent, which is evaluate's; collect has none."""
        return [name for name in self.jobs if name not in ("collect", "evaluate")]

    def copy(self, folder: Path, *, dvc: bool = False) -> Path:
        """A copy to break, in place of an earlier one; with `dvc` as a repository of DVC too."""
        shutil.rmtree(folder, ignore_errors=True)
        return copy_project(self.root, folder, *(() if dvc else (".git", ".dvc")))

    def moments(self, job: Job, scratch: Path) -> Moments:
        """Measured once a truth, in a run to which nothing happens and which must give the truth."""
        file = self.root.with_name(f"{self.root.name}-{job.name}.json")
        with FileLock(f"{file}.lock"):
            if not file.exists():
                file.write_text(json.dumps(self._measure(job, scratch)), encoding="utf-8")
            return Moments(*json.loads(file.read_text(encoding="utf-8")))

    def _measure(self, job: Job, scratch: Path) -> Moments:
        project, begin = self.copy(scratch), time.monotonic()
        remove(project, job.outs)
        done = run(project, *launched({"count": "changes"}, job.command))
        assert (done.returncode, contents(project, job.outs)) == (0, contents(self.root, job.outs)), done.stdout
        return Moments(int((project / "changes").read_text()), time.monotonic() - begin)


def make_truth(folder: Path) -> None:
    """The tiny project, all of it run from zero by the fan-out, which leaves what `dvc repro` leaves, and sooner."""
    make_project(folder)
    make_demo_tiny(folder)
    done = run(folder, *FAN_OUT)
    assert done.returncode == 0, done.stdout


def read_jobs(project: Path) -> dict[str, Job]:
    """Every stage and cell that dvc.lock names."""
    return {
        name: Job(name, shlex.split(entry["cmd"])[1:], [out["path"] for out in entry["outs"]])
        for name, entry in lock_of(project)["stages"].items()
    }


def make_demo_tiny(project: Path) -> None:
    """Makes `make demo` ask what the project's params.yaml asks."""
    values = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    text = "# @package _global_\n" + yaml.safe_dump(values)
    (project / "conf/preset/digits_demo.yaml").write_text(text, encoding="utf-8")
    composed = run(project, "python", "-m", "pipeline", "configure", *CHOICES)
    assert composed.returncode == 0, composed.stdout
    assert yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8")) == values


def worked_in(project: Path, command: tuple[str, ...]) -> Path:
    """The folder in which `command` brings all stages up to date; that of `make demo` is as after one in `project`."""
    folder = project / FOLDER
    if command != DEMO:
        return project
    if not folder.exists():
        for name in ("data", "models", "results", ".dvc/cache"):
            shutil.copytree(project / name, folder / name)
        shutil.copy(project / "dvc.lock", folder)
        done = run(project, *DEMO)
        assert (done.returncode, NOTHING_TO_DO in done.stdout) == (0, True), done.stdout
    return folder


def environment(folder: Path) -> dict[str, str]:
    """The project's own code comes first, then this repository's tests; DVC leaves nothing outside the folder."""
    path = os.pathsep.join((str(folder), str(ROOT)))
    return ENVIRONMENT | {"PYTHONPATH": path, "DVC_SITE_CACHE_DIR": str(folder / ".dvc/tmp/site"), "SHELL": "/bin/sh"}


def start(folder: Path, *command: str, **more: str) -> "subprocess.Popen[str]":
    """Starts a command in `folder`, in a session of its own; both its streams are its `stdout`."""
    return subprocess.Popen(
        command, cwd=folder, env=environment(folder) | more, text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def run(folder: Path, *command: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Runs it to its end."""
    process = start(folder, *command, **more)
    output, _ = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, output)


def launched(fault: dict[str, Any], command: list[str]) -> list[str]:
    """`command`, a `python -m MODULE …`, with a fault planted in it; see `tests.recovery.launch`."""
    assert command[:2] == ["python", "-m"]
    return [sys.executable, "-m", "tests.recovery.launch", json.dumps(fault), *command[2:]]


def remove(project: Path, outs: list[str]) -> None:
    """Deletes a stage's outs, as DVC does before it runs the stage."""
    for out in outs:
        path = project / out
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def contents(project: Path, outs: list[str]) -> dict[str, str]:
    """sha256 of every file of the outs, hidden ones too."""
    files = [file for out in outs for file in [project / out, *(project / out).rglob("*")] if file.is_file()]
    return {str(file.relative_to(project)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def half_written(project: Path, truth: Path, outs: list[str]) -> list[str]:
    """Files of the outs that bear their final name, though not their final content."""
    wanted = contents(truth, outs)
    return [
        name for name, digest in contents(project, outs).items()
        if wanted.get(name) != digest and not name.startswith(PROGRESS)
        and not (name.startswith(HISTORY) and begins_like(project / name, truth / name))
        and not any(part.startswith(".") for part in Path(name).parts)
    ]  # fmt: skip


def begins_like(history: Path, truth: Path) -> bool:
    """Whether a CSV is whole and its rows are the first ones of the truth's; columns may be still to come."""
    text = history.read_text(encoding="utf-8")
    rows, wanted = (
        [{key: value for key, value in row.items() if value} for row in csv.DictReader(content.splitlines())]
        for content in (text, truth.read_text(encoding="utf-8"))
    )
    return text.endswith("\n") and rows == wanted[: len(rows)]


def processes_in(folder: Path) -> list[int]:
    """Ids of the living processes whose working folder is `folder` or below."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may end while we look
            place = (process / "cwd").readlink()
            if place == folder or folder in place.parents:
                found.append(int(process.name))
    return found


def find(folder: Path, *words: str) -> list[int]:
    """Those of them with one of `words` in their command line."""
    found = []
    for pid in processes_in(folder):
        with suppress(OSError):  # as above
            line = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
            if any(word in line for word in words):
                found.append(pid)
    return found


def left_alive(folder: Path, *words: str, seconds: float = GONE_SECONDS) -> list[int]:
    """Of the processes that `find` finds those that are still there after the time that they have to end."""
    deadline = time.monotonic() + seconds
    while (alive := find(folder, *words or ("",))) and time.monotonic() < deadline:
        time.sleep(0.1)
    return alive


def wait_for(there: Callable[[], object]) -> None:
    """Waits until something is so."""
    deadline = time.monotonic() + GONE_SECONDS
    while not there():
        assert time.monotonic() < deadline, there
        time.sleep(0.02)


def forget(project: Path, jobs: Sequence[Job]) -> None:
    """Makes DVC run `jobs` again: no entries, no outs, no memory of having run them."""
    lock = lock_of(project)
    for job in jobs:
        del lock["stages"][job.name]
        remove(project, job.outs)
    (project / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False), encoding="utf-8")
    commands = [shlex.join(["exec", *job.command]) for job in jobs]
    for file in (project / ".dvc/cache/runs").glob("*/*/*"):
        if shlex.join(shlex.split(yaml.safe_load(file.read_text(encoding="utf-8"))["cmd"])) in commands:
            shutil.rmtree(file.parent)


def lock_of(project: Path) -> dict[str, Any]:
    """What dvc.lock says, whatever its order."""
    content: dict[str, Any] = yaml.safe_load((project / "dvc.lock").read_text(encoding="utf-8"))
    return content


def is_true(truth: Truth, project: Path, jobs: Sequence[Job]) -> bool:
    """Whether the outs of `jobs` and what dvc.lock says are the truth's."""
    outs = [out for job in jobs for out in job.outs]
    return contents(project, outs) == contents(truth.root, outs) and lock_of(project) == lock_of(truth.root)


def active_runs(project: Path) -> dict[str, int]:
    """How many runs that nobody deleted the project's store has of each stage and cell, and parents."""
    query = (
        "select tags.value, count(*) from tags join runs using (run_uuid) "
        "where runs.lifecycle_stage = 'active' and tags.key in ('dvc.stage', 'pipeline.role') group by tags.value"
    )
    with sqlite3.connect(project / "mlflow.db") as store:
        return dict(store.execute(query).fetchall())


def moment(choose: random.Random, seconds: float) -> None:
    """Waits for a random part of `seconds`."""
    time.sleep(choose.uniform(0.0, seconds))


def again(truth: Truth, project: Path, job: Job, what: str) -> Outcome:
    """Runs `job` to its end after `what` happened to it."""
    torn, alive = half_written(project, truth.root, job.outs), left_alive(project)
    done = run(project, *job.command)
    faults = [f"half-written: {torn}"] * bool(torn) + [f"left alive: {alive}"] * bool(alive)
    faults += [f"again: {done.stdout}"] * (done.returncode != 0)
    faults += ["unfinished work stayed"] * any((project / ".resume").glob("*/*"))
    told = f"{what}; {'; '.join(faults)}" if faults else ""
    return Outcome(told, contents(project, job.outs) == contents(truth.root, job.outs))
