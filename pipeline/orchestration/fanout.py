"""`synthmix run`: what `dvc repro` does, with the stale cells in warm processes.

A cell is a stage of a matrix in dvc.yaml; other stages run as DVC runs them. A result is in DVC's cache as soon as it
is there, so a kill loses only what runs; dvc.lock is written in the serial order and ends equal to the byte.
"""

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.orchestration.repair import LOCK_FILE, repair_all
from pipeline.orchestration.workers import Engine, Job, Outcome, arguments, run_in_processes
from pipeline.params.load import load_all_params
from pipeline.runtime.dvc import refuse_company
from pipeline.runtime.entry import need_room_to_start
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import Progress
from pipeline.runtime.signals import hold_signals

Stage = Any  # DVC's; it ships no types


def bring_up_to_date(targets: Sequence[str], jobs: int) -> None:
    """Brings `targets` and what they need up to date, `jobs` cells at once."""
    from dvc.exceptions import DvcException

    need_room_to_start()  # of a worker: it could not say what it lacks
    load_all_params()  # a wrong value is told here once, not by every cell
    for repaired in repair_all():
        say(repaired)
    try:
        walk = fan_out(targets, run_in_processes, jobs)
    except DvcException as error:
        refuse_company(str(LOCK_FILE))
        raise UserError(" ".join(f"{error}".split())) from None
    if walk.failed:
        left_out = f", {count} left out because of that" if (count := len(walk.plan) - len(walk.settled)) else ""
        raise UserError(f"{', '.join(s.addressing for s in walk.failed)}: failed{left_out}; all others are committed; "
                        "the same command runs only what is left")  # fmt: skip
    say("Data and pipelines are up to date.")


@dataclass
class Walk:
    """How far a run is.

    Attributes:
        plan: all stages, in the order in which the serial run takes them.
        upstream: what each stage waits for.
        settled: stages that are up to date, and those that failed.
        changed: those of them that dvc.lock does not know yet.
        written: how many stages of the plan dvc.lock has taken.
    """

    plan: list[Stage]
    upstream: dict[Stage, set[Stage]]
    settled: set[Stage] = field(default_factory=set)
    failed: list[Stage] = field(default_factory=list)
    changed: set[Stage] = field(default_factory=set)
    written: int = 0

    def ready(self) -> list[Stage]:
        """Stages whose turn has come; what waits for a failed one never is."""
        sound = self.settled - set(self.failed)
        return [stage for stage in self.plan if stage not in self.settled and self.upstream[stage] <= sound]

    def settle(self, stage: Stage, *, changed: bool) -> None:
        """Counts `stage` as up to date."""
        self.settled.add(stage)
        if changed:
            self.changed.add(stage)

    def fail(self, stage: Stage) -> None:
        """Counts `stage` as failed."""
        self.settled.add(stage)
        self.failed.append(stage)

    def write_lock(self, *, to_the_end: bool) -> None:
        """Enters in dvc.lock what changed, as far as no stage before it in the plan is still to come.

        So new entries stand in the serial order even after a kill: what it took from dvc.lock is in the run cache.
        """
        end = self.written
        while end < len(self.plan) and (to_the_end or self.plan[end] in self.settled):
            end += 1
        entries = [stage for stage in self.plan[self.written : end] if stage in self.changed]
        self.written = end
        if entries:
            with hold_signals() as asked:  # DVC rewrites the file in place
                entries[0].dvcfile.dump_stages(entries, update_pipeline=False)
            if number := asked():
                signal.raise_signal(number)


def fan_out(targets: Sequence[str], engine: Engine, num_workers: int) -> Walk:
    """Runs every stale stage that `targets` need and whose upstream is sound, cells by `engine`, and commits it."""
    from dvc.repo import Repo, lock_repo

    with Repo() as repo, lock_repo(repo), repo.scm_context():
        walk = plan_walk(repo, targets)
        try:
            while ready := walk.ready():
                plain = [stage for stage in ready if not is_cell(stage)]
                if plain:
                    run_plain(walk, plain[0])
                else:
                    run_cells(walk, ready, engine, num_workers)
                walk.write_lock(to_the_end=False)
        finally:
            walk.write_lock(to_the_end=False)
        walk.write_lock(to_the_end=True)  # past what was left out, as `dvc repro --keep-going` does
    return walk


