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
from typing import NamedTuple

import pytest

from tests.project import ENVIRONMENT, FAN_OUT, copy_project, fan_out, run

NUM_CELLS = 18  # all stages but prepare, collect and evaluate
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def finished(reproduced: Path, tmp_path: Path) -> Path:
    """A copy of the finished project whose run cache is empty."""
    return copy_project(reproduced, tmp_path / "project", "runs")


@pytest.fixture
def stale(finished: Path) -> Path:
    """One in which nothing but prepare has run yet."""
    lock, folders = finished / "dvc.lock", ("models", "data/synthetic", "data/scores", "results", "mlruns")
    lock.write_text(re.split(r"(?m)^(?=  train_gan)", lock.read_text())[0])
    for name in folders:
        shutil.rmtree(finished / name)
    (finished / "mlflow.db").unlink()
    return finished


def num_run(done: subprocess.CompletedProcess[str]) -> int:
    """How many cells ran to their end: the table's kinds of them."""
    rows = re.findall(r"(?m)^ *([a-z_]+) +(\d+) +\d+ +[\d.]+ \w+ +[\d.]+ \w+$", done.stdout)
    return sum(int(number) for kind, number in rows if kind not in ("prepare", "collect", "evaluate", "all"))


def results_of(project: Path) -> dict[str, bytes]:
    """dvc.lock, which holds the digest of every out, and the small files themselves."""
    files = [project / "dvc.lock", *(file for file in (project / "results").rglob("*") if file.is_file())]
    return {str(file.relative_to(project)): file.read_bytes() for file in files}


def test_it_leaves_what_a_serial_run_leaves(reproduced: Path, stale: Path) -> None:
    """dvc.lock and results are those of `dvc repro` to the byte, whatever number of threads that one is given.

    Then there is nothing to do, for neither.
    """
    serial = run(stale, "dvc", "repro", OMP_NUM_THREADS="2")
    assert serial.returncode == 0, serial.stdout
    assert results_of(stale) == results_of(reproduced)
    again = fan_out(stale)
    assert (again.returncode, num_run(again)) == (0, 0)
    assert "Data and pipelines are up to date." in again.stdout
    assert "up to date" in run(stale, "dvc", "repro").stdout


def test_gans_train_side_by_side_before_all_else(reproduced: Path) -> None:
    """Synthetic images, their assessment and the mixed cells wait for them."""
    first, second, *others = cell_times(reproduced)
    assert {first.name, second.name} == {"train_gan@0", "train_gan@1"}
    assert second.start < first.end
    assert len(others) == NUM_CELLS - 2


class Times(NamedTuple):
    """When a cell ran, in ms since 1970."""

    start: int
    end: int
    name: str


def cell_times(project: Path) -> list[Times]:
    """Of every cell that MLflow has as finished, by their start."""
    query = (
        "select start_time, end_time, value from tags join runs using (run_uuid) "
        "where key = 'dvc.stage' and value like '%@%' and status = 'FINISHED'"
    )
    with sqlite3.connect(project / "mlflow.db") as store:
        return sorted(Times(*row) for row in store.execute(query))


def test_another_engine_needs_no_more_than_three_methods(stale: Path) -> None:
    """A fan-out on an engine that runs each command line as it stands leaves what the warm workers leave."""
    (stale / "plain.py").write_text(PLAIN)
    done = run(stale, sys.executable, "plain.py", PYTHONPATH=str(stale))
    assert done.returncode == 0, done.stdout
    assert sorted(re.findall("(?m)^ran .*", done.stdout)) == ["ran train_baseline@200-0", "ran train_baseline@200-1"]
    assert json.loads((stale / "results/cells/train_baseline-200-1.json").read_text())["replicate"] == 1
    assert num_run(fan_out(stale, "train_baseline@200-0", "train_baseline@200-1")) == 0


PLAIN = """
import subprocess
from contextlib import nullcontext
from pipeline.orchestration.fanout import fan_out
from pipeline.orchestration.times import Took
from pipeline.orchestration.workers import TaskResult

class OneByOne:
    size = 1
    def submit(self, task):
        done = subprocess.run(task.command, shell=True, text=True, capture_output=True)
        self.result = TaskResult(task, done.returncode, done.stdout + done.stderr, Took())
        print("ran", task.name)
    def wait(self):
        return [self.result]
    def rest(self):
        print("rests")

if __name__ == "__main__":
    assert not fan_out(["train_baseline@200-0", "train_baseline@200-1"], lambda _: nullcontext(OneByOne()), 1).failed
"""

FAULTS = """

def faulty(real_percent: int, replicate: int) -> None:
    import os
    from pathlib import Path
    from pipeline.runtime.errors import UserError
    if Path("faulty").exists() and (real_percent, replicate) == (200, 0):
        raise UserError("no luck")
    if Path("faulty").exists() and (real_percent, replicate) == (200, 1):
        os.kill(os.getpid(), 9)
"""


