import copy
import math
import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pipeline.assessment.judge import Judge
from pipeline.assessment.probe import GeneratorProbe
from pipeline.gan import losses, training
from pipeline.gan.augment import flip, translate
from pipeline.gan.build import build_networks
from pipeline.gan.discriminator import TrainedDiscriminator
from pipeline.gan.ema import update_ema
from pipeline.gan.health import find_alarm
from pipeline.gan.labels import Labels, choose_labels
from pipeline.gan.networks import (
    ImageShape,
    PixelShuffleGenerator,
    PixelUnshuffleDiscriminator,
    normalize_spectrum,
)
from pipeline.gan.recipes import Views, discriminator_loss
from pipeline.gan.sampling import BLOCK, Sampler
from pipeline.gan.schedule import ema_decay
from pipeline.gan.state import Row
from pipeline.gan.training import Callbacks, Realness, TrainedGan, train_gan
from pipeline.images import LabelledImages
from pipeline.params.schema import GanParams, HealthParams, Params
from pipeline.randomness import latents
from pipeline.runtime.errors import StoppedError, UserError
from pipeline.runtime.signals import hold_signals

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


def train(gan: GanParams, real: LabelledImages, folder: Path, callbacks: Callbacks = QUIET) -> TrainedGan:
    """Training on the CPU, its state in `folder`."""
    return train_gan(gan, real, device=CPU, folder=folder, callbacks=callbacks)


def assert_equal(first: TrainedGan, second: TrainedGan) -> None:
    """Histories and weights of the averaged generators are equal to the bit."""
    assert first.history == second.history
    weights = second.sampler.network.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in first.sampler.network.state_dict().items())


def kept(trained: TrainedGan, gan: GanParams) -> tuple[int, int, bool]:
    """Step of the state that was kept, restarts on the way, and whether alarms outlasted them."""
    about = trained.description
    return about.images_seen // gan.batch_size, about.restarts, about.degraded


def softplus(x: float) -> float:
    """log(1 + e^x), as the papers write it."""
    return math.log1p(math.exp(x))


class LinearDiscriminator(nn.Module):
    """D(x) = w . x, so that losses and penalties have values to compute by hand."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        logit = (x * self.weight).sum((1, 2, 3))
        return logit, torch.stack([logit, -logit], 1)


# ---- networks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_keep_their_signatures(tiny: Params, recipe: str, size: int, channels: int) -> None:
    """(z, y) gives images in [-1, 1] of the asked size; (image, y) gives one logit an image."""
    gan, shape = make_gan(tiny, recipe), ImageShape(size, channels, 10)
    generator, discriminator = build_networks(gan, shape)
    images = generator(torch.randn(4, gan.values.latent_dim), torch.arange(4))
    assert images.shape == (4, channels, size, size)
    assert images.abs().max() <= 1
    logits, classes = discriminator(images, torch.arange(4))
    assert logits.shape == (4,)
    assert (classes is None) if recipe == "dcgan" else (classes.shape == (4, 10))


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_class_matters_to_both_networks(tiny: Params, recipe: str) -> None:
    """Another label gives another logit, and after a step of training another image."""
    gan = make_gan(tiny, recipe)
    generator, discriminator = build_networks(gan, ImageShape(16, 1, 10))
    for module in generator.modules():  # class gains start equal, as they should
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight)
    z = torch.randn(2, gan.values.latent_dim)
    first, second = (generator(z, torch.full((2,), label)) for label in (0, 1))
    assert not torch.allclose(first, second)
    assert not torch.allclose(*(discriminator(first, torch.full((2,), label))[0] for label in (0, 1)))


def test_networks_are_a_function_of_the_seed(tiny: Params) -> None:
    """Equal seeds give equal weights, whatever was drawn before, and leave torch's own stream alone."""
    shape = ImageShape(16, 1, 10)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = build_networks(make_gan(tiny, "r3"), shape)[0].state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.randn(3)
    second = build_networks(make_gan(tiny, "r3"), shape)[0].state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


# ---- losses --------------------------------------------------------------------------------------------------


