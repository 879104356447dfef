"""`synthmix run`: what `dvc repro` does, with the stale cells in warm processes.

A cell is a stage of a matrix in dvc.yaml; other stages run as DVC runs them. A result is in DVC's cache as soon as it
is there, so a kill loses only what runs; dvc.lock is written in the serial order and ends equal to the byte.
"""

import signal
from collections.abc import Sequence
from pathlib import Path

import typer

from pipeline.orchestration.dvc_graph import DvcError, DvcStage, open_graph
from pipeline.orchestration.repair import LOCK_FILE, repair_all
from pipeline.orchestration.schedule import Schedule
from pipeline.orchestration.times import time_children
from pipeline.orchestration.workers import Engine, Pool, Task, TaskResult, module_arguments
from pipeline.params.graph import check_graph
from pipeline.params.load import GRAPH_FILE, load_all_params
from pipeline.runtime.dvc import need_repository, refuse_concurrent_dvc
from pipeline.runtime.entry import need_room_to_start
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import Progress, say

NOTHING_TO_DO = "Data and pipelines are up to date."  # what `dvc repro` says at its end
RESULTS = Path("results")
FINISHED = "Use `dvc push` to send your updates to remote storage."


def bring_up_to_date(targets: Sequence[str], jobs: int, engine: Engine) -> None:
    """Brings `targets` and what they need up to date, `jobs` cells at once, which `engine` runs.

    Raises:
        UserError: a stage failed, another dvc is at work, or params.yaml or dvc.yaml is wrong.
    """
    need_room_to_start()  # of a worker, which could not say what it lacks
    need_repository()
    check_graph(GRAPH_FILE, load_all_params())  # what is wrong is reported once, not by every cell
    for line in repair_all():
        say(line)
    try:
        schedule = fan_out(targets, engine, jobs)
    except DvcError as error:
        refuse_concurrent_dvc(str(LOCK_FILE))
        raise UserError(" ".join(f"{error}".split())) from None
    if schedule.times.took:
        typer.echo(schedule.times.describe())
    if schedule.failed:
        count = len(schedule.plan) - len(schedule.settled)
        raise UserError(
            f"{', '.join(schedule.failed)}: failed{f', {count} left out because of that' if count else ''}; "
            "all others are committed; the same command runs only what is left"
        )
    typer.echo(FINISHED if schedule.changed else NOTHING_TO_DO)
    if "evaluate" in schedule.settled:
        typer.echo(_describe_answer())


def _describe_answer() -> str:
    """The verdict in a few words, and where the rest is."""
    from pipeline.evaluation.result import read_result  # here: the libraries that come with it need room
    from pipeline.evaluation.wording import headline

    result = read_result(RESULTS / "ablation.json")
    return f"{headline(result.verdict, result.mode)}; the report: {RESULTS / 'report.html'}"


def fan_out(targets: Sequence[str], engine: Engine, num_workers: int) -> Schedule:
    """Runs every stale stage that `targets` need when its upstream is sound, cells by `engine`, and commits it."""
    with open_graph(targets) as plan, engine(num_workers) as pool:
        schedule = Schedule(plan)
        look_at_cells(schedule)
        before = len(schedule.settled)
        with Progress("stages", total=len(plan), unit="stage", done=before) as progress:
            try:
                while take_step(schedule, pool):
                    schedule.write_lock(to_the_end=False)
                    progress.advance(len(schedule.settled) - before, f"at work: {', '.join(schedule.running)}")
                    before = len(schedule.settled)
            finally:
                schedule.write_lock(to_the_end=False)
        schedule.write_lock(to_the_end=True)  # past what was left out, as `dvc repro --keep-going` does
    return schedule


def take_step(schedule: Schedule, pool: Pool) -> bool:
    """Starts what may start, and deals with what ends next; whether there was anything to do."""
    look_at_cells(schedule)
    if others := schedule.ready():
        if not schedule.running:
            pool.rest()
        reproduce(schedule, others[0])
        return True
    start_cells(schedule, pool)
    if not schedule.running:
        return False
    results = [(schedule.running.pop(result.task.name), result) for result in pool.wait()]
    start_cells(schedule, pool)  # before these are hashed and copied
    for cell, result in results:
        settle_result(schedule, cell, result)
    return True


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


def look_at_cells(schedule: Schedule) -> None:
    """Settles cells that are up to date or in DVC's cache, and so on with those that wait for them.

    Any other one whose turn has come is to run.
    """
    while cells := [stage for stage in schedule.ready() if is_cell(stage)]:
        for cell in cells:
            if not cell.is_stale():
                schedule.settle(cell, changed=False)
            elif cell.restore():
                schedule.settle(cell, changed=True)
                schedule.times.add_restored(cell.name)
            else:
                schedule.stale[cell.name] = cell


def start_cells(schedule: Schedule, pool: Pool) -> None:
    """Gives cells to the pool while it has room: first those that most others wait for."""
    for cell in sorted(schedule.stale.values(), key=lambda cell: -schedule.num_waiting(cell)):
        if len(schedule.running) == pool.size:
            return
        schedule.running[cell.name] = schedule.stale.pop(cell.name)
        pool.submit(Task(cell.name, cell.command, schedule.environment_of(cell), cell.reads(), cell.writes()))


def settle_result(schedule: Schedule, cell: DvcStage, result: TaskResult) -> None:
    """Commits a cell that has run, unless it failed."""
    if reason := failure(result) or commit(cell):
        schedule.fail(cell, reason)
    else:
        schedule.settle(cell, changed=True)
        schedule.times.add(cell.name, result.took)


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
