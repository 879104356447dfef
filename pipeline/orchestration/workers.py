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
    """

    name: str
    command: str
    environment: Mapping[str, str]


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


Engine = Callable[[Sequence[Task], int], Iterator[TaskResult]]


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


def run_in_processes(tasks: Sequence[Task], num_workers: int) -> Iterator[TaskResult]:
    """Runs `tasks`, up to `num_workers` at once, and yields each result as it comes.

    A worker that dies costs the task that it ran; a new one takes its place. Workers end with the iterator, and
    with this process whatever ends it.
    """
    waiting = deque(tasks)
    workers = [start_worker() for _ in range(min(num_workers, len(tasks)))]
    busy: dict[object, tuple[Worker, Task]] = {}

    def submit_next(worker: Worker) -> None:
        if not waiting:
            return worker.close()
        task = waiting.popleft()
        worker.submit(task)
        busy[worker.pipe] = worker, task
        return None

    try:
        for worker in workers:
            submit_next(worker)
        while busy:
            for pipe in wait([worker.pipe for worker, _ in busy.values()]):
                worker, task = busy.pop(pipe)
                result = worker.result(task)
                if worker.process.exitcode is not None and waiting:
                    workers.append(worker := start_worker())
                submit_next(worker)  # before its last result is dealt with
                yield result
        for worker in workers:
            worker.join()
    finally:
        for worker in workers:
            worker.process.terminate()


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
                code = run_task(task)
            pipe.send((code, took))


def run_task(task: Task) -> int:
    """Runs the task's module as `python -m` would, in this process; returns its exit code."""
    module, *flags = module_arguments(task.command)
    os.environ.update(task.environment)
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
