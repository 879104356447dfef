"""What goes wrong while a GAN trains is seen, and repaired or said."""

import math
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.assessment.fidelity import Features
from pipeline.assessment.judge import Judge
from pipeline.assessment.probe import GeneratorProbe
from pipeline.gan import training
from pipeline.gan.health import find_alarm
from pipeline.gan.networks import (
    ImageShape,
    PixelShuffleGenerator,
    PixelUnshuffleDiscriminator,
)
from pipeline.gan.state import Row
from pipeline.gan.training import Callbacks, Realness
from pipeline.images import LabelledImages
from pipeline.params.schema import Params
from pipeline.runtime.errors import UserError
from tests.gan_inputs import FINE, RECIPES, Draw, kept, make_gan, seeing, strict, train


def row(step: int, **changes: float) -> Row:
    """A healthy probe but for `changes`."""
    return {"step": float(step), "loss_d": 0.6} | FINE | changes


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(6)], ""),
        ([row(3, loss_d=math.nan)], "not finite"),
        ([row(1, loss_d=0.01), row(2, loss_d=0.01), row(3, loss_d=0.01)], "has won"),
        ([row(1), row(2, loss_d=0.01), row(3, loss_d=0.01)], ""),
        ([row(1, loss_d=0.6931), row(2, loss_d=0.6931), row(3, loss_d=0.6931)], "is dead"),
        ([row(n, overfitting=1.6) for n in (1, 2, 3)], "by heart"),
        ([row(1), row(2, overfitting=1.6), row(3, overfitting=1.6)], ""),
        ([row(6, gan_test_weakest=0.0)], "a class is lost"),
        ([row(2, gan_test_weakest=0.0)], ""),  # within the time of grace
        ([row(6, diversity_weakest=0.01)], "a class has collapsed"),
        ([row(3, coverage=0.9), row(6, coverage=0.1)], "coverage fell from 0.90 to 0.10"),
    ],
)
def test_every_alarm_has_its_cause(tiny: Params, rows: list[Row], message: str) -> None:
    """Each threshold is crossed alone; healthy rows, one bad probe and the time of grace ring nothing."""
    alarm = find_alarm(make_gan(tiny, "r3", health=strict(tiny, grace_percent=50)), rows)
    assert message in alarm
    assert bool(message) == bool(alarm)


