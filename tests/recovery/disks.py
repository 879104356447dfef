"""Disks and memory that are used up: `python -m tests.recovery.disks CASE PROJECT FOLDER JOB ROOM`.

Runs a job of the truth in PROJECT in a copy of it on a small disk of its own, of which it leaves ROOM bytes free.
Needs the right to mount: run it under `unshare -rm`. Prints what happened as JSON: exit code and output of the job
while the disk was full (CASE `full`) or read-only (`read_only`), what it left half-written, the same of a second try
with room, and whether the outs are the truth's in the end.
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pipeline.runtime.entry import LEAST_ADDRESS_SPACE
from tests.recovery.project import (
    Job,
    Outcome,
    Truth,
    again,
    contents,
    half_written,
    launched,
    read_jobs,
    remove,
    run,
)

HUNGRY = ("train_gan@1", "synthesize@1", "assess@0", "train_classifier@50-1")
DISK_BYTES = 128_000_000
BALLAST = "ballast"


def full_disk(truth: Truth, scratch: Path, choose: random.Random, *, stage: str) -> Outcome:
    """A disk with room for a part of the outs alone."""
    job = truth.jobs[stage]
    size = sum((truth.root / name).stat().st_size for name in contents(truth.root, job.outs))
    return on_small_disk(truth, scratch, job, "full", choose.randrange(size // 2))


def read_only_disk(truth: Truth, scratch: Path, choose: random.Random, *, stage: str) -> Outcome:
    """A disk that takes nothing."""
    return on_small_disk(truth, scratch, truth.jobs[stage], "read_only", 0)


def on_small_disk(truth: Truth, scratch: Path, job: Job, case: str, room: int) -> Outcome:
    """Starts this module where it may mount, and reads what it prints."""
    scratch.mkdir(parents=True, exist_ok=True)
    command = ["unshare", "-rm", sys.executable, "-m", "tests.recovery.disks", case]
    done = run(scratch, *command, str(truth.root), str(scratch), job.name, str(room))
    assert done.returncode == 0, done.stdout
    told: dict[str, Any] = json.loads(done.stdout)
    faults = [told["output"]] * (not is_one_line(job, told["code"], told["output"]))
    faults += [f"half-written: {told['torn']}"] * bool(told["torn"])
    faults += [f"again: {told['again']}"] * (told["again_code"] != 0)
    return Outcome("; ".join(faults), told["equal"])


def little_memory(truth: Truth, scratch: Path, choose: random.Random, *, stage: str) -> Outcome:
    """A limit with which no stage starts, or one that has no room for batches that someone asked too much of."""
    job = truth.jobs[stage]
    project, values = truth.copy(scratch), (truth.root / "params.yaml").read_text(encoding="utf-8")
    remove(project, job.outs)
    trains = job.name.startswith("train_")
    greedy = re.sub(r"(?m)^( +batch_size: ).*", r"\g<1>100000", values) if trains else values
    (project / "params.yaml").write_text(greedy, encoding="utf-8")
    extra = choose.randrange(LEAST_ADDRESS_SPACE // 4) + LEAST_ADDRESS_SPACE if trains else choose.randrange(10**6)
    done = run(project, *launched({"memory": extra}, job.command))
    (project / "params.yaml").write_text(values, encoding="utf-8")
    shutil.rmtree(project / ".resume", ignore_errors=True)  # of values that are given up, as `make clean` does
    outcome = again(truth, project, job, f"{extra} bytes: code {done.returncode}: {done.stdout}")
    return outcome._replace(told=outcome.told or done.stdout * (not is_one_line(job, done.returncode, done.stdout)))


def slow_disk(truth: Truth, scratch: Path, choose: random.Random, *, stage: str) -> Outcome:
    """Every fsync takes up to half a second; nothing else happens."""
    project, job, seconds = truth.copy(scratch), truth.jobs[stage], choose.uniform(0.1, 0.5)
    remove(project, job.outs)
    done = run(project, *launched({"fsync": seconds}, job.command))
    return Outcome(done.stdout * (done.returncode != 0), contents(project, job.outs) == contents(truth.root, job.outs))


def is_one_line(job: Job, code: int, output: str) -> bool:
    """Whether a stage ended as it must where something is used up: its name, what it needed, what there is."""
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    stage = f"error: {job.name.split('@')[0]}: "
    return (
        code == 2
        and "Traceback" not in output
        and len(errors) == 1
        and errors[0].startswith(stage)
        and "are free" in errors[0]
    )


def may_mount() -> bool:
    """Whether a process of ours may have disks of its own."""
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", tempfile.gettempdir()]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


def mount(*arguments: str) -> None:
    """The command of that name."""
    subprocess.run(["mount", *arguments], check=True)


def main() -> None:
    """What the module's first lines say."""
    case, truth, folder, name, room = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], int(sys.argv[5])
    disk, project, job = folder / "disk", folder / "disk" / "project", read_jobs(truth)[name]
    disk.mkdir()
    mount("-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk))
    shutil.copytree(truth, project, ignore=shutil.ignore_patterns(".git", ".dvc", "__pycache__"))
    remove(project, job.outs)
    if case == "full":
        fill(disk, room)
    else:
        mount("-o", "remount,ro", str(disk))
    first = run(project, *job.command)
    torn = half_written(project, truth, job.outs)
    mount("-o", "remount,rw", str(disk))
    (disk / BALLAST).unlink(missing_ok=True)
    second = run(project, *job.command)
    told = {"code": first.returncode, "output": first.stdout, "torn": torn}
    told |= {"again_code": second.returncode, "again": second.stdout}
    print(json.dumps(told | {"equal": contents(project, job.outs) == contents(truth, job.outs)}))  # noqa: T201


def fill(disk: Path, room: int) -> None:
    """Leaves `room` bytes free on the disk."""
    state = os.statvfs(disk)
    with (disk / BALLAST).open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, state.f_bavail * state.f_frsize - room))


if __name__ == "__main__":
    main()
