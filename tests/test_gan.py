"""Training of the GAN, drawing from it, and its files."""

import copy
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pipeline.assessment.probe import train_probe
from pipeline.gan import training
from pipeline.gan.build import build_networks
from pipeline.gan.discriminator import TrainedDiscriminator
from pipeline.gan.labels import Labels
from pipeline.gan.networks import (
    ImageShape,
    PixelShuffleGenerator,
    PixelUnshuffleDiscriminator,
)
from pipeline.gan.sampling import BLOCK, Sampler
from pipeline.gan.state import Row
from pipeline.gan.training import Callbacks, Realness
from pipeline.images import LabelledImages
from pipeline.params.schema import Params
from pipeline.randomness import latents
from pipeline.runtime.errors import StoppedError, UserError
from pipeline.runtime.signals import hold_signals
from tests.gan_inputs import (
    CPU,
    FINE,
    RECIPES,
    THREE,
    Draw,
    assert_equal,
    kept,
    make_gan,
    seeing,
    sees_nothing_wrong,
    strict,
    train,
)

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


@pytest.mark.parametrize(("size", "recipe"), [(64, "hinge_sn"), (64, "dcgan"), (128, "r3")])
def test_larger_images_train_in_health_and_resume(
    tiny: Params, patches: LabelledImages, tmp_path: Path, size: int, recipe: str
) -> None:
    """A stopped training of larger images, watched by the real probe, goes on to equal numbers and raises no alarm."""
    times = size // patches.images.shape[1]
    large = LabelledImages(patches.images.repeat(times, 1).repeat(times, 2), patches.labels, patches.class_names)
    judge = tiny.gan.judge.model_copy(update={"steps": 2, "batch_size": 16, "width": 4})
    health = tiny.gan.health.model_copy(update={"cas_images": 30, "num_images": 30, "cas_every": 2})
    gan = make_gan(tiny, recipe, steps=2, probe_every=2, batch_size=4, judge=judge, health=health)
    probe = train_probe(gan, large, large, seed=0, device=CPU)
    (tmp_path / "whole").mkdir()
    whole = train(gan, large, tmp_path / "whole", Callbacks(probe, lambda *_: None, lambda: 0))
    with pytest.raises(StoppedError, match="step 1 of 2"):
        train(gan, large, tmp_path, Callbacks(probe, lambda *_: None, lambda: signal.SIGTERM))
    resumed = train(gan, large, tmp_path, Callbacks(probe, lambda *_: None, lambda: 0))
    assert_equal(whole, resumed)
    assert (kept(whole, gan)[1:], whole.sampler.shape.size) == ((0, False), size)


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
        build_networks(make_gan(tiny, "r3", networks=networks), ImageShape(16, 1, 3), seed=0)


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