def test_a_collapse_goes_back_to_the_best_state(tiny: Params, patches: LabelledImages, tmp_path: Path) -> None:
    """Training resumes from the probe with the best CAS so far, with other draws, and the history shows it."""
    gan = make_gan(tiny, "r3", health=strict(tiny))
    rows: list[Row] = [{}, {"diversity_weakest": 0.01}, {"cas": 0.6}]
    trained = train(gan, patches, tmp_path, seeing(rows))
    assert [(row["step"], row["restarts"]) for row in trained.history] == [(3, 0), (6, 0), (6, 1), (8, 1)]
    assert trained.history[1]["loss_d"] != trained.history[2]["loss_d"]
    assert kept(trained, gan) == (6, 1, False)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_planted_divergence_is_caught_and_repaired(
    tiny: Params, patches: LabelledImages, tmp_path: Path, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learning rate that destroys the weights rings; once it is sane again, training ends well.

    Three restarts on the way: the gradient penalty of the second and third is added to every recipe.
    """
    factors = [1e30, 1e30, 1e30, 1.0]
    monkeypatch.setattr(training, "learning_rate", lambda gan, step, restarts: 5e-4 * factors[restarts])
    trained = train(make_gan(tiny, recipe), patches, tmp_path)
    assert trained.description.restarts == 3
    assert not trained.description.degraded
    assert all(torch.isfinite(weight).all() for weight in trained.sampler.network.state_dict().values())
    assert any("penalty" in row for row in trained.history if row["restarts"] == 3)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_learning_rate_a_thousand_times_too_high_rings(
    tiny: Params, patches: LabelledImages, tmp_path: Path, recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Within twice `patience` probes the losses alone raise an alarm, however good the images look to the judge."""
    patience = tiny.gan.health.patience
    gan = make_gan(tiny, recipe, steps=4 * patience, probe_every=1)
    values = gan.values.model_copy(update={"learning_rate": 1000 * gan.values.learning_rate})
    with suppress(UserError):  # a recipe that is never healthy stops with one line, the others go on
        train(gan.model_copy(update={recipe: values}), patches, tmp_path)
    first = re.search(r"train_gan: step (\d+): .*; back to step", capsys.readouterr().err)
    assert first
    assert int(first[1]) <= 2 * patience


class Forgetful(PixelShuffleGenerator):
    """Ignores z while `memory` is 0, so that all images of a class are one."""

    memory = 0.0

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return super().forward(z * self.memory, y)


def build_forgetful(latent_dim: int, width: int, shape: ImageShape) -> tuple[nn.Module, nn.Module]:
    """A generator that has collapsed, and a sound discriminator."""
    return Forgetful(latent_dim, width, shape), PixelUnshuffleDiscriminator(width, shape)


@pytest.mark.parametrize(("knows_it", "weakest"), [(True, 0.0), (False, 1.0)])
def test_a_class_that_the_judge_does_not_know_is_not_asked_about(
    tiny: Params, patches: LabelledImages, knows_it: bool, weakest: float
) -> None:
    """The third class is never seen in generated images: it is lost if the judge sees it in real ones, else unknown."""
    drawn = LabelledImages(patches.images // 2, patches.labels, patches.class_names)

    def answer(data: LabelledImages) -> Features:
        is_real = data.images.max() > 127
        seen_as = np.array([0, 1, 2 if is_real and knows_it else 0])
        probabilities: Features = np.eye(3, dtype=np.float32)[seen_as[data.labels]]
        return probabilities

    judge = Judge("planted", lambda data: data.images.reshape(len(data), -1).astype(np.float32), answer)
    probe = GeneratorProbe(tiny.gan.health, patches, patches, judge, measure_cas=lambda drawn: 0.5)
    numbers = probe(lambda count: drawn, lambda data: np.zeros(len(data), np.float32), with_cas=False)
    assert numbers["gan_test_weakest"] == weakest


def test_a_planted_collapse_is_caught_and_repaired(
    tiny: Params, patches: LabelledImages, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A generator that ignores z rings at the first probe; when it listens again, training ends well."""
    lenient = {"grace_percent": 0, "min_gan_test": 0.0, "min_diversity": 1e-4, "max_coverage_drop": 1.0}
    health = tiny.gan.health.model_copy(update=lenient)
    gan = make_gan(tiny, "r3", health=health, networks="tests.test_gan_health:build_forgetful")
    pixels = Judge(
        "pixels",
        lambda data: data.images.reshape(len(data), -1).astype(np.float32) / np.float32(255),
        lambda data: np.eye(3, dtype=np.float32)[data.labels],
    )
    probe = GeneratorProbe(health, patches, patches, pixels, measure_cas=lambda drawn: 0.5)

    def see_and_heal(draw: Draw, realness: Realness, *, with_cas: bool) -> Row:
        numbers = probe(draw, realness, with_cas=with_cas)
        Forgetful.memory = 1.0
        return numbers

    Forgetful.memory = 0.0
    trained = train(gan, patches, tmp_path, Callbacks(see_and_heal, lambda row, sampler: None, lambda: 0))
    assert capsys.readouterr().err.count("a class has collapsed") == 1
    assert (trained.description.restarts, trained.description.degraded) == (1, False)
    assert trained.history[-1]["diversity_weakest"] > 1e-4


def test_what_stays_bad_is_published_as_degraded(tiny: Params, patches: LabelledImages, tmp_path: Path) -> None:
    """After the last restart the best state is kept and marked, not thrown away."""
    rows: list[Row] = [{}] + [{"gan_test_weakest": 0.0}] * 4
    gan = make_gan(tiny, "r3", health=strict(tiny))
    trained = train(gan, patches, tmp_path, seeing(rows))
    assert kept(trained, gan) == (3, 3, True)


def test_what_was_never_healthy_is_one_line(tiny: Params, patches: LabelledImages, tmp_path: Path) -> None:
    """A learning rate far too high ends, after all restarts, with the alarm and what to do."""
    gan = make_gan(tiny, "r3", r3=tiny.gan.r3.model_copy(update={"learning_rate": 1e30}))
    with pytest.raises(UserError, match=r"not finite\); lower gan.r3.learning_rate"):
        train(gan, patches, tmp_path)