def test_losses_have_their_hand_values() -> None:
    """With D(x) = sum(x), one real image of logit 2 and one generated of logit -1, every loss is known."""
    discriminator = LinearDiscriminator(torch.ones(1, 2, 2))
    real, fake, y = (
        torch.full((1, 1, 2, 2), 0.5),
        torch.full((1, 1, 2, 2), -0.25),
        torch.zeros(1, dtype=torch.long),
    )
    assert losses.dcgan_discriminator(discriminator, real, fake, y)[0].item() == pytest.approx(
        softplus(-2) + softplus(-1)
    )
    assert losses.dcgan_generator(discriminator, fake, y)[0].item() == pytest.approx(softplus(1))
    r3_d = losses.relativistic_discriminator(discriminator, real, fake, y, auxiliary_weight=0.5, gamma=None)[0]
    assert r3_d.item() == pytest.approx(softplus(-3) + 0.5 * softplus(-4))
    r3_g = losses.relativistic_generator(discriminator, real, fake, y, auxiliary_weight=0.5)[0]
    assert r3_g.item() == pytest.approx(softplus(3) + 0.5 * softplus(2))
    weights = {"auxiliary_weight": 0.5, "consistency_weight": 10.0}
    hinge_d = losses.hinge_discriminator(discriminator, real, real + 0.125, fake - 0.125, y, **weights)[0]
    assert hinge_d.item() == pytest.approx(0 + 0 + 0.5 * softplus(-4) + 10 * 0.5**2)  # logits 2, 2.5 and -1.5
    assert losses.hinge_discriminator(discriminator, -real, -real, -fake, y, **weights)[0].item() == pytest.approx(
        3 + 2 + 0.5 * softplus(4)
    )
    assert losses.hinge_generator(discriminator, fake, y, auxiliary_weight=0.5)[0].item() == pytest.approx(
        1 + 0.5 * softplus(2)
    )


def test_spectral_norm_agrees_with_an_svd() -> None:
    """After some passes the largest singular value of every weight of D is 1."""
    torch.manual_seed(0)
    discriminator = PixelUnshuffleDiscriminator(8, ImageShape(16, 1, 3))
    normalize_spectrum(discriminator)
    with torch.no_grad():
        for _ in range(200):
            discriminator(torch.randn(2, 1, 16, 16), torch.zeros(2, dtype=torch.long))
    for name, module in discriminator.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
            largest = torch.linalg.svdvals(module.weight.flatten(1))[0].item()
            assert largest == pytest.approx(1, abs=0.02), name


def test_penalty_is_the_squared_gradient_by_finite_differences() -> None:
    """R1's gradient norm agrees with central differences of the discriminator, in double precision."""
    torch.manual_seed(0)
    discriminator = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 1)).double()
    x = torch.randn(2, 1, 4, 4, dtype=torch.double, requires_grad=True)
    penalty = losses.gradient_penalty(discriminator(x).squeeze(1), x).item()
    step, total = 1e-5, 0.0
    for i in range(x.numel()):
        shift = torch.zeros(x.numel(), dtype=torch.double)
        shift[i] = step
        shift = shift.reshape(x.shape)
        total += ((discriminator(x + shift) - discriminator(x - shift)).sum().item() / (2 * step)) ** 2
    assert penalty == pytest.approx(total / 2, rel=1e-6)


@pytest.mark.parametrize("restarts", [0, 3])
def test_the_lazy_penalty_weighs_as_much_as_one_every_step(tiny: Params, restarts: int) -> None:
    """Every k steps loss with minus loss without = gamma / 2 * k * (R1 + R2); the third restart makes it nine-fold."""
    weight = torch.tensor([[[1.0, -2.0], [0.5, 0.0]]])
    discriminator, x, y = LinearDiscriminator(weight), torch.zeros(3, 1, 2, 2), torch.zeros(3, dtype=torch.long)
    gan = make_gan(tiny, "r3", r3=tiny.gan.r3.model_copy(update={"gamma": 0.4, "penalty_every": 4}))
    on, off = (
        discriminator_loss(discriminator, Views(x, x, x, y), gan, step=step, restarts=restarts)[0].item()
        for step in (8, 9)
    )
    stronger = 9 if restarts else 1
    assert on - off == pytest.approx(stronger * 0.4 / 2 * 4 * 2 * weight.square().sum().item())


