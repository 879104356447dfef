"""Which setting can tell? `python -m benchmarks.setting dataset=cifar10 profile=cpu`: what real images show.

For each train size and number of steps: accuracy on val of real images alone, of twice as many, and of fresh real
images in the place of synthetic ones at SHARES percent, what a perfect generator would give. A setting in which neither
gains can show nothing of any generator. Val alone is read, so that a profile may be chosen by it.

Further arguments are values as for `synthmix configure`. SIZES (2500,5000,10000), STEPS (200,400) and SHARES (25) name
what is tried, REPLICATES (3) how many draws of the images. What is finished is kept in .resume/benchmarks.setting.
"""

import itertools
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from benchmarks.gan import Memory, interval_text
from pipeline.classifier.cell import select_real
from pipeline.classifier.mixture import Mixture
from pipeline.classifier.plan import plan_cell
from pipeline.classifier.training import TrainingData, train_classifier
from pipeline.device import describe_environment, pick_device
from pipeline.images import LabelledImages, empty_like
from pipeline.params.compose import compose_params
from pipeline.params.load import parse_params
from pipeline.params.schema import Params
from pipeline.runtime.checkpoint import fingerprint
from pipeline.sources.load import load
from pipeline.sources.splits import split

Splits = dict[str, LabelledImages]


def numbers(name: str, usual: str) -> list[int]:
    """Whole numbers that an environment variable names, separated by commas."""
    return [int(number) for number in os.environ.get(name, usual).split(",")]


SIZES, STEPS, SHARES = numbers("SIZES", "2500,5000,10000"), numbers("STEPS", "200,400"), numbers("SHARES", "25")
(REPLICATES,) = numbers("REPLICATES", "3")


def main() -> None:
    """Prints a row a setting: real images alone, and the gains over them, in points, paired by replicate."""
    params = parse_params(compose_params(sys.argv[1:]))
    device = pick_device(params.ablation.threads)
    print(f"{params.dataset.name}, val, n = {REPLICATES}; {describe_environment(device)}")
    gains = ["twice as many", *(f"{share} % fresh" for share in SHARES)]
    print(f"| real images | steps | alone, % | {' | '.join(gains)} |\n|---|---|---|{'---|' * len(gains)}")
    for size, steps in itertools.product(SIZES, STEPS):
        columns = list(zip(*(accuracies(params, size, steps, r, device) for r in range(REPLICATES)), strict=True))
        alone = [100 * value for value in columns[0]]
        differences = [[100 * value - base for value, base in zip(c, alone, strict=True)] for c in columns[1:]]
        cells = [f"{size:,}", str(steps), *map(interval_text, [alone, *differences])]
        print(f"| {' | '.join(cells)} |", flush=True)


def accuracies(params: Params, size: int, steps: int, replicate: int, device: torch.device) -> Iterator[float]:
    """Accuracy on val of `size` real images alone, of twice as many, and with fresh ones at each of SHARES."""
    dataset = params.dataset.model_copy(update={"train_size": size})
    classifier = params.classifier.model_copy(update={"steps": steps})
    there = params.model_copy(update={"dataset": dataset, "classifier": classifier})
    splits = split(load(dataset), dataset, replicate=replicate).images
    folder = Path(".resume/benchmarks.setting") / fingerprint("train_baseline", {"params": there.model_dump()})
    memory = Memory(folder / "accuracies.json")
    yield memory.recall(f"{replicate} alone", partial(_measure, there, splits, replicate, device, 0, 100))
    yield memory.recall(f"{replicate} twice", partial(_measure, there, splits, replicate, device, 0, 200))
    for share in SHARES:
        yield memory.recall(f"{replicate} {share}", partial(_measure, there, splits, replicate, device, share, 100))


def _measure(
    params: Params, splits: Splits, replicate: int, device: torch.device, share: int, real_percent: int
) -> float:
    """Accuracy on val of one training."""
    train, reserve = splits["train"], splits["reserve"]
    plan = plan_cell(params, train_size=len(train), replicate=replicate, real_percent=real_percent)
    fresh = reserve if share else empty_like(train)
    data = TrainingData(select_real(plan, train, reserve), fresh, splits["val"])
    mixture = Mixture("batch", share, params.classifier.batch_size, plan.steps)
    trained = train_classifier(params.classifier, data, mixture, seed=replicate, device=device)
    return trained.history[-1]["val_accuracy"]


if __name__ == "__main__":
    main()
