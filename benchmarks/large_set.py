"""A cell on a set that is larger than the memory: `python -m benchmarks.large_set`, IMAGES (200,000) images of 128x128.

Writes the set into a temporary folder (10 GB; TMPDIR says where) and removes it. Each cell is a process of its own and
trains for as many steps, on all images from their files, and on FEW of them from their files and in memory, in turn.
Peak memory is what the process itself took (ru_maxrss); the file system's cache, which the machine takes back when it
needs it, is not in it.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.classifier.cell import run_cell
from pipeline.classifier.plan import plan_cell
from pipeline.classifier.training import TrainingData
from pipeline.device import pick_device
from pipeline.images import Indices, Pixels, empty_like
from pipeline.params.compose import compose_params
from pipeline.params.load import parse_params
from pipeline.shards import stored
from pipeline.shards.digest import ContentDigest
from pipeline.shards.plan import SplitPlan
from pipeline.shards.schema import ROW_GROUP_ROWS
from pipeline.shards.writer import write_shards
from pipeline.tracking.usage import RSS_UNIT

IMAGES, FEW, JUDGED = int(os.environ.get("IMAGES", "200000")), 10_000, 256
SIZE, NAMES = 128, tuple("0123456789")
STEPS, ROUNDS = 6, 3
CHOICES = [
    "dataset=cifar10",
    "profile=cpu",
    f"dataset.image_size={SIZE}",
    f"classifier.steps={STEPS}",
    "classifier.batch_size=128",
]
FILES, MEMORY = 0.0, 1.0  # share of the free memory that a set may take before it is left in its files
GOAL_MEGABYTES, GOAL_TIMES = 1500, 1.3


def main() -> None:
    """Prints what every cell took as it ends, then the peak of the whole set and ratios of time."""
    if sys.argv[1:2] == ["--cell"]:
        print(*run_one(Path(sys.argv[2]), sys.argv[3], float(sys.argv[4])))  # for `measure`
        return
    with tempfile.TemporaryDirectory() as name:
        write_sets(Path(name))
        kinds = {"all, files": ("all", FILES), "few, files": ("few", FILES), "few, memory": ("few", MEMORY)}
        rounds = [{kind: measure(Path(name), *which) for kind, which in kinds.items()} for _ in range(ROUNDS)]
    peak = max(row["all, files"].megabytes for row in rounds)
    print(f"peak memory of the whole set {peak:,.0f} MB (goal <= {GOAL_MEGABYTES:,})")
    for kind in ("few, files", "all, files"):
        for what in ("seconds", "processor_seconds"):
            times = sorted(getattr(row[kind], what) / getattr(row["few, memory"], what) for row in rounds)
            print(
                f"{kind} over few in memory, {what}: {statistics.median(times):.2f} "
                f"({times[0]:.2f}-{times[-1]:.2f}; goal <= {GOAL_TIMES})"
            )


def write_sets(root: Path) -> None:
    """Noise that differs between images by a few pixels: cheap to draw, and no image is another's copy."""
    block = np.random.default_rng(0).integers(0, 256, (ROW_GROUP_ROWS, SIZE, SIZE, 3), dtype=np.uint8)

    def draw(start: int, stop: int) -> tuple[Pixels, Indices]:
        numbers = np.arange(start, stop, dtype=np.int64)
        block[: stop - start, 0, :2].reshape(-1, 6)[:, :4] = numbers.astype("<u4").view(np.uint8).reshape(-1, 4)
        return block[: stop - start].copy(), numbers % len(NAMES)

    for split, count in {"all": IMAGES, "few": FEW, "val": JUDGED, "test": JUDGED}.items():
        plan = SplitPlan(split, count, NAMES, 0, "benchmark", "", "stored_png")
        write_shards(root / split, plan, draw, ContentDigest())


class Cost(NamedTuple):
    """Of a cell: peak memory in MB, and time as the clock and as the processor has it."""

    megabytes: float
    seconds: float
    processor_seconds: float


def measure(root: Path, split: str, share: float) -> Cost:
    """Runs a cell in a process of its own, and prints what it took."""
    command = [sys.executable, "-m", "benchmarks.large_set", "--cell", str(root), split, str(share)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    cost = Cost(*map(float, done.stdout.split()))
    where = "files" if share == FILES else "memory"
    print(f"{split}, from {where:6}  peak {cost.megabytes:6,.0f} MB  {cost.seconds:6.1f} s", flush=True)
    return cost


def run_one(root: Path, split: str, share: float) -> Cost:
    """Trains a real-only cell on `split` in this process."""
    params, device = parse_params(compose_params(CHOICES)), pick_device(1)
    stored.RESIDENT_SHARE = share
    started, before = time.perf_counter(), time.process_time()
    test, val, train = stored.open_alike(root / "test", root / "val", root / split)
    plan = plan_cell(params, train_size=len(train), replicate=0)
    data = TrainingData(train, empty_like(train), val)
    run_cell(plan, params.classifier, data, test, device=device, out=root / "out", results=root / "results")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT / 1e6
    return Cost(peak, time.perf_counter() - started, time.process_time() - before)


if __name__ == "__main__":
    main()
