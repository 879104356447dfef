"""Cells in warm worker processes, through real DVC: what `dvc repro` leaves, sooner, whatever goes wrong."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.project import ENVIRONMENT, copy_project, run

FAN_OUT = (sys.executable, "-m", "pipeline", "run", "--jobs", "2")
UPSTREAM = ("prepare", "train_gan", "synthesize")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def finished(reproduced: Path, tmp_path: Path) -> Path:
    """A copy of the finished project whose run cache is empty."""
    return copy_project(reproduced, tmp_path / "project", "runs")


@pytest.fixture
def stale(finished: Path) -> Path:
    """One in which nothing behind the synthetic images has run yet."""
    project = finished
    head, *entries = re.split(r"(?m)^(?=  \S)", (project / "dvc.lock").read_text())
    kept = [entry for entry in entries if entry.strip().startswith(tuple(f"{name}:" for name in UPSTREAM))]
    (project / "dvc.lock").write_text(head + "".join(kept))
    for name in ("models/train_baseline", "models/train_classifier", "data/scores", "results/cells", "mlruns"):
        shutil.rmtree(project / name)
    (project / "mlflow.db").unlink()
    return project


def fan_out(project: Path, *targets: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the fan-out in `project`, on the project's own code."""
    return run(project, *FAN_OUT, *targets, PYTHONPATH=str(project), **environment)


def num_run(done: subprocess.CompletedProcess[str]) -> list[int]:
    """How many cells had to run, one wave after the other."""
    return [int(number) for number in re.findall(r"cells to run: (\d+)", done.stdout)]


def results_of(project: Path) -> dict[str, bytes]:
    """dvc.lock, which holds the digest of every out, and the small files themselves."""
    files = [project / "dvc.lock", *(file for file in (project / "results").rglob("*") if file.is_file())]
    return {str(file.relative_to(project)): file.read_bytes() for file in files}


def test_it_leaves_what_a_serial_run_leaves(reproduced: Path, stale: Path) -> None:
    """dvc.lock and results to the byte, on any thread count, every cell in MLflow; then there is nothing to do.

    The python of dvc.yaml is the one that runs the fan-out, whatever is on PATH.
    """
    done = fan_out(stale, PIPELINE_TRACKING="on", OMP_NUM_THREADS="2", PATH="/usr/bin:/bin")
    assert done.returncode == 0, done.stdout
    assert "Use `dvc push` to send your updates" in done.stdout
    assert results_of(stale) == results_of(reproduced)
    with sqlite3.connect(stale / "mlflow.db") as store:
        query = "select count(*) from tags join runs using (run_uuid) where key = 'dvc.stage' and value like '%@%'"
        assert store.execute(f"{query} and status = 'FINISHED'").fetchone() == (10,)
    again = fan_out(stale)
    assert (again.returncode, num_run(again)) == (0, [])
    assert "Data and pipelines are up to date." in again.stdout
    assert "up to date" in run(stale, "dvc", "repro").stdout


def test_another_engine_needs_no_more_than_a_function(stale: Path) -> None:
    """A fan-out on an engine that runs each command line as it stands leaves what the warm workers leave."""
    (stale / "plain.py").write_text(PLAIN)
    done = run(stale, sys.executable, "plain.py", PYTHONPATH=str(stale))
    assert done.returncode == 0, done.stdout
    assert "ran 2 tasks" in done.stdout
    assert json.loads((stale / "results/cells/train_baseline-50-1.json").read_text())["seed"] == 1
    assert num_run(fan_out(stale, "train_baseline@50-0", "train_baseline@50-1")) == []


PLAIN = """
import subprocess
from pipeline.orchestration.fanout import fan_out
from pipeline.orchestration.workers import TaskResult

def one_by_one(tasks, num_workers):
    for task in tasks:
        done = subprocess.run(task.command, shell=True, text=True, capture_output=True)
        yield TaskResult(task, done.returncode, done.stdout + done.stderr)
    print("ran", len(tasks), "tasks")

if __name__ == "__main__":
    assert not fan_out(["train_baseline@50-0", "train_baseline@50-1"], one_by_one, 1).failed
"""

