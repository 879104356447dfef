"""Kills of every kind: what is done, and what was found afterwards."""

import os
import random
import signal
from pathlib import Path

from tests.recovery.project import (
    Job,
    Outcome,
    Truth,
    again,
    contents,
    forget,
    launched,
    left_alive,
    lock_of,
    moment,
    remove,
    run,
    start,
)

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def kill_stage(truth: Truth, scratch: Path, job: Job, number: int, choose: random.Random) -> Outcome:
    """A signal to a stage: before one of its changes of the disk, or at any time; then the same command again."""
    moments = truth.moments(job, scratch)
    project = truth.copy(scratch)
    remove(project, job.outs)
    fault = {"signal": number, "at": choose.randrange(moments.changes)} if choose.random() < 0.7 else {}
    process = start(project, *launched(fault, job.command))
    if not fault:
        moment(choose, moments.seconds)
        process.send_signal(number)
    output, _ = process.communicate()
    return again(truth, project, job, f"{job.name} {fault}: code {process.returncode}: {output}")


def kill_dvc(
    truth: Truth, scratch: Path, job: Job, number: int, choose: random.Random, *, group: bool = False
) -> Outcome:
    """A signal to dvc alone, or as Ctrl-C to its whole group, while it runs `job`; then `dvc repro` again."""
    seconds = truth.moments(job, scratch).seconds
    project = truth.copy(scratch, dvc=True)
    forget(project, job)
    process = start(project, "dvc", "repro", job.name)
    moment(choose, seconds + 2)
    os.killpg(process.pid, number) if group else process.send_signal(number)
    output, _ = process.communicate()
    alive = left_alive(project)
    mended = run(project, "python", "-m", "pipeline.lock")
    done = run(project, "dvc", "repro", job.name)
    faults = [f"left alive: {alive}"] * bool(alive)
    faults += [f"again: {mended.stdout}{done.stdout}"] * (mended.returncode + done.returncode != 0)
    what = f"{job.name}: dvc's code {process.returncode}: {output}"
    told = f"{what}; {'; '.join(faults)}" if faults else ""
    equal = contents(project, job.outs) == contents(truth.root, job.outs) and lock_of(project) == lock_of(truth.root)
    return Outcome(told, equal)