def test_a_failed_cell_leaves_the_others_committed(finished: Path) -> None:
    """A cell that fails is one line, a worker that dies costs one cell; what waits for them is left out, nothing else.

    Repaired, the same command runs these cells alone.
    """
    script = finished / "stages/train_baseline.py"
    text = script.read_text().replace(
        "    params = load_params(", "    faulty(real_percent, replicate)\n    params = load_params("
    )
    script.write_text(text + FAULTS)
    (finished / "faulty").touch()
    done = fan_out(finished)
    assert done.returncode == 2, done.stdout
    assert "train_baseline@200-0: no luck\n" in done.stdout
    assert "train_baseline@200-1: its worker was ended by SIGKILL" in done.stdout
    assert "Traceback" not in done.stdout
    (error,) = (line for line in done.stdout.splitlines() if line.startswith("error: "))
    assert error.startswith("error: train_baseline@200-")
    assert "2 left out" in error  # collect and evaluate
    (finished / "faulty").unlink()
    repaired = fan_out(finished)
    assert repaired.returncode == 0, repaired.stdout
    assert (num_run(done), num_run(repaired)) == (2, 2)
    assert "up to date" in run(finished, "dvc", "repro").stdout


def test_what_was_edited_amid_a_cell_is_not_committed(finished: Path) -> None:
    """A cell that was started on other code than there is now at its end is no result of either."""
    script = finished / "stages/train_baseline.py"
    edit = '    open(__file__, "a").write("# edited\\n")\n'
    script.write_text(script.read_text().replace("    params = load_params(", f"{edit}    params = load_params("))
    done = fan_out(finished, "train_baseline@200-0")
    assert done.returncode == 2, done.stdout
    assert "train_baseline@200-0: what it reads changed while it ran" in done.stdout
    assert "train_baseline@200-0" in json.loads(run(finished, "dvc", "status", "--json").stdout)


def test_killed_it_leaves_no_orphan_and_goes_on(reproduced: Path, stale: Path) -> None:
    """kill -9 amid the cells: the workers end too, cells that had ended are not repeated, the end is to the byte.

    The python of dvc.yaml is the one that runs the fan-out, whatever is on PATH.
    """
    process = subprocess.Popen(FAN_OUT, cwd=stale, env=ENVIRONMENT | {"PYTHONPATH": str(stale)})
    wait_for(lambda: len(list((stale / "results/cells").glob("*.json"))) >= 3)
    workers = children(process.pid)
    second = fan_out(stale)
    assert (second.returncode, f"PID {process.pid}" in second.stdout) == (2, True)
    process.kill()
    process.wait()
    assert workers
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    again = fan_out(stale, PATH="/usr/bin:/bin")
    assert again.returncode == 0, again.stdout
    assert "Use `dvc push` to send your updates" in again.stdout
    assert "; the report: results/report.html" in again.stdout
    assert again.stdout.count("is cached - skipping run") >= 1
    assert 0 < num_run(again) <= NUM_CELLS - 3
    assert results_of(stale) == results_of(reproduced)


DYING = """
import os, signal, sys
from pathlib import Path
from pipeline.gan import state, training
from pipeline.orchestration.fanout import bring_up_to_date
from pipeline.orchestration.workers import run_in_processes

training.SECONDS_BETWEEN_SAVES = 0.0
save, saved = state.save_state, []

def save_then_die(*arguments):  # in a worker, which imports this file anew
    save(*arguments)
    saved.append(1)
    if len(saved) == 4 and sys.argv[sys.argv.index("--replicate") + 1] == "1":
        os.kill(os.getpid(), signal.SIGKILL)

state.save_state = save_then_die
if __name__ == "__main__":
    try:
        bring_up_to_date(["train_gan@0", "train_gan@1"], 2, run_in_processes)
    except Exception as error:
        sys.exit(f"{error}")
"""


def test_a_gan_whose_worker_is_killed_goes_on(reproduced: Path, stale: Path) -> None:
    """kill -9 of a worker amid its training: the other GAN is done, and the next run ends this one to the byte."""
    (stale / "dying.py").write_text(DYING)
    killed = run(stale, sys.executable, "dying.py", PYTHONPATH=str(stale))
    assert killed.returncode == 1
    assert "train_gan@1: its worker was ended by SIGKILL; the same command runs it again" in killed.stdout
    (state,) = (stale / ".resume/train_gan").glob("*/state.pt")
    done = fan_out(stale, "train_gan@0", "train_gan@1")
    assert (done.returncode, num_run(done)) == (0, 1), done.stdout
    assert not state.exists()
    for name in (*(f"models/gan/{r}/generator.safetensors" for r in (0, 1)), "results/history/train_gan-1.csv"):
        assert (stale / name).read_bytes() == (reproduced / name).read_bytes(), name


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