def test_the_penalty_reaches_the_weights() -> None:
    """The penalty is differentiated through: a linear discriminator's weight gets the gradient 2 * gamma * w."""
    weight = torch.tensor([[[1.0, -2.0], [0.5, 0.0]]])
    discriminator, x, y = LinearDiscriminator(weight.clone()), torch.zeros(2, 1, 2, 2), torch.zeros(2, dtype=torch.long)
    losses.relativistic_discriminator(discriminator, x, x, y, auxiliary_weight=0.0, gamma=1.2)[0].backward()
    assert discriminator.weight.grad is not None
    assert torch.allclose(discriminator.weight.grad, 2 * 1.2 * weight)


# ---- augmentation, average ----------------------------------------------------------------------------------


def test_translate_moves_down_and_right_and_lets_gradients_through() -> None:
    """Pixel (r, c) goes to (r + down, c + right); what leaves gets no gradient."""
    images = torch.arange(9.0).reshape(1, 1, 3, 3).requires_grad_()
    moved = translate(images, torch.tensor([[1, -1]]), 2)
    assert moved[0, 0].tolist() == [[0, 0, 0], [1, 2, 0], [4, 5, 0]]
    moved.sum().backward()
    assert images.grad is not None
    assert images.grad[0, 0].tolist() == [[0, 1, 1], [0, 1, 1], [0, 0, 0]]


def test_flip_mirrors_only_the_chosen() -> None:
    """Left and right change places where asked, nothing moves elsewhere."""
    images = torch.arange(4.0).reshape(2, 1, 1, 2)
    assert flip(images, torch.tensor([True, False])).flatten().tolist() == [1, 0, 2, 3]


def test_average_follows_its_closed_form() -> None:
    """After k steps from a to constant b: b + (a - b) * decay^k; and half is left after the half-life."""
    average, model = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.constant_(average.weight, 3.0)
    nn.init.constant_(model.weight, 1.0)
    decay = ema_decay(64, 10**9, 640, rampup=0.05)
    for _ in range(10):
        update_ema(average, model, decay)
    assert average.weight.item() == pytest.approx(1 + 2 * 0.5)


def test_early_average_is_not_stale() -> None:
    """The half-life is capped at `rampup` times the images seen."""
    assert ema_decay(10, 100, 10**6, rampup=0.1) == pytest.approx(0.5)
    assert ema_decay(10, 100, 10**6, rampup=0.0) == pytest.approx(1, abs=1e-4)


# ---- labels --------------------------------------------------------------------------------------------------


def test_balanced_classes_take_turns() -> None:
    """Image i shows class i mod num_classes, whatever the window."""
    assert Labels.balanced(10).at(8, 4).tolist() == [8, 9, 0, 1]


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), min_size=2, max_size=6), st.integers(0, 200), st.integers(1, 40))
def test_shares_are_exact_and_any_beginning_is_near(shares: list[int], start: int, count: int) -> None:
    """Every whole round has the shares, every beginning each class to within one image a class, none is late.

    And the class of image i does not depend on the window, so that a dataset that grows keeps its rows.
    """
    labels, total = Labels.by_share(shares), sum(shares)
    assert np.array_equal(labels.at(start, count), labels.at(0, start + count)[start:])
    assert sorted(labels.at(0, len(shares)).tolist()) == list(range(len(shares)))
    round_ = np.bincount(labels.at(start, 2 * total), minlength=len(shares))
    assert round_.tolist() == [2 * share for share in shares]
    drawn = np.bincount(labels.at(0, start), minlength=len(shares))
    assert np.abs(drawn - start * np.array(shares) / total).max() < len(shares)


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=6), st.integers(0, 200), st.integers(1, 40))
def test_filling_evens_out_what_real_images_lack(real: list[int], start: int, count: int) -> None:
    """After one image a class each goes to a class that has the fewest, as a slow loop finds them; windows agree."""
    labels, classes = Labels.filling(real), len(real)
    held = [number + 1 for number in real]
    expected = list(range(classes))
    while len(expected) < start + count:
        expected.append(held.index(min(held)))
        held[expected[-1]] += 1
    assert labels.at(start, count).tolist() == expected[start : start + count]


