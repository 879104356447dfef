"""Read shards into one uint8 tensor: against np.load of the same pixels and against PNG-in-Parquet.

`python -m benchmarks.read_shards` writes synthetic 32x32 RGB images into a temporary folder, reads each form
in turn, several rounds, and prints medians. Rates are images per second of process CPU time, all threads
counted, so that other work on the machine does not count; files are in the page cache.
"""

import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from pipeline.images import LabelledImages, Pixels
from pipeline.shards.reader import read_images
from pipeline.shards.schema import ROW_GROUP_ROWS
from pipeline.shards.writer import write_split

NUM_IMAGES = 16384
NUM_PNG_IMAGES = 2048  # the slow peer gets fewer, at the same cost an image
ROUNDS = 9
GOAL_NUMPY, GOAL_PNG = 0.28, 20.0

Read = Callable[[Path], torch.Tensor]


def main() -> None:
    """Prints rates, the two ratios and their goals; exit code 1 if a goal is missed."""
    torch.set_num_threads(1)
    images = draw_images()
    with tempfile.TemporaryDirectory() as name:
        forms = write_forms(Path(name), images)
        check(forms, images)
        rates = measure(forms)
    for form, rate in rates.items():
        print(f"{form:<40} {rate:>12,.0f} img/s of CPU time (median of {ROUNDS} rounds)")
    ours, numpy_load, png = rates.values()
    print(f"shards / np.load        {ours / numpy_load:6.2f}   goal >= {GOAL_NUMPY}")
    print(f"shards / PNG-in-Parquet {ours / png:6.1f}   goal >= {GOAL_PNG:.0f}")
    sys.exit(0 if ours / numpy_load >= GOAL_NUMPY and ours / png >= GOAL_PNG else 1)


def draw_images() -> LabelledImages:
    """Smooth colours with some noise: PNG finds about as much to compress in them as in photographs."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 200, (NUM_IMAGES, 8, 8, 3), dtype=np.uint8)
    smooth = coarse.repeat(4, axis=1).repeat(4, axis=2)
    noise = rng.integers(0, 16, smooth.shape, dtype=np.uint8)
    return LabelledImages(smooth + noise, np.arange(NUM_IMAGES) % 10, tuple("abcdefghij"))


def write_forms(folder: Path, images: LabelledImages) -> dict[str, tuple[Path, int, Read]]:
    """The same images in three forms: name => (path, number of images, its reader)."""
    index = np.arange(NUM_IMAGES)
    write_split(folder / "shards", "train", images, index=index, seed=0, generator="benchmark")
    np.save(folder / "images.npy", images.images)
    write_png_parquet(folder / "png.parquet", images.images[:NUM_PNG_IMAGES])
    return {
        "shards of stored PNGs, our reader": (folder / "shards", NUM_IMAGES, read_shards),
        "np.load": (folder / "images.npy", NUM_IMAGES, read_numpy),
        "PNG-in-Parquet, decoded by Pillow": (folder / "png.parquet", NUM_PNG_IMAGES, read_png_parquet),
    }


def write_png_parquet(path: Path, images: Pixels) -> None:
    """Compressed PNGs in one binary column."""
    encoded = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        encoded.append(buffer.getvalue())
    pq.write_table(pa.table({"image": pa.array(encoded, pa.binary())}), path, row_group_size=ROW_GROUP_ROWS)


def read_shards(path: Path) -> torch.Tensor:
    """Ours => uint8 NHWC; labels and class names are read and checked as well."""
    return torch.from_numpy(read_images(path).images)


def read_numpy(path: Path) -> torch.Tensor:
    """The limit: one file of nothing but pixels."""
    return torch.from_numpy(np.load(path))


def read_png_parquet(path: Path) -> torch.Tensor:
    """The peer: each row through Pillow."""
    rows = pq.read_table(path, use_threads=False).column("image")
    return torch.from_numpy(np.stack([np.asarray(Image.open(io.BytesIO(row.as_py()))) for row in rows]))


def check(forms: dict[str, tuple[Path, int, Read]], images: LabelledImages) -> None:
    """Each form gives the pixels; also warms the page cache and the imports."""
    for path, count, read in forms.values():
        assert (read(path).numpy() == images.images[:count]).all()


def measure(forms: dict[str, tuple[Path, int, Read]]) -> dict[str, float]:
    """Median images per second of CPU time; the forms take turns, so that a slow minute hits all."""
    rates: dict[str, list[float]] = {form: [] for form in forms}
    for _ in range(ROUNDS):
        for form, (path, count, read) in forms.items():
            start = time.process_time()
            tensor = read(path)
            rates[form].append(count / (time.process_time() - start))
            del tensor
    return {form: statistics.median(values) for form, values in rates.items()}


if __name__ == "__main__":
    main()
