"""Two jobs on the cores of one: `python -m benchmarks.contention`.

An OpenMP thread that waits spins, and so keeps the other job's threads from the core that they need. The stages
cut the spinning short (GOMP_SPINCOUNT, set when a stage starts); this prints, against OpenMP's default, what
that gains when cores are shared and costs when they are not.
"""

import os
import statistics
import subprocess
import sys

from pipeline.runtime.entry import SPIN_COUNT

ROUNDS = 3
JOB = (
    "import time, torch\n"
    "torch.manual_seed(0)\n"
    "net = torch.nn.Sequential(torch.nn.Conv2d(4, 24, 3, 1, 1), torch.nn.ReLU(), torch.nn.Conv2d(24, 48, 4, 2, 1))\n"
    "x = torch.randn(128, 4, 8, 8)\n"
    "for _ in range(5): net(x).sum().backward()\n"
    "start, count = time.perf_counter(), 0\n"
    "while time.perf_counter() - start < 4: net(x).sum().backward(); count += 1\n"
    "print(count / (time.perf_counter() - start))\n"
)


def steps_per_second(jobs: int, environment: dict[str, str]) -> float:
    """Training steps a second of `jobs` equal processes together."""
    running = [
        subprocess.Popen([sys.executable, "-c", JOB], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(jobs)
    ]
    return sum(float(job.communicate()[0]) for job in running)


def main() -> None:
    """Prints the ratio ours / default for one job alone and for two at once."""
    default = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    ours = default | {"GOMP_SPINCOUNT": SPIN_COUNT}
    print(f"stages set GOMP_SPINCOUNT={SPIN_COUNT}; {os.cpu_count()} cores, {ROUNDS} rounds")
    for jobs in (1, 2):
        ratios = [steps_per_second(jobs, ours) / steps_per_second(jobs, default) for _ in range(ROUNDS)]
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
        print(f"{jobs} job(s): steps/s over the default {statistics.median(ratios):.2f} (range {spread})")


if __name__ == "__main__":
    main()