def test_a_class_balance_is_chosen_by_its_name() -> None:
    """Level classes make `fill` the same as `balanced`; a list needs a share a class."""
    assert np.array_equal(choose_labels("fill", [], [7, 7]).at(0, 9), choose_labels("balanced", [], [7, 7]).at(0, 9))
    assert choose_labels("fill", [], [7, 4]).at(0, 7).tolist() == [0, 1, 1, 1, 1, 0, 1]
    assert np.bincount(choose_labels("shares", [300, 100], [7, 7]).at(0, 4)).tolist() == [3, 1]
    with pytest.raises(UserError, match="class_shares has 3 numbers for 2 classes"):
        choose_labels("shares", [1, 1, 1], [7, 7])


# ---- training and sampling -----------------------------------------------------------------------------------


class KilledError(Exception):
    """Stands for a kill: nothing after it runs."""


@pytest.mark.parametrize(
    ("recipe", "rows", "killed_at"),
    [(recipe, [], 6) for recipe in RECIPES] + [("r3", [{}, {"diversity_weakest": 0.01}], 7)],
    ids=[*RECIPES, "restarted"],
)
def test_a_resumed_training_gives_the_same_numbers(
    tiny: Params,
    patches: LabelledImages,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recipe: str,
    rows: list[Row],
    killed_at: int,
) -> None:
    """Killed in any step and run again, weights and history are equal to the bit to those of a run without a save.

    Also in the step after a restart: the best state, the restarts and the history lie in the checkpoint.
    """
    gan = make_gan(tiny, recipe, flip=True, translate=2, health=strict(tiny))
    (tmp_path / "whole").mkdir()
    whole = train(gan, patches, tmp_path / "whole", seeing(rows))
    monkeypatch.setattr(training, "SECONDS_BETWEEN_SAVES", 0.0)
    steps = iter(range(1, 100))

    def die() -> int:
        if next(steps) == killed_at:
            raise KilledError
        return 0

    with pytest.raises(KilledError):
        train(gan, patches, tmp_path, seeing(rows, stop_wanted=die))
    resumed = train(gan, patches, tmp_path)
    assert whole.description.restarts == bool(rows)
    assert_equal(whole, resumed)


def test_a_signal_saves_and_the_work_goes_on(tiny: Params, patches: LabelledImages, tmp_path: Path) -> None:
    """SIGTERM in the middle of a step is obeyed after it, with the state saved, and no number differs."""
    gan = make_gan(tiny, "r3")
    whole = train(gan, patches, tmp_path)

    def terminate(rows: list[Row], sampler: Sampler) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with hold_signals() as stop_wanted, pytest.raises(StoppedError, match=r"step 3 of 8.*saved"):
        train(gan, patches, tmp_path, Callbacks(sees_nothing_wrong, terminate, stop_wanted))
    assert_equal(whole, train(gan, patches, tmp_path))


def build_own(latent_dim: int, width: int, shape: ImageShape) -> tuple[nn.Module, nn.Module]:
    """What a user brings: another generator than any recipe's."""
    generator = PixelShuffleGenerator(latent_dim, width, shape)
    generator.refine = nn.Conv2d(width, width, 5, 1, 2)
    return generator, PixelUnshuffleDiscriminator(width, shape)


def build_wrong(latent_dim: int, width: int, shape: ImageShape) -> tuple[nn.Module, nn.Module]:
    """Images of half the size."""
    smaller = ImageShape(2 * shape.size, shape.channels, shape.num_classes)
    return PixelShuffleGenerator(latent_dim, width, smaller), PixelUnshuffleDiscriminator(width, smaller)


