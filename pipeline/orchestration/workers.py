"""Warm worker processes: each imports torch once and then runs the command lines of many cells.

`ProcessPool` is the default engine of `synthmix run`; another one is a class with the methods of `Pool`.
"""

import math
import multiprocessing
import os
import runpy
import shlex
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import IO, Protocol

from pipeline.orchestration.times import Took, time_here
from pipeline.runtime import progress
from pipeline.runtime.entry import shorten_spinning
from pipeline.runtime.signals import die_with_parent
from pipeline.tracking import shared_writer


@dataclass(frozen=True)
class Task:
    """One command line to run.

    Attributes:
        name: the stage's name in DVC, as in `train_baseline@100-0`.
        command: as dvc.yaml states it, `exec python -m MODULE FLAGS`.
        environment: variables that DVC would set for it.
        reads: its deps, with a digest of each one's content.
        writes: its outs.
    """

    name: str
    command: str
    environment: Mapping[str, str]
    reads: Mapping[str, str]
    writes: tuple[str, ...]


@dataclass(frozen=True)
class TaskResult:
    """How a task ended.

    Attributes:
        task: what was run.
        exit_code: of its command, or minus the signal that ended its worker.
        output: what it wrote to stdout and stderr.
        took: its time, 0 where its worker was ended.
    """

    task: Task
    exit_code: int
    output: str
    took: Took


class Pool(Protocol):
    """Where tasks run.

    Attributes:
        size: how many tasks it runs at once.
    """

    size: int

    def submit(self, task: Task) -> None:
        """Starts `task`, while fewer than `size` run."""

    def wait(self) -> list[TaskResult]:
        """Results of tasks that have ended since; waits for the first one."""

    def rest(self) -> None:
        """Gives memory back while no task runs."""


Engine = Callable[[int], AbstractContextManager[Pool]]  # opens a pool of a size; whatever runs in it ends with it


@dataclass(frozen=True)
class Worker:
    """A process, the pipe that takes a task and answers an exit code and a time, and the file that it writes to."""

    process: SpawnProcess
    pipe: "Connection[Task, tuple[int, Took]]"
    log: IO[str]

    def submit(self, task: Task) -> None:
        """Hands the task over; a worker that is dead by now shows it when its answer is read."""
        with suppress(OSError):
            self.pipe.send(task)

    def result(self, task: Task) -> TaskResult:
        """The result of `task`, once there is an answer or the end of the process."""
        try:
            code, took = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            code, took = self.process.exitcode or 1, Took()
        return TaskResult(task, code, self.log.read(), took)

    def close(self) -> None:
        """Says that no task follows: the worker ends when all that its tasks logged is written."""
        self.pipe.close()

    def join(self) -> None:
        """Waits for its end, and passes on what it still wrote."""
        self.process.join()
        sys.stderr.write(self.log.read())


class ProcessPool:
    """A worker process for each task that runs; one that has ended its task is given the next.

    A worker that dies costs the task that it ran.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._idle: list[Worker] = []
        self._busy: dict[object, tuple[Worker, Task]] = {}

    def submit(self, task: Task) -> None:
        """Hands `task` to a warm worker, or to a new one."""
        worker = self._idle.pop() if self._idle else start_worker()
        worker.submit(task)
        self._busy[worker.pipe] = worker, task

    def wait(self) -> list[TaskResult]:
        """The results of all workers that have answered or died; waits for the first one."""
        results = []
        for pipe in wait([worker.pipe for worker, _ in self._busy.values()]):
            worker, task = self._busy.pop(pipe)
            results.append(worker.result(task))
            if worker.process.exitcode is None:
                self._idle.append(worker)
        return results

    def rest(self) -> None:
        """Ends the idle workers, which hold what torch takes, when all that their tasks logged is written."""
        for worker in self._idle:
            worker.close()
        for worker in self._idle:
            worker.join()
        self._idle.clear()

    def terminate(self) -> None:
        """Ends all workers at once."""
        for worker in [*self._idle, *(worker for worker, _ in self._busy.values())]:
            worker.process.terminate()


@contextmanager
def run_in_processes(size: int) -> Iterator[Pool]:
    """The engine of one machine; workers end with this process too, whatever ends it."""
    pool = ProcessPool(size)
    try:
        yield pool
        pool.rest()
    finally:
        pool.terminate()


def start_worker() -> Worker:
    """A process of its own, not forked: torch's threads would not survive that."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    log = tempfile.NamedTemporaryFile("r", prefix="fanout-", errors="replace")  # noqa: SIM115 - goes with its worker
    process = context.Process(target=worker_main, args=(theirs, log.name), daemon=True)
    process.start()
    theirs.close()  # so that its death closes the pipe
    return Worker(process, ours, log)


def worker_main(pipe: "Connection[tuple[int, Took], Task]", log: str) -> None:
    """What a worker does: it runs what comes in until the pipe closes."""
    shorten_spinning()
    die_with_parent()
    parent = multiprocessing.parent_process()
    if parent and not parent.is_alive():
        return  # it died before this process could ask to go with it, maybe with a task in the pipe
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    progress.SECONDS_BETWEEN_LINES = math.inf  # one progress over all cells is shown instead
    with shared_writer():
        while True:
            try:
                task = pipe.recv()
            except EOFError:
                return
            with time_here() as took:
                code = run_task(task.command, task.environment)
            pipe.send((code, took))


def run_task(command: str, environment: Mapping[str, str]) -> int:
    """Runs a command line's module as `python -m` would, in this process; returns its exit code."""
    module, *flags = module_arguments(command)
    os.environ.update(environment)
    sys.argv = [module, *flags]
    code: object = 0
    sys.modules.pop(module, None)  # of an earlier task: runpy would warn of it
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as stopped:
        code = stopped.code
    except Exception:  # noqa: BLE001 - reported with its traceback, as Python would
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else int(code is not None)


def module_arguments(command: str) -> list[str]:
    """Module and flags of `exec python -m MODULE FLAGS`; empty for any other command."""
    words = shlex.split(command)
    return words[3:] if words[:3] == ["exec", "python", "-m"] else []
