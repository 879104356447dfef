"""What looking at a GAN and saving it cost beside its training: `python -m benchmarks.gan_watch`, values as configure.

Times a training step, a probe, a small CAS and a checkpoint of the profile's recipe on random images, and gives each
as a share of the training that lies between two of them. A checkpoint is written every SECONDS_BETWEEN_SAVES.
"""

import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

from benchmarks.gan_step import HEALTHY, own_rate
from pipeline.assessment.fidelity import Features
from pipeline.assessment.judge import judge_by
from pipeline.assessment.probe import GeneratorProbe
from pipeline.classifier.inference import measure_accuracy, predict
from pipeline.classifier.network import build_network, choose_architecture
from pipeline.classifier.training import train_unmixed
from pipeline.device import describe_environment, pick_device
from pipeline.gan.training import SECONDS_BETWEEN_SAVES, Callbacks, Realness, train_gan
from pipeline.images import LabelledImages
from pipeline.params.compose import compose_params
from pipeline.params.load import parse_params
from pipeline.params.schema import GanParams
from pipeline.runtime.checkpoint import load_state, save_state
from pipeline.runtime.errors import StoppedError

ROUNDS = 3
GOALS = {"probe": 3.0, "checkpoint": 2.0}  # percent of training
Draw = Callable[[int], LabelledImages]
Critique = Callable[[LabelledImages], Features]


def main() -> None:
    """Prints seconds and shares; a goal stands beside each share that has one."""
    params, device = parse_params(compose_params(sys.argv[1:])), pick_device()
    gan, size = params.gan, params.dataset.image_size
    channels = 1 if params.dataset.name == "digits" else 3
    pixels = np.random.Generator(np.random.Philox(0)).integers(
        0, 256, (params.dataset.train_size, size, size, channels)
    )
    real = LabelledImages(pixels.astype(np.uint8), np.arange(len(pixels)) % 10, tuple("0123456789"))
    val = real.select(np.arange(params.dataset.select_size, dtype=np.int64))
    network = build_network(choose_architecture(gan.judge, real), seed=0).to(device)
    judge = judge_by("judge", network)

    def measure_cas(drawn: LabelledImages) -> float:
        network = train_unmixed(gan.judge, drawn, val, synthetic=True, seed=0, device=device)
        return measure_accuracy(predict(network, val, flip=False), val)

    probe = GeneratorProbe(gan.health, real, val, judge, measure_cas)
    step = gan.batch_size / own_rate(gan.model_copy(update={"probe_every": 10**9}), real, device)
    seconds = time_looks(gan, real, probe, device) | {"checkpoint": time_checkpoint(gan, real, device)}
    between = {"probe": gan.probe_every * step, "cas": gan.health.cas_every * step, "checkpoint": SECONDS_BETWEEN_SAVES}
    print(
        f"{params.dataset.name}, profile {params.profile}, recipe {gan.recipe}, median of {ROUNDS}; a step takes "
        f"{1000 * step:.0f} ms; {describe_environment(device)}"
    )
    for part, value in seconds.items():
        goal = f" (goal < {GOALS[part]:.0f} %)" if part in GOALS else ""
        print(
            f"{part:10} {value:6.2f} s, every {between[part]:6.1f} s of training: "
            f"{100 * value / between[part]:.2f} %{goal}"
        )


def time_looks(
    gan: GanParams, real: LabelledImages, generator_probe: GeneratorProbe, device: torch.device
) -> dict[str, float]:
    """Median seconds of a probe without CAS and of the CAS, each on the images of a hardly trained generator."""
    spent: dict[str, list[float]] = {"probe": [], "cas": []}

    def timed(draw: Draw, realness: Realness, **_: bool) -> dict[str, float]:
        started = time.perf_counter()
        generator_probe(draw, realness, with_cas=False)
        looked = time.perf_counter()
        generator_probe.measure_cas(draw(gan.health.cas_images))
        spent["probe"].append(looked - started)
        spent["cas"].append(time.perf_counter() - looked)
        return dict(HEALTHY)

    short = gan.model_copy(update={"steps": ROUNDS, "probe_every": 1})
    with tempfile.TemporaryDirectory() as folder:
        train_gan(
            short,
            real,
            seed=0,
            device=device,
            folder=Path(folder),
            callbacks=Callbacks(timed, lambda *_: None, lambda: 0),
        )
    return {part: statistics.median(times) for part, times in spent.items()}


def time_checkpoint(gan: GanParams, real: LabelledImages, device: torch.device) -> float:
    """Median seconds of writing the state that a stopped training leaves."""
    callbacks = Callbacks(lambda *_, **__: dict(HEALTHY), lambda *_: None, lambda: signal.SIGTERM)
    with tempfile.TemporaryDirectory() as folder:
        with suppress(StoppedError):
            train_gan(gan, real, seed=0, device=device, folder=Path(folder), callbacks=callbacks)
        state, times = load_state(Path(folder) / "state.pt"), []
        assert state is not None, "a stopped training saves first"
        for _ in range(ROUNDS):
            started = time.perf_counter()
            save_state(Path(folder) / "again.pt", state)
            times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    main()