def test_own_networks_are_trained_saved_and_loaded(tiny: Params, patches: LabelledImages, tmp_path: Path) -> None:
    """`gan.networks` names a function of the user's, and the saved generator finds it again."""
    gan = make_gan(tiny, "r3", networks="tests.test_gan:build_own")
    trained = train(gan, patches, tmp_path)
    sampler = trained.sampler
    assert sampler.network.state_dict()["refine.weight"].shape[2:] == (5, 5)
    trained.save(tmp_path / "gan")
    again = Sampler.load(tmp_path / "gan", CPU, networks="tests.test_gan:build_own").draw(
        0, 9, seed=1, std=1.0, labels=THREE
    )[0]
    assert np.array_equal(again, sampler.draw(0, 9, seed=1, std=1.0, labels=THREE)[0])


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ("tests.test_gan:build_wrong", r"images are \(2, 1, 32, 32\), not \(2, 1, 16, 16\)"),
        ("tests.test_gan:CPU", "gan.networks"),
        ("tests.test_gan:nowhere", "nowhere.*write it as module:function"),
        ("no_such_module:build", "no_such_module.*write it as module:function"),
        (":", "write it as module:function"),
    ],
)
def test_networks_that_do_not_fit_are_one_line(tiny: Params, networks: str, message: str) -> None:
    """Before any training, the line says which setting is wrong and how."""
    with pytest.raises(UserError, match=message):
        build_networks(make_gan(tiny, "r3", networks=networks), ImageShape(16, 1, 3))


def test_both_networks_learn(tiny: Params, patches: LabelledImages, tmp_path: Path) -> None:
    """A few hundred steps on three kinds of bright band: drawn classes have their band, noise scores below real."""
    gan = make_gan(tiny, "r3", steps=250, probe_every=250)
    trained = train(gan, patches, tmp_path)
    images, labels = trained.sampler.draw(0, 60, seed=0, std=1.0, labels=THREE)
    bands = np.stack([images[:, 5 * k : 5 * k + 5].mean((1, 2, 3)) for k in range(3)], 1)
    assert (bands.argmax(1) == labels).mean() > 0.9
    assert trained.history[-1]["images"] == 250 * gan.batch_size
    noise = np.random.Generator(np.random.Philox(3)).integers(0, 256, patches.images.shape).astype(np.uint8)
    fake = trained.discriminator.score(LabelledImages(noise, patches.labels, patches.class_names))
    assert np.median(trained.discriminator.score(patches)) > np.median(fake)


# ---- health ------------------------------------------------------------------------------------------------


def strict(tiny: Params, **changes: float) -> HealthParams:
    """Thresholds that a GAN must pass from its first probe on, unlike those of the tiny run."""
    thresholds = {"min_gan_test": 0.05, "min_diversity": 0.1, "max_coverage_drop": 0.4, "grace_percent": 0}
    return tiny.gan.health.model_copy(update=thresholds | changes)


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


