"""Warm worker processes: each imports torch once and then runs the command lines of many cells.

`run_in_processes` is the first engine of `synthmix run`; another one (GPUs, hosts) is a function of its type.
"""

import math
import multiprocessing
import os
import runpy
import shlex
import sys
import tempfile
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import IO

from pipeline.runtime import progress
from pipeline.runtime.entry import shorten_spinning
from pipeline.runtime.signals import die_with_parent
from pipeline.tracking import shared_writer


@dataclass(frozen=True)
class Job:
    """One command line to run.

    Attributes:
        name: the stage's name in DVC, as in `train_baseline@100-0`.
        command: as dvc.yaml states it, `exec python -m MODULE FLAGS`.
        environment: variables that DVC would set for it.
    """

    name: str
    command: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Outcome:
    """How a job ended: with the exit code of its command, or minus the signal that ended its worker.

    `told` is what it wrote to stdout and stderr.
    """

    job: Job
    exit_code: int
    told: str


Engine = Callable[[Sequence[Job], int], Iterator[Outcome]]


@dataclass(frozen=True)
class Worker:
    """A process, the pipe that takes a job and answers an exit code, and the file that it writes to."""

    process: SpawnProcess
    pipe: "Connection[Job, int]"
    log: IO[str]

    def start_job(self, job: Job) -> None:
        """Hands the job over; a worker that is dead by now shows it when its answer is read."""
        with suppress(OSError):
            self.pipe.send(job)

    def finish_job(self, job: Job) -> Outcome:
        """The outcome of `job`, once there is an answer or the end of the process."""
        try:
            code = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode or 1
        return Outcome(job, code, self.log.read())

    def dismiss(self) -> None:
        """Tells the worker that no job follows: it ends when all that its jobs logged is written."""
        self.pipe.close()

    def say_the_rest(self) -> None:
        """Waits for its end, and passes on what it still had to say."""
        self.process.join()
        sys.stderr.write(self.log.read())


def run_in_processes(jobs: Sequence[Job], num_workers: int) -> Iterator[Outcome]:
    """Runs `jobs`, up to `num_workers` at once, and yields each outcome as it comes.

    A worker that dies costs the job that it ran; a new one takes its place. Workers end with the iterator, and
    with this process whatever ends it.
    """
    waiting = deque(jobs)
    workers = [start_worker() for _ in range(min(num_workers, len(jobs)))]
    busy: dict[object, tuple[Worker, Job]] = {}

    def employ(worker: Worker) -> None:
        if not waiting:
            return worker.dismiss()
        job = waiting.popleft()
        worker.start_job(job)
        busy[worker.pipe] = worker, job
        return None

    try:
        for worker in workers:
            employ(worker)
        while busy:
            for pipe in wait([worker.pipe for worker, _ in busy.values()]):
                worker, job = busy.pop(pipe)
                outcome = worker.finish_job(job)
                if worker.process.exitcode is not None and waiting:
                    workers.append(worker := start_worker())
                employ(worker)  # before its last result is dealt with
                yield outcome
        for worker in workers:
            worker.say_the_rest()
    finally:
        for worker in workers:
            worker.process.terminate()


def start_worker() -> Worker:
    """A process of its own, not forked: torch's threads would not survive that."""
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    log = tempfile.NamedTemporaryFile("r", prefix="fanout-", errors="replace")  # noqa: SIM115 - goes with its worker
    process = context.Process(target=work, args=(its, log.name), daemon=True)
    process.start()
    its.close()  # so that its death closes the pipe
    return Worker(process, ours, log)


def work(pipe: "Connection[int, Job]", log: str) -> None:
    """A worker's life: runs what comes in, until the pipe closes."""
    shorten_spinning()
    die_with_parent()
    parent = multiprocessing.parent_process()
    if parent and not parent.is_alive():
        return  # it died before this process could ask to go with it, maybe with a job in the pipe
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    progress.SECONDS_BETWEEN_LINES = math.inf  # one progress over all cells is shown instead
    with shared_writer():
        while True:
            try:
                job = pipe.recv()
            except EOFError:
                return
            pipe.send(run_command(job))


def run_command(job: Job) -> int:
    """Runs the job's module as `python -m` would, in this process; returns its exit code."""
    module, *flags = arguments(job.command)
    os.environ.update(job.environment)
    sys.argv = [module, *flags]
    code: object = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as stopped:
        code = stopped.code
    except Exception:  # noqa: BLE001 - told with its traceback, as Python would
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else int(code is not None)


def arguments(command: object) -> list[str]:
    """Module and flags of `exec python -m MODULE FLAGS`; empty for any other command."""
    words = shlex.split(command) if isinstance(command, str) else []
    return words[3:] if words[:3] == ["exec", "python", "-m"] else []
