import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pipeline.checkpoint import save_state
from pipeline.config import R3, Gan, Params
from pipeline.errors import UserError
from pipeline.gan import losses, training
from pipeline.gan.augment import flip, translate
from pipeline.gan.ema import ema_decay, update_ema
from pipeline.gan.latents import balanced_labels, latents, normal_table
from pipeline.gan.networks import ImageShape, build_networks
from pipeline.gan.sampling import BLOCK, Sampler
from pipeline.gan.training import train_gan
from pipeline.images import LabelledImages

CPU = torch.device("cpu")


def make_gan(tiny: Params, recipe: str, **changes: object) -> Gan:
    """The tiny values with another recipe."""
    return tiny.gan.model_copy(update={"recipe": recipe, **changes})


def train(gan: Gan, real: LabelledImages, folder: Path) -> dict[str, Tensor]:
    """Weights of the averaged generator."""
    sampler, _ = train_gan(gan, real, device=CPU, folder=folder, on_probe=lambda row, sampler: None)
    return sampler.network.state_dict()


def softplus(x: float) -> float:
    """log(1 + e^x), as the papers write it."""
    return math.log1p(math.exp(x))


class LinearCritic(nn.Module):
    """D(x) = w . x, so that losses and penalties have values to compute by hand."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        logit = (x * self.weight).sum((1, 2, 3))
        return logit, torch.stack([logit, -logit], 1)


# ---- networks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["r3", "dcgan"])
@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_keep_their_signatures(tiny: Params, recipe: str, size: int, channels: int) -> None:
    """(z, y) gives images in [-1, 1] of the asked size; (image, y) gives one logit an image."""
    gan, shape = make_gan(tiny, recipe), ImageShape(size, channels, 10)
    generator, critic = build_networks(gan, shape)
    dim = gan.r3.latent_dim if recipe == "r3" else gan.dcgan.latent_dim
    images = generator(torch.randn(4, dim), torch.arange(4))
    assert images.shape == (4, channels, size, size)
    assert images.abs().max() <= 1
    logits, classes = critic(images, torch.arange(4))
    assert logits.shape == (4,)
    assert (classes is None) if recipe == "dcgan" else (classes.shape == (4, 10))


@pytest.mark.parametrize("recipe", ["r3", "dcgan"])
def test_the_class_matters_to_both_networks(tiny: Params, recipe: str) -> None:
    """Another label gives another logit, and after a step of training another image."""
    gan = make_gan(tiny, recipe)
    generator, critic = build_networks(gan, ImageShape(16, 1, 10))
    for module in generator.modules():  # class gains start equal, as they should
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight)
    z = torch.randn(2, gan.r3.latent_dim if recipe == "r3" else gan.dcgan.latent_dim)
    first, second = (generator(z, torch.full((2,), label)) for label in (0, 1))
    assert not torch.allclose(first, second)
    assert not torch.allclose(*(critic(first, torch.full((2,), label))[0] for label in (0, 1)))


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


def test_losses_have_their_hand_values(tiny: Params) -> None:
    """With D(x) = sum(x), one real image of logit 2 and one generated of logit -1, every loss is known."""
    critic = LinearCritic(torch.ones(1, 2, 2))
    real, fake, y = (
        torch.full((1, 1, 2, 2), 0.5),
        torch.full((1, 1, 2, 2), -0.25),
        torch.zeros(1, dtype=torch.long),
    )
    values = tiny.gan.r3.model_copy(update={"auxiliary_weight": 0.5, "gamma": 0.0})
    assert losses.dcgan_discriminator(critic, real, fake, y)[0].item() == pytest.approx(softplus(-2) + softplus(-1))
    assert losses.dcgan_generator(critic, fake, y)[0].item() == pytest.approx(softplus(1))
    r3_d = losses.r3_discriminator(critic, real, fake, y, values, penalize=False)[0]
    assert r3_d.item() == pytest.approx(softplus(-3) + 0.5 * softplus(-4))
    r3_g = losses.r3_generator(critic, real, fake, y, values)[0]
    assert r3_g.item() == pytest.approx(softplus(3) + 0.5 * softplus(2))


def test_penalty_is_the_squared_gradient_by_finite_differences() -> None:
    """R1's gradient norm agrees with central differences of the critic, in double precision."""
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 1)).double()
    x = torch.randn(2, 1, 4, 4, dtype=torch.double, requires_grad=True)
    penalty = losses.gradient_penalty(critic(x).squeeze(1), x).item()
    step, total = 1e-5, 0.0
    for i in range(x.numel()):
        shift = torch.zeros(x.numel(), dtype=torch.double)
        shift[i] = step
        shift = shift.reshape(x.shape)
        total += ((critic(x + shift) - critic(x - shift)).sum().item() / (2 * step)) ** 2
    assert penalty == pytest.approx(total / 2, rel=1e-6)


