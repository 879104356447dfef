"""How fast the classifier trains, against three measures: `python -m benchmarks.classifier`.

1. Images per second of the whole loop, against the limit that arithmetic sets: the rate of large products (of
   matrices, or a convolution) on this machine, over the floating-point operations of an image.
2. Augmented batches against a torchvision DataLoader of PIL transforms with two workers, without a network.
3. Time to equal accuracy on val, against the plain loop: a ResNet-18 fed by that DataLoader, with a one-cycle schedule
   over PATIENCE times our seconds. Where it is still below us then, the ratio is above PATIENCE.

Further arguments are values as for `synthmix configure`; dataset=cifar10 profile=cpu is where none is given.
"""

import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

from pipeline.classifier.augment import Augmentation
from pipeline.classifier.inference import measure_accuracy, predict
from pipeline.classifier.mixture import Mixture, batch_rows
from pipeline.classifier.network import build_network, choose_architecture
from pipeline.classifier.training import train_unmixed
from pipeline.device import describe_environment, pick_device
from pipeline.images import LabelledImages, to_unit_range
from pipeline.params.compose import compose_params
from pipeline.params.load import parse_params
from pipeline.params.schema import ClassifierParams
from pipeline.sources.load import load
from pipeline.sources.splits import split

ROUNDS = 5
SIDE, WIDE = 2048, 512  # of the matrices, and channels of the convolution, whose products set the limit
PATIENCE = 5
WARM_UP, TIMED = 2, 6  # steps of the plain loop from which its rate is estimated
PEER_BATCH, PEER_RATE = 128, 0.1  # of the plain loop; the learning rate is its peak
GOALS = {"batches": 10.0, "accuracy": 3.0}
Batches = Iterator[tuple[Tensor, Tensor]]


class ArrayDataset(Dataset[tuple[Tensor, int]]):
    """Images in memory behind torchvision's transforms, as most training scripts have them."""

    def __init__(self, data: LabelledImages, classifier: ClassifierParams) -> None:
        self.images, self.labels = data.images, data.labels
        mirror = [transforms.RandomHorizontalFlip()] if classifier.flip else []
        levels = (0.5,) * data.images.shape[3]
        self.transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomCrop(data.images.shape[1], classifier.translate, padding_mode="reflect"),
                *mirror,
                transforms.ToTensor(),
                transforms.Normalize(levels, levels),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.transform(self.images[row]), int(self.labels[row])


def main() -> None:
    """Prints the three ratios."""
    params, device = parse_params(compose_params(sys.argv[1:] or ["dataset=cifar10", "profile=cpu"])), pick_device()
    values = params.classifier
    splits = split(load(params.dataset), params.dataset, replicate=None).images
    print(
        f"{params.dataset.name}, profile {params.profile}, {len(splits['train']):,} images, {values.network} of "
        f"width {values.width}, {values.steps} steps of {values.batch_size}, {values.precision}; "
        f"{describe_environment(device)}"
    )
    compare_batches(values, splits["train"], device)
    seconds, accuracy = time_training(values, splits["train"], splits["val"], device)
    compare_with_limit(values, splits["train"], values.steps * values.batch_size / seconds, device)
    compare_accuracy(values, splits, device, seconds, accuracy)


def time_training(
    values: ClassifierParams, train: LabelledImages, val: LabelledImages, device: torch.device
) -> tuple[float, float]:
    """Seconds of one training without its validations (they have one image), and its accuracy on val."""
    one = val.select(np.arange(1))
    warm_up = values.model_copy(update={"steps": WARM_UP})
    train_unmixed(warm_up, train, one, synthetic=False, seed=0, device=device)
    started = time.perf_counter()
    network = train_unmixed(values, train, one, synthetic=False, seed=0, device=device)
    wait(device)
    seconds = time.perf_counter() - started
    return seconds, measure_accuracy(predict(network, val, flip=values.flip), val)


# ---- 1: the limit of arithmetic ------------------------------------------------------------------------------


def compare_with_limit(values: ClassifierParams, train: LabelledImages, rate: float, device: torch.device) -> None:
    """Prints our rate over that of a loop of nothing but large products."""
    size, channels = train.images.shape[1], train.images.shape[3]
    network = build_network(choose_architecture(values, train), seed=0)
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(2, channels, size, size)).sum().backward()
    operations = counter.get_total_flops() / 2
    peak = arithmetic_rate(torch.bfloat16 if values.precision == "bfloat16" else torch.float32, device)
    limit = peak / operations
    print(
        f"arithmetic    ours {rate:9,.0f} img/s   limit {limit:9,.0f} img/s   ratio {rate / limit:.2f} "
        f"({operations / 1e6:,.1f} MFLOP an image, {peak / 1e9:,.0f} GFLOP/s in large products)"
    )


