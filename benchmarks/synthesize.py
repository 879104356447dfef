"""Make a dataset as fast as the generator can draw: `python -m benchmarks.synthesize`, further values as for configure.

Four questions in one run, on 32x32 RGB images in a temporary folder. How much of the generator's own rate is left with
writing, hashing and reading back beside it? How much faster than the loops that people write, a file an image with
torchvision's save_image and a Parquet file by Hugging Face datasets, with images that cost nothing to draw? What does
the writer take beside np.save of the same pixels? And does memory grow with the number of images?
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Image as ImageFeature
from PIL import Image
from torchvision.utils import save_image

from pipeline.device import describe_environment, pick_device
from pipeline.gan.build import build_networks
from pipeline.gan.labels import Labels
from pipeline.gan.networks import ImageShape
from pipeline.gan.sampling import Sampler
from pipeline.images import Indices, Pixels
from pipeline.params.compose import compose_params
from pipeline.params.load import parse_params
from pipeline.params.schema import GanParams
from pipeline.shards.digest import ContentDigest
from pipeline.shards.plan import SplitPlan
from pipeline.shards.schema import ROW_GROUP_ROWS
from pipeline.shards.writer import write_shards

ROUNDS = 5
NAMES = tuple("abcdefghij")
DRAWN = 20 * ROW_GROUP_ROWS  # by a real generator: a dataset of profile=cpu; of few, the last fsync is a large part
FREE = 16 * ROW_GROUP_ROWS  # by one that costs nothing
PEER = 2_000  # the slow peers get fewer, at the same cost an image
GROWTH = [int(count) for count in os.environ.get("GROWTH", "10000,1000000").split(",")]
GOALS = {"generator": 0.95, "save_image": 20.0, "datasets": 20.0, "np.save": 0.30, "memory": 1.2}
Draw = Callable[[int, int], tuple[Pixels, Indices]]


def main() -> None:
    """Prints each ratio with its spread and goal."""
    if sys.argv[1:2] == ["--peak"]:  # in a process of its own, whose peak it is
        print(peak_megabytes(int(sys.argv[2])))
        return
    params, device = parse_params(compose_params(sys.argv[1:])), pick_device()
    sampler, free = make_sampler(params.gan, device), stub()
    print(f"recipe {params.gan.recipe}, median of {ROUNDS} rounds in turn; {describe_environment(device)}")
    tell(
        "generator",
        [rate(write, draw_real(sampler), DRAWN) / rate(draw_only, draw_real(sampler), DRAWN) for _ in range(ROUNDS)],
        "end to end over the generator alone",
    )
    for peer, loop in {"save_image": save_files, "datasets": save_datasets}.items():
        tell(peer, [rate(write, free, FREE) / rate(loop, free, PEER) for _ in range(ROUNDS)], f"over {peer}")
    tell("np.save", [rate(write, free, FREE) / rate(save_numpy, free, FREE) for _ in range(ROUNDS)], "over np.save")
    few, many = (measure_peak(count) for count in GROWTH)
    print(
        f"{'memory':10} {few:.0f} MB at {GROWTH[0]:,} images, {many:.0f} MB at {GROWTH[1]:,}: "
        f"{many / few:.2f} times (goal <= {GOALS['memory']})"
    )


def tell(name: str, ratios: list[float], what: str) -> None:
    """Prints the median ratio and its range."""
    print(
        f"{name:10} {statistics.median(ratios):6.2f} ({min(ratios):.2f}-{max(ratios):.2f}) {what} "
        f"(goal >= {GOALS[name]})",
        flush=True,
    )


def make_sampler(gan: GanParams, device: torch.device) -> Sampler:
    """An untrained generator of the profile's size."""
    shape = ImageShape(32, 3, len(NAMES))
    network, _ = build_networks(gan, shape, seed=0)
    return Sampler(network.to(device).eval(), gan.values.latent_dim, shape, NAMES, device)


def draw_real(sampler: Sampler) -> Draw:
    """Draws as the stage does."""
    return lambda start, stop: sampler.draw(start, stop, seed=0, std=1.0, labels=Labels.balanced(len(NAMES)))


def stub() -> Draw:
    """Images that cost nothing: smooth colours with some noise, the same in every row group."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 200, (ROW_GROUP_ROWS, 8, 8, 3), dtype=np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    images = coarse + rng.integers(0, 16, coarse.shape, dtype=np.uint8)
    labels = np.arange(ROW_GROUP_ROWS) % len(NAMES)
    return lambda start, stop: (images[: stop - start], labels[: stop - start])


def rate(loop: Callable[[Draw, int, Path], None], draw: Draw, count: int) -> float:
    """Images per second of a loop that draws and stores `count` images."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        loop(draw, count, Path(folder))
        return count / (time.perf_counter() - started)


def write(draw: Draw, count: int, folder: Path) -> None:
    """Ours, with the digests that the manifest needs."""
    plan = SplitPlan("train", count, NAMES, 0, "benchmark", "", "stored_png")
    write_shards(folder / "data", plan, draw, ContentDigest())


def groups(draw: Draw, count: int) -> list[tuple[Pixels, Indices]]:
    """All images, a row group at a time."""
    return [draw(start, min(start + ROW_GROUP_ROWS, count)) for start in range(0, count, ROW_GROUP_ROWS)]


def draw_only(draw: Draw, count: int, _: Path) -> None:
    """The limit: nothing is kept."""
    for start in range(0, count, ROW_GROUP_ROWS):
        draw(start, min(start + ROW_GROUP_ROWS, count))


def save_files(draw: Draw, count: int, folder: Path) -> None:
    """The loop of most GAN repositories: a PNG file an image."""
    for number, (images, labels) in enumerate(groups(draw, count)):
        tensors = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        for row, (image, label) in enumerate(zip(tensors, labels, strict=True)):
            save_image(image, folder / f"{number}-{row}-{label}.png")


def save_datasets(draw: Draw, count: int, folder: Path) -> None:
    """Hugging Face datasets: images by Pillow, one Parquet file."""
    drawn = groups(draw, count)
    features = Features({"image": ImageFeature(), "label": ClassLabel(names=list(NAMES)), "index": Value("int64")})
    columns = {
        "image": [Image.fromarray(image) for images, _ in drawn for image in images],
        "label": [int(label) for _, labels in drawn for label in labels],
        "index": list(range(count)),
    }
    Dataset.from_dict(columns, features=features).to_parquet(folder / "train.parquet")


def save_numpy(draw: Draw, count: int, folder: Path) -> None:
    """The limit of the disk: nothing but pixels, synchronised as ours are."""
    with (folder / "images.npy").open("wb") as stream:
        np.save(stream, np.concatenate([images for images, _ in groups(draw, count)]))
        stream.flush()
        os.fsync(stream.fileno())


def measure_peak(count: int) -> float:
    """Peak memory in MB of a process that writes `count` images that cost nothing."""
    command = [sys.executable, "-m", "benchmarks.synthesize", "--peak", str(count)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def peak_megabytes(count: int) -> float:
    """Writes `count` images => the peak of this process in MB."""
    rate(write, stub(), count)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
