"""A replicate's GAN is its own: every draw of a training follows the seed, each on its own."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.gan.networks import ImageShape, PixelShuffleGenerator, PixelUnshuffleDiscriminator
from pipeline.gan.sampling import Sampler, recalibrate
from pipeline.gan.state import Row
from pipeline.gan.training import Callbacks, Realness
from pipeline.images import LabelledImages, Pixels
from pipeline.params.schema import Params
from tests.gan_inputs import RECIPES, THREE, Draw, make_gan, sees_nothing_wrong, train


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_seed_is_a_gan(tiny: Params, patches: LabelledImages, tmp_path: Path, recipe: str) -> None:
    """Equal seeds agree in every file to the byte, another seed gives other weights; the description says which."""
    gan = make_gan(tiny, recipe, flip=True, translate=2)
    for name, seed in (("first", 3), ("same", 3), ("other", 4)):
        trained = train(gan, patches, tmp_path, seed=seed)
        trained.save(tmp_path / name)
        assert trained.description.seed == seed
    for file in (tmp_path / "first").iterdir():
        content = file.read_bytes()
        assert content == (tmp_path / "same" / file.name).read_bytes(), file.name
        assert content != (tmp_path / "other" / file.name).read_bytes(), file.name


class Deaf(PixelShuffleGenerator):
    """Its images do not depend on z."""

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return super().forward(torch.zeros_like(z), y)


def build_drawn(latent_dim: int, width: int, shape: ImageShape) -> tuple[nn.Module, nn.Module]:
    """Weights of the training's seed, as the recipes have them."""
    return Deaf(latent_dim, width, shape), PixelUnshuffleDiscriminator(width, shape)


def build_fixed(latent_dim: int, width: int, shape: ImageShape) -> tuple[nn.Module, nn.Module]:
    """The same weights, whatever the seed."""
    torch.manual_seed(0)
    return PixelShuffleGenerator(latent_dim, width, shape), PixelUnshuffleDiscriminator(width, shape)


def build_deaf(latent_dim: int, width: int, shape: ImageShape) -> tuple[nn.Module, nn.Module]:
    """The same weights too."""
    torch.manual_seed(0)
    return build_drawn(latent_dim, width, shape)


@pytest.mark.parametrize(
    ("networks", "rows", "changes", "differs"),
    [
        ("build_deaf", [0] * 60, {}, False),
        ("build_drawn", [0] * 60, {}, True),
        ("build_deaf", range(60), {}, True),
        ("build_deaf", [0] * 60, {"translate": 3}, True),
        ("build_deaf", [0] * 60, {"flip": True}, True),
        ("build_fixed", [0] * 60, {}, True),
    ],
    ids=["nothing", "weights", "rows", "shifts", "mirrors", "latents"],
)
def test_every_draw_follows_the_seed(
    tiny: Params,
    patches: LabelledImages,
    tmp_path: Path,
    networks: str,
    rows: Sequence[int],
    changes: dict[str, object],
    differs: bool,
) -> None:
    """With all draws but one without effect, two seeds train two discriminators by that one."""
    values = {"flip": False, "translate": 0, "networks": f"tests.test_gan_seeds:{networks}"} | changes
    real = patches.select(np.array(rows))
    real.images[:, :, :8] //= 2  # or a mirrored image is the image
    first, other = (train(make_gan(tiny, "r3", **values), real, tmp_path, seed=seed) for seed in (3, 4))
    assert np.array_equal(first.discriminator.score(patches), other.discriminator.score(patches)) == (not differs)


def test_probe_and_calibration_follow_the_seed(tiny: Params, patches: LabelledImages, tmp_path: Path) -> None:
    """The probe is shown the seed's first images, and the statistics of what is kept come from its latents."""
    shown: list[Pixels] = []
    drawn: list[Pixels] = []

    def look(draw: Draw, realness: Realness, *, with_cas: bool) -> Row:
        shown.append(draw(9).images)
        return sees_nothing_wrong(draw, realness, with_cas=with_cas)

    def draw_too(rows: list[Row], sampler: Sampler) -> None:
        drawn.append(sampler.draw(0, 9, seed=5, std=1.0, labels=THREE)[0])

    trained = train(make_gan(tiny, "r3"), patches, tmp_path, Callbacks(look, draw_too, lambda: 0), seed=5)
    assert np.array_equal(shown, drawn)
    network = trained.sampler.network
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    for seed in (6, 5):
        recalibrate(network, trained.sampler.latent_dim, 3, seed=seed)
        state = network.state_dict()
        assert all(torch.equal(kept[name], state[name]) for name in kept) == (seed == 5)