FAULTS = """

def faulty(real_percent: int, seed: int) -> None:
    import os
    from pathlib import Path
    from pipeline.runtime.errors import UserError
    if Path("faulty").exists() and (real_percent, seed) == (50, 0):
        raise UserError("no luck")
    if Path("faulty").exists() and (real_percent, seed) == (50, 1):
        os.kill(os.getpid(), 9)
"""


def test_a_failed_cell_leaves_the_others_committed(finished: Path) -> None:
    """A cell that fails is one line, a worker that dies costs one cell; what waits for them is left out, nothing else.

    Repaired, the same command runs these cells alone.
    """
    script = finished / "stages/train_baseline.py"
    text = script.read_text().replace(
        "    params = load_params(", "    faulty(real_percent, seed)\n    params = load_params("
    )
    script.write_text(text + FAULTS)
    (finished / "faulty").touch()
    done = fan_out(finished)
    assert done.returncode == 2, done.stdout
    assert "train_baseline@50-0: no luck\n" in done.stdout
    assert "train_baseline@50-1: its worker was ended by SIGKILL" in done.stdout
    assert "Traceback" not in done.stdout
    assert done.stdout.splitlines()[-1].startswith("error: train_baseline@50-")
    assert "1 left out" in done.stdout.splitlines()[-1]
    (finished / "faulty").unlink()
    repaired = fan_out(finished)
    assert repaired.returncode == 0, repaired.stdout
    assert (num_run(done), num_run(repaired)) == ([6], [2])
    assert "up to date" in run(finished, "dvc", "repro").stdout


def test_what_was_edited_amid_a_cell_is_not_committed(finished: Path) -> None:
    """A cell that was started on other code than there is now at its end is no result of either."""
    script = finished / "stages/train_baseline.py"
    edit = '    open(__file__, "a").write("# edited\\n")\n'
    script.write_text(script.read_text().replace("    params = load_params(", f"{edit}    params = load_params("))
    done = fan_out(finished, "train_baseline@50-0")
    assert done.returncode == 2, done.stdout
    assert "train_baseline@50-0: what it reads changed while it ran" in done.stdout
    assert "train_baseline@50-0" in json.loads(run(finished, "dvc", "status", "--json").stdout)


def test_killed_it_leaves_no_orphan_and_goes_on(reproduced: Path, stale: Path) -> None:
    """kill -9 amid the cells: the workers end too, cells that had ended are not repeated, the end is to the byte."""
    process = subprocess.Popen(FAN_OUT, cwd=stale, env=ENVIRONMENT | {"PYTHONPATH": str(stale)})
    wait_for(lambda: len(list((stale / "results/cells").glob("*.json"))) >= 3)
    workers = children(process.pid)
    second = fan_out(stale)
    assert (second.returncode, f"PID {process.pid}" in second.stdout) == (2, True)
    process.kill()
    process.wait()
    assert workers
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    again = fan_out(stale)
    assert again.returncode == 0, again.stdout
    assert again.stdout.count("is cached - skipping run") >= 1
    assert num_run(again)[0] < 6
    assert results_of(stale) == results_of(reproduced)


def test_a_wrong_value_is_one_line_before_any_work(stale: Path) -> None:
    """Not one for every cell."""
    file = stale / "params.yaml"
    file.write_text(file.read_text().replace("threads: 1", "threads: 0"))
    stopped = fan_out(stale)
    assert stopped.returncode == 2
    assert stopped.stdout.count("\n") == 1
    assert "ablation.threads" in stopped.stdout


def wait_for(condition: Callable[[], bool]) -> None:
    """Waits until `condition` holds, a minute at most."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children(parent: int) -> list[int]:
    """Process ids of the processes that `parent` started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may end while we look
            if int((process / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(process.name))
    return found
