"""The table of recipes: what distinguishes one GAN from another. A new recipe is a row here, and a block of params."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from pipeline.gan import losses
from pipeline.gan.networks import ImageShape, Pair, build_dcgan, build_hinge_sn, build_r3
from pipeline.gan.schedule import penalty_factor
from pipeline.params.schema import GanParams

Build = Callable[[int, int, ImageShape], Pair]
"""(latent_dim, width, shape) => generator and discriminator."""


class Views(NamedTuple):
    """What the discriminator sees in a step: images NCHW in [-1, 1], augmented, and their labels, int64 (N,)."""

    real: Tensor
    second_view: Tensor
    """The real images under another augmentation; the first one again where the recipe does not ask for it."""
    fake: Tensor
    y: Tensor


@dataclass(frozen=True)
class Recipe:
    """One row of the table.

    Attributes:
        build: makes the networks.
        discriminator_loss: (discriminator, views, params, step, restarts) => loss and numbers to watch.
        generator_loss: (discriminator, views, params) => loss and numbers to watch.
        guessing_loss: loss of a discriminator that cannot distinguish real from generated images, in nats or margins.
        penalizes_gradient: whether the discriminator's loss has a gradient penalty of its own.
        uses_second_view: whether it compares two augmentations of the real images.
    """

    build: Build
    discriminator_loss: Callable[[nn.Module, Views, GanParams, int, int], losses.LossAndNumbers]
    generator_loss: Callable[[nn.Module, Views, GanParams], losses.LossAndNumbers]
    guessing_loss: float
    penalizes_gradient: bool
    uses_second_view: bool


def _r3_discriminator(
    discriminator: nn.Module, views: Views, gan: GanParams, step: int, restarts: int
) -> losses.LossAndNumbers:
    """The penalty comes every few steps, with the weight of the steps that it stands for."""
    values, gamma = gan.r3, None
    if step % values.penalty_every == 0:
        gamma = values.gamma * penalty_factor(restarts) * values.penalty_every
    return losses.relativistic_discriminator(
        discriminator, views.real, views.fake, views.y, auxiliary_weight=values.auxiliary_weight, gamma=gamma
    )


def _hinge_discriminator(
    discriminator: nn.Module, views: Views, gan: GanParams, _step: int, _restarts: int
) -> losses.LossAndNumbers:
    return losses.hinge_discriminator(
        discriminator,
        *views,
        auxiliary_weight=gan.hinge_sn.auxiliary_weight,
        consistency_weight=gan.hinge_sn.consistency_weight,
    )


RECIPES = {
    "r3": Recipe(
        build=build_r3,
        discriminator_loss=_r3_discriminator,
        generator_loss=lambda discriminator, views, gan: losses.relativistic_generator(
            discriminator, views.real.detach(), views.fake, views.y, auxiliary_weight=gan.r3.auxiliary_weight
        ),
        guessing_loss=math.log(2),
        penalizes_gradient=True,
        uses_second_view=False,
    ),
    "hinge_sn": Recipe(
        build=build_hinge_sn,
        discriminator_loss=_hinge_discriminator,
        generator_loss=lambda discriminator, views, gan: losses.hinge_generator(
            discriminator, views.fake, views.y, auxiliary_weight=gan.hinge_sn.auxiliary_weight
        ),
        guessing_loss=2.0,
        penalizes_gradient=False,
        uses_second_view=True,
    ),
    "dcgan": Recipe(
        build=build_dcgan,
        discriminator_loss=lambda discriminator, views, _gan, _step, _restarts: losses.dcgan_discriminator(
            discriminator, views.real, views.fake, views.y
        ),
        generator_loss=lambda discriminator, views, _gan: losses.dcgan_generator(discriminator, views.fake, views.y),
        guessing_loss=2 * math.log(2),
        penalizes_gradient=False,
        uses_second_view=False,
    ),
}


def discriminator_loss(
    discriminator: nn.Module, views: Views, gan: GanParams, *, step: int, restarts: int
) -> losses.LossAndNumbers:
    """The recipe's loss; from the second restart on with R1 where the recipe has no penalty of its own."""
    recipe = RECIPES[gan.recipe]
    phase = recipe.discriminator_loss(discriminator, views, gan, step, restarts)
    if recipe.penalizes_gradient or restarts < 2:
        return phase
    return losses.add_r1(phase, discriminator, views.real, views.y, gan.health.penalty * penalty_factor(restarts))
