"""What a GAN costs at every side that it draws: `python -m benchmarks.gan_sizes`, further values as for configure.

For each of GAN_SIZES, images a second of processor time in training steps of `gan.recipe` on noise, and the hours that
`gan.steps` take of one core. Other work on the machine does not count. A few steps are timed: at 128 pixels one takes
seconds.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.gan_step import HEALTHY
from pipeline.device import describe_environment, pick_device
from pipeline.gan.training import Callbacks, train_gan
from pipeline.images import LabelledImages
from pipeline.params.compose import compose_params
from pipeline.params.load import parse_params
from pipeline.params.schema import GAN_SIZES, GanParams

TIMED = 4  # steps, of which one has the penalty of `r3`


def main() -> None:
    """Prints a line a side, and how many times as long a step takes as at the side before."""
    params, device = parse_params(compose_params(sys.argv[1:])), pick_device(1)
    gan, before = params.gan, None
    print(f"{gan.recipe}, batches of {gan.batch_size}, {TIMED} steps; {describe_environment(device)}")
    for size in GAN_SIZES:
        seconds = step_seconds(gan, size, device)
        times = f", {seconds / before:.1f} times the step before" if before else ""
        print(
            f"{size:3} pixels {gan.batch_size / seconds:8,.1f} img/s   {gan.steps:,} steps take "
            f"{seconds * gan.steps / 3600:.1f} h{times}",
            flush=True,
        )
        before = seconds


def step_seconds(gan: GanParams, size: int, device: torch.device) -> float:
    """Processor time of a training step on images of this side, the mean over TIMED steps after the first."""
    pixels = np.random.default_rng(0).integers(0, 256, (gan.batch_size, size, size, 3), dtype=np.uint8)
    real = LabelledImages(pixels, np.arange(gan.batch_size) % 10, tuple("0123456789"))
    ends: list[float] = []

    def tell_time() -> int:
        ends.append(time.process_time())
        return 0

    short = gan.model_copy(update={"steps": TIMED + 2, "probe_every": 10**9})  # a probe follows the last
    with tempfile.TemporaryDirectory() as folder:
        callbacks = Callbacks(lambda *_, **__: dict(HEALTHY), lambda *_: None, tell_time)
        train_gan(short, real, seed=0, device=device, folder=Path(folder), callbacks=callbacks)
    return (ends[TIMED] - ends[0]) / TIMED


if __name__ == "__main__":
    main()
