"""`synthmix run`: what `dvc repro` does, with the stale cells in warm processes.

A cell is a stage of a matrix in dvc.yaml; other stages run as DVC runs them. A result is in DVC's cache as soon as it
is there, so a kill loses only what runs; dvc.lock is written in the serial order and ends equal to the byte.
"""

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import typer

from pipeline.orchestration.dvc_graph import DvcError, DvcStage, open_graph, write_lock_entries
from pipeline.orchestration.repair import LOCK_FILE, repair_all
from pipeline.orchestration.times import Times, time_children
from pipeline.orchestration.workers import Engine, Task, TaskResult, module_arguments, run_in_processes
from pipeline.params.graph import check_graph
from pipeline.params.load import GRAPH_FILE, load_all_params
from pipeline.runtime.dvc import need_repository, refuse_concurrent_dvc
from pipeline.runtime.entry import need_room_to_start
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import Progress, say
from pipeline.runtime.signals import hold_signals

NOTHING_TO_DO = "Data and pipelines are up to date."  # what `dvc repro` says at its end
RESULTS = Path("results")
FINISHED = "Use `dvc push` to send your updates to remote storage."


def bring_up_to_date(targets: Sequence[str], jobs: int) -> None:
    """Brings `targets` and what they need up to date, `jobs` cells at once.

    Raises:
        UserError: a stage failed, another dvc is at work, or params.yaml or dvc.yaml is wrong.
    """
    need_room_to_start()  # of a worker, which could not say what it lacks
    need_repository()
    check_graph(GRAPH_FILE, load_all_params())  # what is wrong is reported once, not by every cell
    for line in repair_all():
        say(line)
    try:
        schedule = fan_out(targets, run_in_processes, jobs)
    except DvcError as error:
        refuse_concurrent_dvc(str(LOCK_FILE))
        raise UserError(" ".join(f"{error}".split())) from None
    if schedule.failed:
        count = len(schedule.plan) - len(schedule.settled)
        raise UserError(
            f"{', '.join(schedule.failed)}: failed{f', {count} left out because of that' if count else ''}; "
            "all others are committed; the same command runs only what is left"
        )
    if schedule.changed:
        typer.echo(schedule.times.describe())
    typer.echo(FINISHED if schedule.changed else NOTHING_TO_DO)
    if "evaluate" in schedule.settled:
        typer.echo(_describe_answer())


def _describe_answer() -> str:
    """The verdict in a few words, and where the rest is."""
    from pipeline.evaluation.result import read_result  # here: the libraries that come with it need room
    from pipeline.evaluation.wording import headline

    result = read_result(RESULTS / "ablation.json")
    return f"{headline(result.verdict, result.mode)}; the report: {RESULTS / 'report.html'}"


@dataclass
class Schedule:
    """Which stages are done and which may run now.

    Attributes:
        plan: all stages, in the order in which the serial run takes them.
        settled: names of the stages that are up to date, and of those that failed.
        failed: the latter, in the order in which they failed.
        changed: those of the former that ran or were restored.
        num_written: how many stages of the plan dvc.lock has taken.
        times: what those that ran took.
    """

    plan: list[DvcStage]
    settled: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    num_written: int = 0
    times: Times = field(default_factory=Times)

    def ready(self) -> list[DvcStage]:
        """Stages whose turn has come; what waits for a failed one never is."""
        up_to_date = self.settled - set(self.failed)
        return [stage for stage in self.plan if stage.name not in self.settled and stage.upstream <= up_to_date]

    def num_waiting(self, stage: DvcStage) -> int:
        """How many stages of the plan wait for `stage`, however indirectly: the training of a GAN holds up the most."""
        waiting = {stage.name}
        for other in self.plan:  # in the order of a serial run: what waits comes later
            if other.upstream & waiting:
                waiting.add(other.name)
        return len(waiting) - 1

    def settle(self, stage: DvcStage, *, changed: bool) -> None:
        """Counts `stage` as up to date."""
        self.settled.add(stage.name)
        if changed:
            self.changed.add(stage.name)

    def fail(self, stage: DvcStage, reason: str) -> None:
        """Counts `stage` as failed, and says why."""
        say(f"{stage.name}: {reason}")
        self.settled.add(stage.name)
        self.failed.append(stage.name)

    def write_lock(self, *, to_the_end: bool) -> None:
        """Enters in dvc.lock what changed, as far as no stage before it in the plan is still to come.

        So new entries stand in the serial order even after a kill: what it took from dvc.lock is in the run cache.
        """
        end = self.num_written
        while end < len(self.plan) and (to_the_end or self.plan[end].name in self.settled):
            end += 1
        entries = [stage for stage in self.plan[self.num_written : end] if stage.name in self.changed]
        self.num_written = end
        if not entries:
            return
        with hold_signals() as received:
            write_lock_entries(entries)
        if number := received():
            signal.raise_signal(number)


