"""Augmented classifier batches against a torchvision DataLoader: `python -m benchmarks.classifier_batches`.

Both crop, mirror and scale the same CIFAR-sized images. The peer is the usual loop: a Dataset of arrays, PIL
transforms, a DataLoader with two workers. First without a network, then the whole training loop.
"""

import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from pipeline.classifier.augment import Augmentation
from pipeline.classifier.mixing import Plan, batch_rows
from pipeline.classifier.network import Shape, build_network
from pipeline.config import parse_params
from pipeline.configure import compose_params
from pipeline.images import to_unit_range
from pipeline.runtime import describe_environment, pick_device

ROUNDS = 5
IMAGES = 10_000
GOAL = 10.0
Batches = Iterator[tuple[Tensor, Tensor]]


class ArrayDataset(Dataset[tuple[Tensor, int]]):
    """Images in memory behind torchvision's transforms, as most training scripts have them."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels
        self.transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomCrop(32, 2, padding_mode="reflect"),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.5,) * 3, (0.5,) * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.transform(self.images[row]), int(self.labels[row])


def main() -> None:
    """Prints images per second of both, with and without a network, and their ratios."""
    values = parse_params(compose_params(["dataset=cifar10", "profile=cpu"])).classifier
    device = pick_device()
    generator = np.random.Generator(np.random.Philox(0))
    images = generator.integers(0, 256, (IMAGES, 32, 32, 3)).astype(np.uint8)
    labels = generator.integers(0, 10, IMAGES)
    resident, targets = torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device)
    augment = Augmentation(values, 32, device)
    network = (
        build_network(Shape(values.network, values.width, 3, 10), seed=0)
        .to(device)
        .to(memory_format=torch.channels_last)
    )
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    peer = DataLoader(ArrayDataset(images, labels), values.batch_size, shuffle=True, num_workers=2, drop_last=True,
                      persistent_workers=True)  # fmt: skip

    def ours() -> Batches:
        plan = Plan("batch", 0, values.batch_size, IMAGES // values.batch_size)
        for step in range(plan.num_steps):
            rows = torch.from_numpy(batch_rows(plan, step, (IMAGES, 0), seed=0)[0]).to(device)
            yield to_unit_range(augment(resident.index_select(0, rows), seed=0, step=step)), targets[rows]

    def theirs() -> Batches:
        for x, y in peer:
            yield x.to(device), y.to(device)

    def train(x: Tensor, y: Tensor) -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(x), y).backward()
        optimizer.step()

    print(f"{IMAGES:,} images of 32x32x3, batches of {values.batch_size}, median of {ROUNDS} rounds", end="")
    print(f" in turn; {describe_environment(device)}")
    compare("batches only", ours, theirs, ignore, f"goal >= {GOAL:.0f}")
    compare("whole loop", ours, theirs, train, "no goal")


def compare(
    what: str,
    ours: Callable[[], Batches],
    theirs: Callable[[], Batches],
    use: Callable[[Tensor, Tensor], None],
    goal: str,
) -> None:
    """Prints one row: rates of both and the median of the ratios of neighbouring rounds."""
    rates = [(rate(ours, use), rate(theirs, use)) for _ in range(ROUNDS)]
    own, peer = (statistics.median(column) for column in zip(*rates, strict=True))
    ratio = statistics.median(a / b for a, b in rates)
    spread = f"{min(a / b for a, b in rates):.1f}-{max(a / b for a, b in rates):.1f}"
    print(f"{what:13} ours {own:9,.0f} img/s   DataLoader {peer:7,.0f} img/s   ratio {ratio:5.1f} ({spread}; {goal})")


def ignore(x: Tensor, y: Tensor) -> None:
    """Does nothing."""


def rate(batches: Callable[[], Batches], use: Callable[[Tensor, Tensor], None]) -> float:
    """Images per second of one pass."""
    started, seen = time.perf_counter(), 0
    for x, y in batches():
        use(x, y)
        seen += len(y)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return seen / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
