"""Cells side by side: `python -m benchmarks.fanout`, after `synthmix run`.

Trains the mixed cells and the rivals in two copies of the working folder, everything else reused: in one by
`dvc repro`, in the other by `synthmix run --jobs 2`; both must leave the same dvc.lock.
"""

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pipeline.params.load import load_all_params

JOBS = 2
GOAL = 2.0
CELLS = ("train_rival", "train_classifier")
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "mlruns", "mlflow.db*", ".resume")


def make_copy(folder: Path) -> Path:
    """The working folder as it was before its cells ran."""
    shutil.copytree(Path.cwd(), folder, ignore=LEFT_OUT, symlinks=True)
    shutil.rmtree(folder / ".dvc/cache/runs", ignore_errors=True)
    head, *entries = re.split(r"(?m)^(?=  \S)", Path("dvc.lock").read_text(encoding="utf-8"))
    kept = [entry for entry in entries if not entry.strip().startswith(CELLS)]
    (folder / "dvc.lock").write_text(head + "".join(kept), encoding="utf-8")
    run(folder, "git", "init", "-q")
    run(folder, sys.executable, "-m", "dvc", "status", "-q", "prepare")  # hashes what it finds, once
    return folder


def run(folder: Path, *command: str) -> tuple[float, float]:
    """Wall time and processor time of a command in `folder`, on the code there, in seconds.

    Raises:
        SystemExit: it failed.
    """
    environment = os.environ | {"PYTHONPATH": str(folder)}
    started, used = time.perf_counter(), processor_seconds()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: run `dvc repro` to the end first\n{done.stdout}{done.stderr}")
    return time.perf_counter() - started, processor_seconds() - used


def processor_seconds() -> float:
    """What all ended children and their own children have used."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Prints wall times, their ratio, and whether both runs left equal bytes."""
    ablation = load_all_params().ablation
    cells = (len(ablation.rivals) + len(ablation.synthetic_percent)) * len(ablation.replicates)
    with tempfile.TemporaryDirectory() as scratch:
        one, serial = (make_copy(Path(scratch) / name) for name in ("one", "serial"))
        fanned = run(one, sys.executable, "-m", "pipeline", "run", "--jobs", str(JOBS), *CELLS)
        alone = run(serial, sys.executable, "-m", "dvc", "repro", *CELLS)
        equal = (one / "dvc.lock").read_bytes() == (serial / "dvc.lock").read_bytes()
    print(f"{cells} cells, {os.cpu_count()} cores, ablation.threads {ablation.threads}; n = 1")
    for name, serial_s, fanned_s in zip(("wall", "processor"), alone, fanned, strict=True):
        goal = f" (goal >= {GOAL:.0f})" if name == "wall" else ""
        times = f"dvc repro {serial_s:.0f} s, fan-out with {JOBS} jobs {fanned_s:.0f} s"
        print(f"{name:9} time: {times}: ratio {serial_s / fanned_s:.2f}{goal}")
    print(f"dvc.lock {'equal to the byte' if equal else 'DIFFERS'}")


if __name__ == "__main__":
    main()
