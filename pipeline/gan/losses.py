"""Adversarial losses of both recipes: the mathematics alone.

A phase returns its loss and the numbers worth watching. `real` and `fake` are NCHW in [-1, 1], both with the
labels `y`; losses are means over the batch.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.config import R3

Phase = tuple[Tensor, dict[str, Tensor]]


def dcgan_discriminator(critic: nn.Module, real: Tensor, fake: Tensor, y: Tensor) -> Phase:
    """Binary cross-entropy of telling real from generated images (Goodfellow et al. 2014, eq. 1)."""
    d_real, d_fake = critic(real, y)[0], critic(fake, y)[0]
    loss = F.softplus(-d_real).mean() + F.softplus(d_fake).mean()
    return loss, {"loss_d": loss, "d_real": d_real.mean(), "d_fake": d_fake.mean()}


def dcgan_generator(critic: nn.Module, fake: Tensor, y: Tensor) -> Phase:
    """The non-saturating form of the same game (Goodfellow et al. 2014, section 3)."""
    loss = F.softplus(-critic(fake, y)[0]).mean()
    return loss, {"loss_g": loss}


def r3_discriminator(critic: nn.Module, real: Tensor, fake: Tensor, y: Tensor, values: R3, *, penalize: bool) -> Phase:
    """Relativistic pairing (Jolicoeur-Martineau 2019; Huang et al. 2024, eq. 2) of images of the same class.

    Adds the auxiliary class loss on real images and, if `penalize`, R1 + R2 times the steps that they stand for.
    """
    if penalize:
        real, fake = real.detach().requires_grad_(), fake.detach().requires_grad_()
    (d_real, d_fake), (classes_real, _) = _critique_pair(critic, real, fake, y)
    adversarial = F.softplus(d_fake - d_real).mean()
    auxiliary = F.cross_entropy(classes_real, y)
    loss = adversarial + values.auxiliary_weight * auxiliary
    watched = {
        "loss_d": adversarial,
        "d_real": d_real.mean(),
        "d_fake": d_fake.mean(),
        "auxiliary_d": auxiliary,
    }
    if penalize:
        penalty = gradient_penalty(d_real, real) + gradient_penalty(d_fake, fake)
        loss = loss + values.gamma / 2 * values.penalty_every * penalty
        watched["penalty"] = penalty
    return loss, watched


def r3_generator(critic: nn.Module, real: Tensor, fake: Tensor, y: Tensor, values: R3) -> Phase:
    """The generator's side of the pairing, and the class loss on what it drew (Odena et al. 2017)."""
    (d_real, d_fake), (_, classes_fake) = _critique_pair(critic, real, fake, y)
    adversarial = F.softplus(d_real - d_fake).mean()
    auxiliary = F.cross_entropy(classes_fake, y)
    loss = adversarial + values.auxiliary_weight * auxiliary
    return loss, {"loss_g": adversarial, "auxiliary_g": auxiliary}


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Mean squared norm of the critic's gradient in its input (Mescheder et al. 2018, eq. 9)."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def _critique_pair(
    critic: nn.Module, real: Tensor, fake: Tensor, y: Tensor
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Logits and class logits of both halves from one pass over twice the batch."""
    logits, classes = critic(torch.cat([real, fake]), torch.cat([y, y]))
    d_real, d_fake = logits.chunk(2)
    classes_real, classes_fake = classes.chunk(2)
    return (d_real, d_fake), (classes_real, classes_fake)