def test_a_planted_collapse_is_caught_and_repaired(
    tiny: Params, patches: LabelledImages, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A generator that ignores z rings at the first probe; when it listens again, training ends well."""
    lenient = {"grace_percent": 0, "min_gan_test": 0.0, "min_diversity": 1e-4, "max_coverage_drop": 1.0}
    health = tiny.gan.health.model_copy(update=lenient)
    gan = make_gan(tiny, "r3", health=health, networks="tests.test_gan:build_forgetful")
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


@pytest.fixture(scope="module")
def sampler(tiny: Params, patches: LabelledImages, tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    """A generator after a few steps."""
    return train(tiny.gan, patches, tmp_path_factory.mktemp("sampler")).sampler


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2 * BLOCK), st.integers(1, 40))
def test_an_image_does_not_depend_on_the_range_it_is_drawn_in(sampler: Sampler, start: int, count: int) -> None:
    """Any cut of the range gives the same bytes, because every forward pass is a canonical block."""
    images, labels = sampler.draw(start, start + count, seed=4, std=1.0, labels=THREE)
    whole, all_labels = sampler.draw(0, start + count, seed=4, std=1.0, labels=THREE)
    assert np.array_equal(images, whole[start:])
    assert np.array_equal(labels, all_labels[start:])


class PaintsItsClass(nn.Module):
    """Images of class k have the level 100 k everywhere."""

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return (y / 1.275 - 1)[:, None, None, None].expand(len(z), 1, 16, 16)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 3 * BLOCK), st.sampled_from([THREE, Labels.by_share([1, 4, 2]), Labels.filling([300, 9, 0])]))
def test_every_image_is_asked_for_as_its_label_says(start: int, labels: Labels) -> None:
    """Whatever the class balance and the block, the generator is given the very label that is written beside it."""
    painter = Sampler(PaintsItsClass(), 8, ImageShape(16, 1, 3), ("a", "b", "c"), CPU)
    images, written = painter.draw(start, start + BLOCK, seed=4, std=1.0, labels=labels)
    assert np.array_equal(images[:, 0, 0, 0], 100 * written)


def test_recalibrated_statistics_are_those_of_the_averaged_weights(sampler: Sampler) -> None:
    """In evaluation mode the first normalisation whitens what it sees, though training statistics are gone."""
    network = copy.deepcopy(sampler.network)
    seen: list[Tensor] = []
    norm = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    norm.register_forward_hook(lambda module, inputs, output: seen.append(output))
    z = torch.from_numpy(latents(0, 2000, sampler.latent_dim, seed=9, stream=3))
    with torch.no_grad():
        network(z, torch.from_numpy(THREE.at(0, 2000)))
    assert seen[0].mean().abs() < 0.1
    assert 0.8 < seen[0].std() < 1.2


# ---- the discriminator that is kept --------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", RECIPES)
def test_saved_networks_draw_and_score_alike(
    tiny: Params, patches: LabelledImages, recipe: str, tmp_path: Path
) -> None:
    """Files suffice to rebuild both, running means and spectral vectors too; using them moves none of their bytes."""
    trained = train(make_gan(tiny, recipe), patches, tmp_path)
    trained.save(tmp_path / "a")
    images = trained.sampler.draw(0, 9, seed=1, std=1.2, labels=THREE)[0]
    scores = trained.discriminator.score(patches)
    trained.save(tmp_path / "b")
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name
    sampler = Sampler.load(tmp_path / "a", CPU, networks="")
    assert np.array_equal(sampler.draw(0, 9, seed=1, std=1.2, labels=THREE)[0], images)
    assert np.array_equal(TrainedDiscriminator.load(tmp_path / "a", CPU, patches, networks="").score(patches), scores)
    assert scores.shape == (60,)
    assert scores.std() > 0


def test_the_discriminator_is_of_the_state_that_won(tiny: Params, patches: LabelledImages, tmp_path: Path) -> None:
    """Where the small CAS was best at step 3, both networks are those of a training that ends there."""
    looks = 0

    def best_at_first(draw: Draw, realness: Realness, *, with_cas: bool) -> Row:
        nonlocal looks
        looks += 1
        return FINE | ({"cas": 1.0 / looks} if with_cas else {})

    gan = make_gan(tiny, "hinge_sn", hinge_sn=tiny.gan.hinge_sn.model_copy(update={"decay_percent": 0}))
    callbacks = Callbacks(best_at_first, on_probe=lambda row, sampler: None, stop_wanted=lambda: 0)
    long, short = (train(gan.model_copy(update={"steps": steps}), patches, tmp_path, callbacks) for steps in (8, 3))
    assert (kept(long, gan)[0], kept(short, gan)[0]) == (3, 3)
    assert np.array_equal(long.discriminator.score(patches), short.discriminator.score(patches))


def test_without_a_discriminator_one_line_says_so(patches: LabelledImages, tmp_path: Path) -> None:
    """A generator of before discriminators were kept gets one line with the way out."""
    with pytest.raises(UserError, match=r"no discriminator can be read here.*dvc repro"):
        TrainedDiscriminator.load(tmp_path, CPU, patches, networks="")