def test_lazy_penalty_weighs_as_much_as_one_every_step(tiny: Params) -> None:
    """Applied every k steps with k times the weight: loss with minus without = gamma / 2 * k * (R1 + R2)."""
    weight = torch.tensor([[[1.0, -2.0], [0.5, 0.0]]])
    critic, x, y = LinearCritic(weight), torch.zeros(3, 1, 2, 2), torch.zeros(3, dtype=torch.long)
    values = tiny.gan.r3.model_copy(update={"gamma": 0.4, "penalty_every": 4})
    on, off = (losses.r3_discriminator(critic, x, x, y, values, penalize=p)[0].item() for p in (True, False))
    assert on - off == pytest.approx(0.4 / 2 * 4 * 2 * weight.square().sum().item())


def test_the_penalty_reaches_the_weights(tiny: Params) -> None:
    """The penalty is differentiated through: a linear critic's weight gets the gradient 2 * gamma * k * w."""
    weight = torch.tensor([[[1.0, -2.0], [0.5, 0.0]]])
    critic, x, y = LinearCritic(weight.clone()), torch.zeros(2, 1, 2, 2), torch.zeros(2, dtype=torch.long)
    values = R3(**tiny.gan.r3.model_dump() | {"gamma": 0.4, "penalty_every": 3, "auxiliary_weight": 0.0})
    losses.r3_discriminator(critic, x, x, y, values, penalize=True)[0].backward()
    assert critic.weight.grad is not None
    assert torch.allclose(critic.weight.grad, 2 * 0.4 * 3 * weight)


# ---- augmentation, average, latents --------------------------------------------------------------------------


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


def test_latents_are_pinned() -> None:
    """z of sample 5 under seed 7 on any machine, and the quantiles behind it."""
    assert normal_table()[[0, 32768, 65535]].tolist() == [-4.324951171875, 0.0, 4.324951171875]
    assert latents(5, 1, 4, seed=7, stream=3)[0].tolist() == [
        1.328369140625,
        -0.148681640625,
        -0.179443359375,
        1.35400390625,
    ]


@settings(deadline=None)
@given(st.integers(0, 500), st.integers(1, 60), st.integers(1, 70), st.integers(0, 30))
def test_a_latent_depends_on_its_index_alone(start: int, count: int, dim: int, offset: int) -> None:
    """z of sample i is the same in whichever window it is drawn."""
    window = latents(start, count, dim, seed=2, stream=3)
    row = offset % count
    assert np.array_equal(latents(start + row, 1, dim, seed=2, stream=3)[0], window[row])


def test_latents_are_standard_normal() -> None:
    """Mean 0, variance 1, no correlation between neighbours, within five standard errors of 640,000 draws."""
    z = latents(0, 10000, 64, seed=1, stream=3)
    error = 5 / z.size**0.5
    assert abs(z.mean()) < error
    assert abs(z.var() - 1) < 2**0.5 * error
    assert abs((z[:, :-1] * z[:, 1:]).mean()) < error
    assert balanced_labels(8, 4, 10).tolist() == [8, 9, 0, 1]


# ---- training and sampling -----------------------------------------------------------------------------------


class KilledError(Exception):
    """Stands for a kill: nothing after it runs."""


@pytest.mark.parametrize("recipe", ["r3", "dcgan"])
def test_a_resumed_training_gives_the_same_weights(
    tiny: Params, patches: LabelledImages, recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at any step after a save and run again, the averaged generator is equal to the bit."""
    gan = make_gan(tiny, recipe, flip=True, translate=2)
    monkeypatch.setattr(training, "SECONDS_BETWEEN_SAVES", 0.0)
    whole_folder, folder = tmp_path / "whole", tmp_path / "killed"
    whole_folder.mkdir()
    folder.mkdir()
    whole = train(gan, patches, whole_folder)
    saves = 0

    def save_and_die(*arguments: object) -> None:
        nonlocal saves
        save_state(*arguments)  # type: ignore[arg-type]  # whatever the loop hands over
        saves += 1
        if saves == 5:
            raise KilledError

    monkeypatch.setattr(training, "save_state", save_and_die)
    with pytest.raises(KilledError):
        train(gan, patches, folder)
    resumed = train(gan, patches, folder)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_saving_changes_no_number(
    tiny: Params, patches: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the state is saved depends on the clock, so it must not matter to the weights or the history."""
    gan = make_gan(tiny, "r3")
    quiet = train_gan(gan, patches, device=CPU, folder=tmp_path, on_probe=lambda row, sampler: None)
    monkeypatch.setattr(training, "SECONDS_BETWEEN_SAVES", 0.0)
    saving = train_gan(gan, patches, device=CPU, folder=tmp_path, on_probe=lambda row, sampler: None)
    assert quiet[1] == saving[1]
    weights = saving[0].network.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in quiet[0].network.state_dict().items())