def fan_out(targets: Sequence[str], engine: Engine, num_workers: int) -> Schedule:
    """Runs every stale stage that `targets` need and whose upstream is sound, cells by `engine`, and commits it."""
    with open_graph(targets) as plan:
        schedule = Schedule(plan)
        try:
            while ready := schedule.ready():
                others = [stage for stage in ready if not is_cell(stage)]
                if others:
                    reproduce(schedule, others[0])
                else:
                    run_cells(schedule, ready, engine, num_workers)
                schedule.write_lock(to_the_end=False)
        finally:
            schedule.write_lock(to_the_end=False)
        schedule.write_lock(to_the_end=True)  # past what was left out, as `dvc repro --keep-going` does
    return schedule


def is_cell(stage: DvcStage) -> bool:
    """Whether `stage` is of a matrix and starts a Python module in the root, which is what a worker can run."""
    return "@" in stage.name and bool(module_arguments(stage.command)) and stage.is_in_root


def reproduce(schedule: Schedule, stage: DvcStage) -> None:
    """Runs `stage` as `dvc repro` does."""
    try:
        with time_children() as took:
            changed = stage.reproduce()
    except DvcError as error:
        schedule.fail(stage, f"{error}")
        return
    schedule.settle(stage, changed=changed)
    if changed:
        schedule.times.add(stage.name, took)


def run_cells(schedule: Schedule, cells: Sequence[DvcStage], engine: Engine, num_workers: int) -> None:
    """Brings `cells`, of which none waits for another, up to date."""
    stale = {}
    for cell in cells:
        if not cell.is_stale():
            schedule.settle(cell, changed=False)
        elif cell.restore():
            schedule.settle(cell, changed=True)
            schedule.times.add_restored(cell.name)
        else:
            stale[cell.name] = cell
    if not stale:
        return
    longest_first = sorted(stale.values(), key=lambda cell: -schedule.num_waiting(cell))
    tasks = [Task(cell.name, cell.command, environment_of(cell)) for cell in longest_first]
    say(f"cells to run: {len(tasks)}, {min(num_workers, len(tasks))} at once")
    with Progress("cells", total=len(tasks), unit="cell") as progress:
        for result in engine(tasks, num_workers):
            cell = stale[result.task.name]
            if reason := failure(result) or commit(cell):
                schedule.fail(cell, reason)
            else:
                schedule.settle(cell, changed=True)
                schedule.times.add(cell.name, result.took)
            progress.advance(1, cell.name)
    assert schedule.settled.issuperset(stale), "an engine yields the result of every task"


def environment_of(stage: DvcStage) -> dict[str, str]:
    """The variables that DVC sets for a stage."""
    return {"DVC_STAGE": stage.name, "DVC_ROOT": os.environ.get("DVC_ROOT", stage.root)}


def failure(result: TaskResult) -> str:
    """Why a task gave no result, in one line; empty where it did. The rest of its output is passed on."""
    lines = result.output.splitlines()
    reason = ""
    if result.exit_code < 0:
        name = signal.Signals(-result.exit_code).name
        reason = f"its worker was ended by {name}; the same command runs it again"
    elif result.exit_code:
        reason = lines.pop().removeprefix("error: ") if lines else f"exit code {result.exit_code}"
    for line in lines:
        say(line if line.startswith(result.task.name) else f"{result.task.name}: {line}")
    return reason


def commit(stage: DvcStage) -> str:
    """Puts the outs that a worker left into DVC's caches; returns why not, or nothing."""
    if stage.inputs_changed():
        return "what it reads changed while it ran; the same command runs it again"
    try:
        stage.commit()
    except DvcError as error:
        return f"{error}"
    return ""
