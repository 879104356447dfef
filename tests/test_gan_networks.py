"""Networks of the GAN, its losses and augmentations, and the labels that are asked for."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pipeline.gan import losses
from pipeline.gan.augment import flip, translate
from pipeline.gan.build import build_networks
from pipeline.gan.ema import update_ema
from pipeline.gan.labels import Labels, choose_labels
from pipeline.gan.networks import (
    ImageShape,
    PixelUnshuffleDiscriminator,
    normalize_spectrum,
)
from pipeline.gan.recipes import Views, discriminator_loss
from pipeline.gan.schedule import ema_decay
from pipeline.params.schema import GAN_SIZES, Params
from pipeline.runtime.errors import UserError
from tests.gan_inputs import RECIPES, make_gan


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
@pytest.mark.parametrize("size", GAN_SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_keep_their_signatures(tiny: Params, recipe: str, size: int, channels: int) -> None:
    """(z, y) gives images in [-1, 1] of the asked size; (image, y) gives one logit an image."""
    gan, shape = make_gan(tiny, recipe), ImageShape(size, channels, 10)
    generator, discriminator = build_networks(gan, shape, seed=0)
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
    generator, discriminator = build_networks(gan, ImageShape(16, 1, 10), seed=0)
    for module in generator.modules():  # class gains start equal, as they should
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight)
    z = torch.randn(2, gan.values.latent_dim)
    first, second = (generator(z, torch.full((2,), label)) for label in (0, 1))
    assert not torch.allclose(first, second)
    assert not torch.allclose(*(discriminator(first, torch.full((2,), label))[0] for label in (0, 1)))


def test_networks_are_a_function_of_the_seed(tiny: Params) -> None:
    """Equal seeds give equal weights whatever was drawn before, others others; torch's own stream is left alone."""
    gan, shape = make_gan(tiny, "r3"), ImageShape(16, 1, 10)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = [network.state_dict() for network in build_networks(gan, shape, seed=1)]
    assert torch.equal(torch.get_rng_state(), before)
    torch.randn(3)
    same, other = ([network.state_dict() for network in build_networks(gan, shape, seed=seed)] for seed in (1, 2))
    for network in (0, 1):
        assert all(torch.equal(first[network][name], same[network][name]) for name in first[network])
        assert any(not torch.equal(first[network][name], other[network][name]) for name in first[network])


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