def arithmetic_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Floating-point operations a second of the quicker of a matrix product and a convolution, both large.

    Different libraries compute the two, and on some processors one of them is several times slower.
    """
    a, b = (torch.randn(SIDE, SIDE, device=device).to(dtype) for _ in range(2))
    x, kernel = (
        torch.randn(shape, device=device).to(dtype, memory_format=torch.channels_last)
        for shape in ((8, WIDE, 32, 32), (WIDE, WIDE, 3, 3))
    )
    product = 2 * SIDE**3 / quickest(lambda: torch.mm(a, b), device)
    convolution = 2 * 9 * WIDE**2 * 8 * 32 * 32 / quickest(lambda: F.conv2d(x, kernel, padding=1), device)
    return max(product, convolution)


def quickest(work: Callable[[], Tensor], device: torch.device) -> float:
    """Seconds of the quickest of some rounds."""
    seconds = []
    for _ in range(2 * ROUNDS):
        wait(device)
        started = time.perf_counter()
        work()
        wait(device)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


# ---- 2: the input side ---------------------------------------------------------------------------------------


def compare_batches(values: ClassifierParams, train: LabelledImages, device: torch.device) -> None:
    """Prints rates of batches alone, and the median of the ratios of neighbouring rounds."""
    peer = plain_loader(train, values, values.batch_size)
    rates = [(pass_rate(own_batches(values, train, device), device), pass_rate(peer, device)) for _ in range(ROUNDS)]
    own, other = (statistics.median(column) for column in zip(*rates, strict=True))
    ratios = sorted(a / b for a, b in rates)
    print(
        f"batches only  ours {own:9,.0f} img/s   DataLoader {other:7,.0f} img/s   ratio {ratios[ROUNDS // 2]:.1f} "
        f"({ratios[0]:.1f}-{ratios[-1]:.1f}, {ROUNDS} rounds in turn; goal >= {GOALS['batches']:.0f})"
    )


def own_batches(values: ClassifierParams, train: LabelledImages, device: torch.device) -> Batches:
    """One pass, as the training loop has it."""
    mixture = Mixture("batch", 0, values.batch_size, len(train) // values.batch_size)
    images, labels = torch.from_numpy(train.images).to(device), torch.from_numpy(train.labels).to(device)
    augment = Augmentation(values, train.images.shape[1], device)
    for step in range(mixture.num_steps):
        index = torch.from_numpy(batch_rows(mixture, step, (len(train), 0), seed=0)[0]).to(device)
        yield to_unit_range(augment(images.index_select(0, index), seed=0, step=step)), labels[index]


def plain_loader(train: LabelledImages, values: ClassifierParams, batch_size: int) -> DataLoader[tuple[Tensor, int]]:
    """The peer's batches: shuffled, two workers that stay."""
    data = ArrayDataset(train, values)
    return DataLoader(data, batch_size, shuffle=True, num_workers=2, drop_last=True, persistent_workers=True)


def pass_rate(batches: Iterable[tuple[Tensor, Tensor]], device: torch.device) -> float:
    """Images per second of one pass."""
    started, seen = time.perf_counter(), 0
    for x, y in batches:
        x.to(device), y.to(device)
        seen += len(y)
    wait(device)
    return seen / (time.perf_counter() - started)


# ---- 3: time to equal accuracy -------------------------------------------------------------------------------


def compare_accuracy(
    values: ClassifierParams, splits: dict[str, LabelledImages], device: torch.device, seconds: float, accuracy: float
) -> None:
    """Prints how much longer the plain loop needs for our accuracy, or how far it is when it is given up."""
    train, val = splits["train"], splits["val"]
    loader = plain_loader(train, values, PEER_BATCH)
    resnet18 = choose_architecture(values.model_copy(update={"network": "resnet18"}), train)
    warm = partial(train_plainly, build_network(resnet18, seed=0).to(device), loader, device=device)
    warm(WARM_UP)
    num_steps = max(1, round(PATIENCE * seconds / (warm(TIMED) / TIMED)))
    network = build_network(resnet18, seed=0).to(device)
    taken = train_plainly(network, loader, num_steps, device=device)
    reached = measure_accuracy(predict(network, val, flip=values.flip), val)
    ratio = f"{'above' if reached < accuracy else 'below'} {taken / seconds:.1f}"
    print(
        f"accuracy      ours {100 * accuracy:.1f} % in {seconds:.1f} s   plain ResNet-18 {100 * reached:.1f} % in "
        f"{taken:.1f} s ({num_steps} steps)   ratio {ratio} (goal >= {GOALS['accuracy']:.0f})"
    )


def train_plainly(
    network: nn.Module, loader: DataLoader[tuple[Tensor, int]], num_steps: int, *, device: torch.device
) -> float:
    """Seconds of the loop of most training scripts: Nesterov SGD, one cycle, a step for each batch of the loader."""
    sgd = torch.optim.SGD(network.parameters(), PEER_RATE, 0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(sgd, PEER_RATE, total_steps=num_steps + 1)
    network.train()
    started = time.perf_counter()
    for x, y in itertools.islice(itertools.chain.from_iterable(itertools.repeat(loader)), num_steps):
        loss = F.cross_entropy(network(x.to(device)), y.to(device))
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        schedule.step()
    wait(device)
    return time.perf_counter() - started


def wait(device: torch.device) -> None:
    """Until the device has done all that it was asked to."""
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
