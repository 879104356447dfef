"""The two players' phases of a step in each recipe, and how strongly and on what they play."""

import torch
from torch import Tensor, nn

from pipeline.gan import losses
from pipeline.gan.augment import translate
from pipeline.gan.health import penalty_factor
from pipeline.params.schema import GanParams
from pipeline.randomness import random_words


def discriminator_phase(
    gan: GanParams, critic: nn.Module, real: Tensor, twin: Tensor, fake: Tensor, y: Tensor, *, step: int, restarts: int
) -> losses.Phase:
    """The discriminator's loss in this step; restarts make the gradient penalty stronger.

    `real`, `twin` (the same images under another augmentation, for hinge_sn) and `fake` are NCHW in [-1, 1].
    """
    stronger = penalty_factor(restarts)
    if gan.recipe == "r3":
        values = gan.r3.model_copy(update={"gamma": gan.r3.gamma * stronger})
        penalize = step % values.penalty_every == 0
        return losses.r3_discriminator(critic, real, fake, y, values, penalize=penalize)
    if gan.recipe == "hinge_sn":
        phase = losses.hinge_discriminator(critic, real, twin, fake, y, gan.hinge_sn)
    else:
        phase = losses.dcgan_discriminator(critic, real, fake, y)
    if restarts < 2:
        return phase
    return losses.add_r1(phase, critic, real, y, gan.health.penalty * stronger)


def generator_phase(gan: GanParams, critic: nn.Module, real: Tensor, fake: Tensor, y: Tensor) -> losses.Phase:
    """The generator's loss in this step."""
    if gan.recipe == "dcgan":
        return losses.dcgan_generator(critic, fake, y)
    if gan.recipe == "hinge_sn":
        return losses.hinge_generator(critic, fake, y, gan.hinge_sn)
    return losses.r3_generator(critic, real, fake, y, gan.r3)


def learning_rate_decay(gan: GanParams, step: int) -> float:
    """Factor of the learning rate: 1, then linear to 0 over the last `decay_percent` of the steps."""
    if gan.values.decay_percent == 0:
        return 1.0
    return min(1.0, (gan.steps - step) / (gan.steps * gan.values.decay_percent / 100))


def draw_augmentation(gan: GanParams, step: int, stream: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which images are mirrored (bool, N) and four sets of shifts (int64, (4, N, 2)): real, fake for D, for G, twin."""
    words = random_words(9 * gan.batch_size, seed=gan.seed, stream=stream, position=step)
    mirror = torch.from_numpy((words[: gan.batch_size] & 1).astype(bool)).to(device)
    if not gan.translate:
        return mirror, torch.zeros(4, 0, 2, dtype=torch.int64)
    span = 2 * gan.translate + 1
    shifts = (words[gan.batch_size :] % span).astype("int64").reshape(4, gan.batch_size, 2) - gan.translate
    return mirror, torch.from_numpy(shifts).to(device)


def augment(gan: GanParams, images: Tensor, shifts: Tensor) -> Tensor:
    """What the discriminator sees of the images."""
    return translate(images, shifts, gan.translate) if gan.translate else images
