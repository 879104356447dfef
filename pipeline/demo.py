"""`make demo`: the whole pipeline on handwritten digits, then its answer and where to look."""

import sys
from pathlib import Path

from pipeline.configure import replace_params
from pipeline.dvc import run_dvc
from pipeline.evaluation.grid import read_json
from pipeline.evaluation.report import to_text
from pipeline.lock import LOCK_FILE, mend
from pipeline.runtime import run_stage

CHOICES = ["dataset=digits", "profile=demo"]
RESULT = Path("results/ablation.json")


def main() -> None:
    """Composes params.yaml, runs `dvc repro` and prints the table, the verdict and what to open."""
    replace_params(CHOICES)
    if torn := mend(LOCK_FILE):
        print(f"{LOCK_FILE}: dropped torn {', '.join(torn)}", flush=True)
    if code := run_dvc("repro"):
        sys.exit(code)
    print(f"\n{to_text(read_json(RESULT, 'evaluate'))}\n")
    print("The report:     open results/report.html in a browser")
    print("The runs:       make ui")
    print("CIFAR-10 again: git restore params.yaml dvc.lock results")


if __name__ == "__main__":
    run_stage(main)