def test_training_moves_samples_towards_the_classes(tiny: Params, patches: LabelledImages, tmp_path: Path) -> None:
    """After a few hundred steps on three kinds of bright band, each class is brightest where its band is."""
    gan = make_gan(tiny, "r3", steps=250, probe_every=250)
    sampler, history = train_gan(gan, patches, device=CPU, folder=tmp_path, on_probe=lambda row, sampler: None)
    images, labels = sampler.draw(0, 60, seed=0, std=1.0)
    bands = np.stack([images[:, 5 * k : 5 * k + 5].mean((1, 2, 3)) for k in range(3)], 1)
    assert (bands.argmax(1) == labels).mean() > 0.9
    assert history[-1]["images"] == 250 * gan.batch_size


def test_weights_that_are_not_finite_end_training_in_one_line(
    tiny: Params, patches: LabelledImages, tmp_path: Path
) -> None:
    """A learning rate far too high is told with the step and what to do."""
    gan = make_gan(tiny, "r3", steps=30, r3=tiny.gan.r3.model_copy(update={"learning_rate": 1e30}))
    with pytest.raises(UserError, match="not finite any more at step 3; lower the learning rate"):
        train(gan, patches, tmp_path)


@pytest.fixture(scope="module")
def sampler(tiny: Params, patches: LabelledImages, tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    """A generator after a few steps."""
    folder = tmp_path_factory.mktemp("sampler")
    return train_gan(tiny.gan, patches, device=CPU, folder=folder, on_probe=lambda row, sampler: None)[0]


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2 * BLOCK), st.integers(1, 40))
def test_an_image_does_not_depend_on_the_range_it_is_drawn_in(sampler: Sampler, start: int, count: int) -> None:
    """Any cut of the range gives the same bytes, because every forward pass is a canonical block."""
    images, labels = sampler.draw(start, start + count, seed=4, std=1.0)
    whole, all_labels = sampler.draw(0, start + count, seed=4, std=1.0)
    assert np.array_equal(images, whole[start:])
    assert np.array_equal(labels, all_labels[start:])


def test_a_saved_generator_draws_the_same_images(sampler: Sampler, tiny: Params, tmp_path: Path) -> None:
    """Weights and JSON suffice to rebuild it, and two saves are equal to the byte."""
    sampler.save(tmp_path / "a", tiny.gan)
    sampler.save(tmp_path / "b", tiny.gan)
    for name in ("generator.safetensors", "generator.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    loaded = Sampler.load(tmp_path / "a", CPU)
    assert np.array_equal(loaded.draw(0, 9, seed=1, std=1.2)[0], sampler.draw(0, 9, seed=1, std=1.2)[0])


def test_a_damaged_generator_is_one_line(sampler: Sampler, tiny: Params, tmp_path: Path) -> None:
    """A truncated weights file names the folder and the way out, and executes nothing."""
    sampler.save(tmp_path, tiny.gan)
    file = tmp_path / "generator.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match="make it again with `dvc repro`"):
        Sampler.load(tmp_path, CPU)


def test_recalibrated_statistics_are_those_of_the_averaged_weights(sampler: Sampler) -> None:
    """In evaluation mode the first normalisation whitens what it sees, though training statistics are gone."""
    network = copy.deepcopy(sampler.network)
    seen: list[Tensor] = []
    norm = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    norm.register_forward_hook(lambda module, inputs, output: seen.append(output))
    z = torch.from_numpy(latents(0, 2000, sampler.latent_dim, seed=9, stream=3))
    with torch.no_grad():
        network(z, torch.from_numpy(balanced_labels(0, 2000, 3)))
    assert seen[0].mean().abs() < 0.1
    assert 0.8 < seen[0].std() < 1.2
