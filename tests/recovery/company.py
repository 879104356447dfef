"""Two at once: what is started side by side, and what was found afterwards."""

import random
from collections.abc import Sequence
from pathlib import Path

from tests.project import FAN_OUT
from tests.recovery.kills import ANY
from tests.recovery.project import (
    DEMO,
    Outcome,
    Truth,
    active_runs,
    again,
    contents,
    forget,
    is_true,
    moment,
    remove,
    run,
    start,
    wait_for,
    worked_in,
)

REPRO = ("dvc", "repro")
CONFIGURE = ("python", "-m", "pipeline", "configure", "dataset=digits", "profile=cpu")
SAYS_WHO = ("Unable to acquire lock", "it is being blocked by", "dvc is at work with it (PID")
PAIRS = {
    "two dvc repro": (REPRO, REPRO),
    "two make demo": (DEMO, DEMO),
    "a fan-out beside dvc repro": (REPRO, FAN_OUT),
    "dvc repro beside a fan-out": (FAN_OUT, REPRO),
}
APART = 3.0  # seconds at most between the two


def two_of_dvc(truth: Truth, scratch: Path, choose: random.Random, *, commands: Sequence[tuple[str, ...]]) -> Outcome:
    """Two commands that bring all up to date, where a stage is to be run, at nearly the same time; then one more."""
    project, jobs = truth.copy(scratch, dvc=True), [truth.jobs[choose.choice(ANY)]]
    folder = worked_in(project, commands[0])
    forget(folder, jobs)
    first = start(project, *commands[0])
    moment(choose, APART)
    second = start(project, *commands[1])
    ends = [(process.communicate()[0], process.returncode) for process in (first, second)]
    faults = [text for text, code in ends if code and not any(words in text for words in SAYS_WHO)]
    faults += ["neither did it"] * all(code for _, code in ends)
    done = run(project, *commands[1])
    faults += [f"again: {done.stdout}"] * (done.returncode != 0)
    faults += ["results/ was touched"] * (folder != project and not is_true(truth, project, [*truth.jobs.values()]))
    return Outcome("; ".join(faults), is_true(truth, folder, jobs))


def refused_beside_repro(truth: Truth, scratch: Path, choose: random.Random, *, command: tuple[str, ...]) -> Outcome:
    """`make demo` or `configure` while `dvc repro` is at work there: one line that says who is, and nothing touched."""
    project, job = truth.copy(scratch, dvc=True), truth.jobs["train_gan@0"]
    folder = worked_in(project, command)
    forget(folder, [job])
    before = (folder / "params.yaml").read_bytes()
    repro = start(folder, *REPRO)
    wait_for(lambda: str(repro.pid) in text_of(folder / ".dvc/tmp/rwlock"))
    moment(choose, 1.0)
    refused = run(project, *command)
    output, _ = repro.communicate()
    wanted = f"dvc is at work with it (PID {repro.pid})"
    faults = [refused.stdout] * (refused.returncode != 2 or wanted not in refused.stdout)
    faults += ["more than one line"] * (refused.stdout.count("\n") != 1)
    faults += ["params.yaml was touched"] * ((folder / "params.yaml").read_bytes() != before)
    faults += [output] * (repro.returncode != 0)
    return Outcome("; ".join(faults), is_true(truth, folder, [job]))


def twice_without_dvc(truth: Truth, scratch: Path, choose: random.Random, *, stage: str) -> Outcome:
    """One stage twice at the same time, as a careless scheduler starts it; then once more."""
    project, job = truth.copy(scratch), truth.jobs[stage]
    remove(project, job.outs)
    first = start(project, *job.command)
    moment(choose, 0.3)
    second = start(project, *job.command)
    ends = [(process.communicate()[0], process.returncode) for process in (first, second)]
    who = [f"(PID {process.pid})" for process in (first, second)]
    told = [text for text, code in ends if code and not (code == 2 and any(pid in text for pid in who))]
    outcome = again(truth, project, job, f"twice: {told}")
    return outcome._replace(told=outcome.told or "; ".join(told))


def four_and_one_store(truth: Truth, scratch: Path, choose: random.Random) -> Outcome:
    """Four cells that begin at once where there is no MLflow store yet: each has its run, all have one parent."""
    project = truth.copy(scratch)
    cells = [job for name, job in truth.jobs.items() if name.startswith("train_baseline@")]
    stages = [start(project, *cell.command, PIPELINE_TRACKING="on", DVC_ROOT=str(project)) for cell in cells]
    ends = [(stage.communicate()[0], stage.returncode) for stage in stages]
    faults = [text for text, code in ends if code or "is behind" in text]
    faults += ["runs"] * (active_runs(project) != {cell.name: 1 for cell in cells} | {"parent": 1})
    equal = all(contents(project, cell.outs) == contents(truth.root, cell.outs) for cell in cells)
    return Outcome("; ".join(faults), equal)


def text_of(file: Path) -> str:
    """The text of a file that may not be there yet."""
    return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
