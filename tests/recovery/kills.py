"""Kills of every kind: what is done, and what was found afterwards."""

import os
import random
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.project import FAN_OUT
from tests.recovery.project import (
    Job,
    Outcome,
    Truth,
    active_runs,
    again,
    contents,
    find,
    forget,
    is_true,
    launched,
    left_alive,
    moment,
    remove,
    run,
    start,
    wait_for,
    worked_in,
)

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
WORKERS, ORPHAN_SECONDS = ("stages.", "spawn_main"), 3.0  # what must not go on alone, though it may save its work
REWRITING_SECONDS = 0.02  # that dvc takes for dvc.lock, at least
LOADING_SECONDS = 0.4  # of a worker, at least
GANS = ("train_gan@0", "train_gan@1")
CELLS = ("train_baseline@200-1", "train_classifier@50-1", "train_control@placebo-50-0")
# What dvc says of a lock that a kill tore; docs/when-it-stops.md has the remedy.
TORN = ("is invalid", "validation failed", "is busy", "RWLock-file")
ANY = ("train_gan@1", "synthesize@0", *CELLS)
CONFIGURE = ["python", "-m", "pipeline", "configure", "dataset=digits", "profile=demo", "classifier.steps=13"]
SYNC = ("python", "-m", "pipeline", "track", "sync")
WRITER_SECONDS, SYNC_SECONDS, FANOUT_SECONDS, CHANGES_OF_CONFIGURE = 4.0, 6.0, 9.0, 5  # within which the kill falls


def kill_stage(truth: Truth, scratch: Path, choose: random.Random, *, stage: str, number: int) -> Outcome:
    """A signal to a stage: before one of its changes of the disk, or at any time; then the same command again."""
    job = truth.jobs[stage]
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


def kill_dvc(truth: Truth, scratch: Path, choose: random.Random, *, number: int, group: bool) -> Outcome:
    """A signal to dvc alone, or as Ctrl-C to its whole group, while it runs a stage; then `dvc repro` again."""
    job = truth.jobs[choose.choice(ANY)]
    seconds = truth.moments(job, scratch).seconds + 2
    return _kill_command(truth, scratch, [job], ("dvc", "repro"), number, choose, seconds, group=group)


def kill_dvc_at_lock(truth: Truth, scratch: Path, choose: random.Random) -> Outcome:
    """kill -9 to dvc while it rewrites dvc.lock in place, for which it first empties the file."""
    project, job = truth.copy(scratch, dvc=True), truth.jobs[choose.choice(CELLS)]
    forget(project, [job])
    file, size = project / "dvc.lock", (project / "dvc.lock").stat().st_size
    process = start(project, "dvc", "repro")
    wait_for(lambda: file.stat().st_size != size)
    moment(choose, REWRITING_SECONDS)
    process.kill()
    output, _ = process.communicate()
    return _again_with_dvc(truth, project, [job], ("dvc", "repro"), output)


def kill_fanout(
    truth: Truth, scratch: Path, choose: random.Random, *, number: int, group: bool,
    command: tuple[str, ...] = FAN_OUT,
) -> Outcome:  # fmt: skip
    """The same to a fan-out that runs three cells, or to `make demo`, which starts one."""
    jobs = [truth.jobs[name] for name in CELLS]
    return _kill_command(truth, scratch, jobs, command, number, choose, FANOUT_SECONDS, group=group)


def kill_fanout_at_start(truth: Truth, scratch: Path, choose: random.Random) -> Outcome:
    """kill -9 to a fan-out whose workers are loading, and cannot have asked yet to go with it."""
    project, jobs = truth.copy(scratch, dvc=True), [truth.jobs[name] for name in CELLS]
    forget(project, jobs)
    process = start(project, *FAN_OUT)
    wait_for(lambda: len(find(project, "spawn_main")) == 2)
    moment(choose, LOADING_SECONDS)
    process.kill()
    return _after_the_kill(truth, project, jobs, FAN_OUT, process)


def _kill_command(
    truth: Truth, scratch: Path, jobs: Sequence[Job], command: tuple[str, ...], number: int, choose: random.Random,
    seconds: float, *, group: bool,
) -> Outcome:  # fmt: skip
    project = truth.copy(scratch, dvc=True)
    forget(worked_in(project, command), jobs)
    process = start(project, *command)
    moment(choose, seconds)
    with suppress(ProcessLookupError):  # it was done
        os.killpg(process.pid, number) if group else process.send_signal(number)
    return _after_the_kill(truth, project, jobs, command, process)


