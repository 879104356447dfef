"""What a cell costs besides its training: `python -m benchmarks.stage_overhead`, after a full `dvc repro`.

Runs the first baseline cell as a process of its own and times it from outside: start to the first step, then
from the cell's last file to the exit, with and without tracking. The work itself, run warm in this process, is the
peer that the overhead is a share of.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5
GOALS = {"on": 8.0, "off": 5.0}  # seconds of overhead a stage, with and without tracking
MARKED = (
    "import runpy, sys, time\n"
    "import benchmarks\n"
    "from pipeline.classifier import cell, training\n"
    "progress, run_cell = training.Progress, cell.run_cell\n"
    "def marked_progress(*arguments, **keywords):\n"
    "    print('MARK', time.time(), flush=True)\n"
    "    return progress(*arguments, **keywords)\n"
    "def marked_cell(*arguments, **keywords):\n"
    "    run_cell(*arguments, **keywords)\n"
    "    print('MARK', time.time(), flush=True)\n"
    "training.Progress, cell.run_cell = marked_progress, marked_cell\n"
    "runpy.run_module('stages.train_baseline', run_name='__main__')\n"
)


def measure(tracking: str) -> tuple[float, float, float]:
    """Seconds before, in and after the work of one cell: its steps, its test images, its files."""
    with tempfile.TemporaryDirectory() as out:
        flags = ["--prepared", "data/prepared", "--real-percent", "100", "--seed", "0", "--out", out, "--results", out]
        environment = os.environ | {"PIPELINE_TRACKING": tracking, "DVC_ROOT": str(Path.cwd())}
        started = time.time()
        done = subprocess.run(
            [sys.executable, "-c", MARKED, *flags], env=environment, capture_output=True, text=True, check=False
        )
        ended = time.time()
    marks = [float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("MARK")]
    if done.returncode or len(marks) != 2:
        sys.exit(f"the cell did not run: run `dvc repro` first\n{done.stdout}{done.stderr}")
    return marks[0] - started, marks[1] - marks[0], ended - marks[1]


def main() -> None:
    """Prints the overhead of both settings, its parts, and its ratio to the training."""
    for tracking, goal in GOALS.items():
        rounds = [measure(tracking) for _ in range(ROUNDS)]
        before, work, after = (statistics.median(column) for column in zip(*rounds, strict=True))
        overheads = [a + b for a, _, b in rounds]
        print(
            f"tracking {tracking:3}: overhead {statistics.median(overheads):.1f} s (goal < {goal:.0f}; range "
            f"{min(overheads):.1f}-{max(overheads):.1f}) = {before:.1f} before + {after:.1f} after; work "
            f"{work:.1f} s; ratio {statistics.median(overheads) / work:.2f}; median of {ROUNDS}"
        )


if __name__ == "__main__":
    main()
