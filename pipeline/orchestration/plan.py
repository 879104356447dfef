"""`synthmix plan`: what an ablation will cost on this machine, and what it will be able to see, before it is run."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipeline.classifier.corruptions import CORRUPTIONS
from pipeline.classifier.inference import predict
from pipeline.classifier.mixture import Mixture
from pipeline.classifier.network import Network
from pipeline.classifier.rival import with_rival
from pipeline.classifier.training import VALIDATIONS, TrainingData, train_classifier
from pipeline.device import pick_device
from pipeline.evaluation.power import plan_power
from pipeline.evaluation.report.write import align
from pipeline.evaluation.result import read_result
from pipeline.gan.training import Callbacks, train_gan
from pipeline.images import LabelledImages, empty_like
from pipeline.orchestration.times import duration
from pipeline.params.schema import ClassifierParams, Params
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import Progress

FEW, MORE = 2, 8  # steps of the two timed trainings: their difference is free of what a start costs
NUM_CLASSES = 10  # of the random images that are trained on
RESULT = Path("results/ablation.json")
UNTIMED = "Cells are timed as if the network of params.yaml were trained: what classifier.train takes is not known."
HEALTHY = {"gan_test_weakest": 1.0, "diversity_weakest": 1.0, "coverage": 1.0, "overfitting": 0.0, "cas": 1.0}


@dataclass(frozen=True)
class Cost:
    """Trainings of one kind: how many, and processor seconds each."""

    stage: str
    count: int
    seconds: float


def describe_plan(params: Params, jobs: int, std_points: float | None) -> str:
    """Cost and power of the ablation that `params` declare.

    Args:
        params: all of them.
        jobs: trainings at once.
        std_points: standard deviation of the paired differences, in points; None: that of results/ablation.json.

    Raises:
        UserError: no standard deviation is given and there is no result to take it from.
    """
    costs = measure_costs(params)
    total = sum(cost.count * cost.seconds for cost in costs)
    rows = [("stage", "trainings", "each", "all")]
    rows += [
        (cost.stage, f"{cost.count}", duration(cost.seconds), duration(cost.count * cost.seconds)) for cost in costs
    ]
    return "\n".join(
        [
            *align(rows),
            f"About {duration(total)} of one core: {duration(total / jobs)} with {jobs} trainings at once, timed on "
            "random images of this size. Prepare, synthesize, assess and evaluate come on top, minutes together.",
            *([UNTIMED] if params.classifier.train else []),
            power_sentence(params, std_points),
        ]
    )


def power_sentence(params: Params, std_points: float | None) -> str:
    """What the declared replicates will be able to see."""
    origin = "as given"
    if std_points is None and not RESULT.exists():
        raise UserError(f"plan: there is no {RESULT} to take a standard deviation from; name one in points: --std 0.5")
    if std_points is None:
        std_points, origin = read_result(RESULT).power.std_points, f"as in {RESULT}"
    grid = params.ablation
    n, percents, margin = len(grid.replicates), len(grid.synthetic_percent), grid.margin_points
    planned = plan_power(std_points, n, percents, margin)
    return (
        f"With {n} replicates and {percents} shares, where differences vary by {std_points:.2f} points between "
        f"replicates ({origin}): {planned.detectable:.2f} points are detected in 80 % of runs, the margin of "
        f"{margin:g} points in {100 * planned.power_at_margin:.0f} %; to detect that in 80 % takes "
        f"{planned.replicates_for_margin:,} replicates."
    )


# ---- cost -----------------------------------------------------------------------------------------------------


def measure_costs(params: Params) -> list[Cost]:
    """Processor seconds of every kind of training, from a few steps of each on random images."""
    device, grid = pick_device(params.ablation.threads), params.ablation
    replicates, percents = len(grid.replicates), len(grid.synthetic_percent)
    with Progress("plan", total=3, unit="probe") as progress:
        gan = _time_gan(params, device) if params.synthesize.source == "gan" else 0.0
        progress.advance(1)
        judge = _time_classifier(params.gan.judge, params, device)
        progress.advance(1)
        cell = _time_classifier(params.classifier, params, device)
        progress.advance(1)
    cas = params.gan.steps // params.gan.health.cas_every + 1
    judges = (cas + 1) * params.gan.judge.steps * judge.step
    looks = (
        params.dataset.test_size + (VALIDATIONS + 1) * params.dataset.val_size + len(CORRUPTIONS) * grid.num_corrupted
    )
    ends = looks * cell.image
    rivals = sum(with_rival(params, rival).steps for rival in grid.rivals)
    one = params.classifier.steps * cell.step + ends
    costs = [
        *([Cost("train_gan", replicates, params.gan.steps * gan + judges)] if gan else []),
        Cost("train_baseline", replicates * len(grid.real_percent), one),
        Cost("train_control", replicates * percents * len(grid.controls), one),
        Cost("train_classifier", replicates * percents, one),
    ]
    if grid.rivals:
        each = rivals * cell.step / len(grid.rivals) + ends
        costs.append(Cost("train_rival", replicates * len(grid.rivals), each))
    return costs


@dataclass(frozen=True)
class _Speed:
    """Processor seconds of a training step, and of one image that is classified."""

    step: float
    image: float


def _time_gan(params: Params, device: torch.device) -> float:
    """Processor seconds of one step."""
    images = _random_images(params, params.gan.batch_size)
    callbacks = Callbacks(lambda *_, **__: dict(HEALTHY), lambda *_: None, lambda: 0)

    def train(steps: int) -> None:
        gan = params.gan.model_copy(update={"steps": steps, "probe_every": steps})
        with tempfile.TemporaryDirectory() as folder:
            train_gan(gan, images, seed=0, device=device, folder=Path(folder), callbacks=callbacks)

    return _slope(train)


def _time_classifier(classifier: ClassifierParams, params: Params, device: torch.device) -> _Speed:
    images = _random_images(params, classifier.batch_size)
    data = TrainingData(images, empty_like(images), images.select(np.arange(NUM_CLASSES)))
    networks: list[Network] = []

    def train(steps: int) -> None:
        mixture = Mixture("batch", 0, classifier.batch_size, steps)
        networks.append(train_classifier(classifier, data, mixture, seed=0, device=device).network)

    step, began = _slope(train), time.process_time()
    predict(networks[-1], images, flip=classifier.flip)
    return _Speed(step, (time.process_time() - began) / len(images))


def _slope(train: Callable[[int], None]) -> float:
    """Processor seconds that one more step takes."""
    train(FEW)  # the first one loads and compiles
    spent = []
    for steps in (FEW, MORE):
        began = time.process_time()
        train(steps)
        spent.append(time.process_time() - began)
    return max(0.0, spent[1] - spent[0]) / (MORE - FEW)


def _random_images(params: Params, count: int) -> LabelledImages:
    size, channels = params.dataset.image_size, 1 if params.dataset.name == "digits" else 3
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, channels), np.uint8)
    names = tuple(map(str, range(NUM_CLASSES)))
    return LabelledImages(images, np.arange(count, dtype=np.int64) % NUM_CLASSES, names)