def _after_the_kill(
    truth: Truth, project: Path, jobs: Sequence[Job], command: tuple[str, ...], process: "subprocess.Popen[str]"
) -> Outcome:
    process.wait()  # reading its output would wait for an orphan, too
    orphans = left_alive(project, *WORKERS, seconds=ORPHAN_SECONDS)
    output, _ = process.communicate()
    outcome = _again_with_dvc(truth, project, jobs, command, f"code {process.returncode}: {output}")
    return outcome._replace(told=outcome.told or f"outlived it: {orphans}" * bool(orphans))


def _again_with_dvc(truth: Truth, project: Path, jobs: Sequence[Job], command: tuple[str, ...], what: str) -> Outcome:
    """Gives the same command again; where DVC then says that it left something torn, mends it as the docs say first."""
    alive = left_alive(project)
    done = run(project, *command)
    if done.returncode and any(word in done.stdout for word in TORN):
        mended = run(project, "python", "-m", "pipeline", "repair")
        done = run(project, *command)
        done.stdout = mended.stdout + done.stdout
    faults = [f"left alive: {alive}"] * bool(alive)
    faults += [f"again: {done.stdout}"] * (done.returncode != 0)
    equal = is_true(truth, worked_in(project, command), jobs)
    return Outcome(f"{what}; {'; '.join(faults)}" if faults else "", equal)


def kill_worker(
    truth: Truth, scratch: Path, choose: random.Random, *, number: int, names: Sequence[str] = CELLS
) -> Outcome:
    """A signal to one of the two workers of a fan-out, which loses that worker's cell, or training of a GAN, alone."""
    project, jobs = truth.copy(scratch, dvc=True), [truth.jobs[name] for name in names]
    forget(project, jobs)
    process = start(project, *FAN_OUT)
    wait_for(lambda: len(workers := find(project, "spawn_main")) == 2 and workers)
    moment(choose, FANOUT_SECONDS / 2)
    with suppress(ProcessLookupError, IndexError):  # its work was done
        os.kill(choose.choice(find(project, "spawn_main")), number)
    output, _ = process.communicate()
    return _again_with_dvc(truth, project, jobs, FAN_OUT, f"code {process.returncode}: {output}")


def kill_writer(truth: Truth, scratch: Path, choose: random.Random) -> Outcome:
    """kill -9 to the companion that writes a stage's run: the stage goes on, `sync` catches up."""
    project, job = truth.copy(scratch), truth.jobs[CELLS[0]]
    remove(project, job.outs)
    tracked = {"PIPELINE_TRACKING": "on", "DVC_ROOT": str(project)}
    process = start(project, *job.command, **tracked)
    wait_for(lambda: find(project, "pipeline.tracking.writer"))
    moment(choose, WRITER_SECONDS)
    with suppress(ProcessLookupError, IndexError):  # it was done
        os.kill(find(project, "pipeline.tracking.writer")[0], signal.SIGKILL)
    output, _ = process.communicate()
    faults = [output] * (process.returncode != 0) + _faults_of_sync(truth, project)
    return Outcome("; ".join(faults), contents(project, job.outs) == contents(truth.root, job.outs))


def kill_sync(truth: Truth, scratch: Path, choose: random.Random, *, number: int) -> Outcome:
    """A signal to `sync` where there is no run yet; after another one each result has one run."""
    project = truth.copy(scratch)
    process = start(project, *SYNC, DVC_ROOT=str(project))
    moment(choose, SYNC_SECONDS)
    process.send_signal(number)
    process.communicate()
    return Outcome("; ".join(_faults_of_sync(truth, project)), None)


def _faults_of_sync(truth: Truth, project: Path) -> list[str]:
    """What is wrong after two calls of `sync`, of which the second must have nothing to do."""
    first, second = (run(project, *SYNC, DVC_ROOT=str(project)) for _ in range(2))
    faults = [first.stdout] * (first.returncode != 0)
    faults += [second.stdout] * ("tracking: 0 runs added" not in second.stdout)
    runs = active_runs(project)
    wanted = dict.fromkeys([*truth.tracked, "parent"], 1)
    return faults + [f"runs: {runs}"] * (runs != wanted)


def kill_configure(truth: Truth, scratch: Path, choose: random.Random, *, number: int) -> Outcome:
    """A signal to `configure`, before one of its changes of the disk: params.yaml is the old or the new one."""
    project = truth.copy(scratch)
    file, before = project / "params.yaml", (project / "params.yaml").read_bytes()
    done = run(project, *CONFIGURE)
    wanted = file.read_bytes()
    file.write_bytes(before)
    run(project, *launched({"signal": number, "at": choose.randrange(CHANGES_OF_CONFIGURE)}, CONFIGURE))
    torn = file.read_bytes() not in (before, wanted)
    again_done = run(project, *CONFIGURE)
    faults = ["params.yaml is torn"] * torn + [f"{done.stdout}{again_done.stdout}"] * (again_done.returncode != 0)
    return Outcome("; ".join(faults), file.read_bytes() == wanted)
