"""What `dvc repro` costs when nothing is to be done: `python -m benchmarks.noop_repro`, after a full `dvc repro`.

The limit it is measured against is the time to start dvc at all (`dvc version` without its checks is `dvc --help`).
"""

import statistics
import subprocess
import sys
import time

ROUNDS = 5
GOAL_SECONDS = 3.0


def seconds(*arguments: str) -> float:
    """Wall time of one dvc command.

    Raises:
        SystemExit: the command failed, or `dvc repro` had something to do.
    """
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, check=False)
    elapsed = time.perf_counter() - started
    if done.returncode or (arguments == ("repro",) and "up to date" not in done.stdout):
        sys.exit(f"dvc {' '.join(arguments)}: run `dvc repro` to the end first\n{done.stdout}{done.stderr}")
    return elapsed


def main() -> None:
    """Prints the medians and their ratio."""
    rounds = [(seconds("repro"), seconds("--help")) for _ in range(ROUNDS)]
    repro, start = (statistics.median(column) for column in zip(*rounds, strict=True))
    spread = f"{min(r for r, _ in rounds):.2f}-{max(r for r, _ in rounds):.2f} s"
    print(f"no-op `dvc repro`: {repro:.2f} s (goal <= {GOAL_SECONDS:.0f}; median of {ROUNDS}, range {spread})")
    print(f"start of dvc alone: {start:.2f} s; ratio {repro / start:.1f}")


if __name__ == "__main__":
    main()
