"""Trainings of tiny GANs, and the probes that watch them in tests."""

from collections.abc import Callable
from pathlib import Path

import torch

from pipeline.gan.labels import Labels
from pipeline.gan.state import Row
from pipeline.gan.training import Callbacks, Realness, TrainedGan, train_gan
from pipeline.gan.transfer import Start
from pipeline.images import LabelledImages
from pipeline.params.schema import GanParams, HealthParams, Params

CPU = torch.device("cpu")
RECIPES = ["r3", "hinge_sn", "dcgan"]
THREE = Labels.balanced(3)  # the classes of `patches`
FINE = {"gan_test": 0.9, "gan_test_weakest": 0.8, "diversity_weakest": 1.0, "coverage": 0.9, "overfitting": 0.1}


Draw = Callable[[int], LabelledImages]


def sees_nothing_wrong(draw: Draw, realness: Realness, *, with_cas: bool) -> Row:
    """Sees nothing wrong."""
    return FINE | ({"cas": 0.5} if with_cas else {})


def seeing(rows: list[Row], stop_wanted: Callable[[], int] = lambda: 0) -> Callbacks:
    """A probe that sees `rows` one after the other, then nothing wrong."""
    left = list(rows)

    def see(draw: Draw, realness: Realness, *, with_cas: bool) -> Row:
        return sees_nothing_wrong(draw, realness, with_cas=with_cas) | (left.pop(0) if left else {})

    return Callbacks(see, on_probe=lambda row, sampler: None, stop_wanted=stop_wanted)


QUIET = seeing([])


def make_gan(tiny: Params, recipe: str, **changes: object) -> GanParams:
    """The tiny values with another recipe."""
    return tiny.gan.model_copy(update={"recipe": recipe, **changes})


def train(
    gan: GanParams,
    real: LabelledImages,
    folder: Path,
    callbacks: Callbacks = QUIET,
    *,
    seed: int = 0,
    start: Start | None = None,
) -> TrainedGan:
    """Training on the CPU, its state in `folder`."""
    return train_gan(gan, real, seed=seed, device=CPU, folder=folder, callbacks=callbacks, start=start)


def assert_equal(first: TrainedGan, second: TrainedGan) -> None:
    """Histories and weights of the averaged generators are equal to the bit."""
    assert first.history == second.history
    weights = second.sampler.network.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in first.sampler.network.state_dict().items())


def kept(trained: TrainedGan, gan: GanParams) -> tuple[int, int, bool]:
    """Step of the state that was kept, restarts on the way, and whether alarms outlasted them."""
    about = trained.description
    return about.images_seen // gan.batch_size, about.restarts, about.degraded


def strict(tiny: Params, **changes: float) -> HealthParams:
    """Thresholds that a GAN must pass from its first probe on, unlike those of the tiny run."""
    thresholds = {"min_gan_test": 0.05, "min_diversity": 0.1, "max_coverage_drop": 0.4, "grace_percent": 0}
    return tiny.gan.health.model_copy(update=thresholds | changes)