def plan_walk(repo: Any, targets: Sequence[str]) -> Walk:
    """What `targets` need, in DVC's own order, which for a few targets varies from process to process."""
    from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

    graph = get_active_graph(repo.index.graph)
    plan = plan_repro(graph, collect_stages(repo, targets))
    return Walk(plan, {stage: set(graph.successors(stage)) for stage in plan})


def is_cell(stage: Stage) -> bool:
    """Whether `stage` is of a matrix and starts a Python module in the root, which is what a worker can run."""
    return "@" in stage.addressing and bool(arguments(stage.cmd)) and stage.wdir == stage.repo.root_dir


def run_plain(walk: Walk, stage: Stage) -> None:
    """Reproduces `stage` as `dvc repro` does."""
    from dvc.exceptions import DvcException

    try:
        walk.settle(stage, changed=stage.reproduce() is not None)
    except DvcException as error:
        say(f"{stage.addressing}: {error}")
        walk.fail(stage)


def run_cells(walk: Walk, stages: Sequence[Stage], engine: Engine, num_workers: int) -> None:
    """Brings `stages`, of which none waits for another, up to date."""
    running: dict[str, Stage] = {}
    for stage in stages:
        if not stage.changed():
            walk.settle(stage, changed=False)
        elif restore(stage):
            walk.settle(stage, changed=True)
        else:
            running[stage.addressing] = stage
    jobs = [Job(name, stage.cmd, {"DVC_STAGE": name, "DVC_ROOT": os.environ.get("DVC_ROOT", stage.repo.root_dir)})
            for name, stage in running.items()]  # fmt: skip
    if not jobs:
        return
    say(f"cells to run: {len(jobs)}, {min(num_workers, len(jobs))} at once")
    with Progress("cells", total=len(jobs), unit="cell") as progress:
        for outcome in engine(jobs, num_workers):
            stage = running[outcome.job.name]
            if reason := fault(outcome) or commit(stage):
                progress.say(f"{stage.addressing}: {reason}")
                walk.fail(stage)
            else:
                walk.settle(stage, changed=True)
            progress.advance(1, stage.addressing)
    assert walk.settled.issuperset(running.values()), "an engine yields the outcome of every job"


def restore(stage: Stage) -> bool:
    """Takes the outs from DVC's run cache, if it has them; else they are removed, as before every run."""
    from dvc.stage.cache import RunCacheNotFoundError

    stage.remove_outs()
    try:
        stage.repo.stage_cache.restore(stage)
    except RunCacheNotFoundError:
        stage.save_deps()
        return False
    save(stage)
    return True


def fault(outcome: Outcome) -> str:
    """Why a job gave no result, in one line; empty where it did. What else it told is passed on."""
    lines = outcome.told.splitlines()
    if outcome.exit_code < 0:
        reason = f"its worker was ended by {signal.Signals(-outcome.exit_code).name}; the same command runs it again"
    elif outcome.exit_code:
        reason = lines.pop().removeprefix("error: ") if lines else f"exit code {outcome.exit_code}"
    else:
        reason = ""
    for line in lines:
        say(f"{outcome.job.name}: {line}")
    return reason


def commit(stage: Stage) -> str:
    """Puts the outs that a worker left into DVC's caches; returns why not, or nothing."""
    from dvc.exceptions import DvcException

    if stage.changed_deps():
        return "what it reads changed while it ran; the same command runs it again"
    try:
        save(stage)
    except DvcException as error:
        return f"{error}"
    return ""


def save(stage: Stage) -> None:
    """Does what DVC does after a run: hashes, run cache, cache."""
    stage.save()
    stage.commit()


def say(line: str) -> None:
    """Prints a line beside any bar."""
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)
