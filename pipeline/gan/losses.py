"""Adversarial losses of all recipes: the mathematics alone.

A phase returns its loss and the numbers worth watching. `real` and `fake` are NCHW in [-1, 1], both with the
labels `y`; losses are means over the batch.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.params.schema import HingeSnParams, R3Params

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


def hinge_discriminator(
    critic: nn.Module, real: Tensor, twin: Tensor, fake: Tensor, y: Tensor, values: HingeSnParams
) -> Phase:
    """Hinge loss (Lim & Ye 2017; Miyato et al. 2018, eq. 16) and consistency regularisation (Zhang et al. 2020, eq. 4).

    `twin` holds the real images under another augmentation; D's logits for both should be equal. Adds the
    auxiliary class loss on real images.
    """
    batches = (real, fake, twin) if values.consistency_weight else (real, fake)
    (d_real, d_fake, *d_twin), (classes_real, *_) = _critique(critic, y, *batches)
    hinge = F.relu(1 - d_real).mean() + F.relu(1 + d_fake).mean()
    auxiliary = _auxiliary(classes_real, y, values.auxiliary_weight)
    loss = hinge + values.auxiliary_weight * auxiliary
    watched = {"loss_d": hinge, "d_real": d_real.mean(), "d_fake": d_fake.mean(), "auxiliary_d": auxiliary}
    if d_twin:
        watched["consistency"] = F.mse_loss(d_real, d_twin[0])
        loss = loss + values.consistency_weight * watched["consistency"]
    return loss, watched


def hinge_generator(critic: nn.Module, fake: Tensor, y: Tensor, values: HingeSnParams) -> Phase:
    """The generator's side, -D(G(z)) (Miyato et al. 2018, eq. 17), and the class loss on what it drew."""
    (d_fake,), (classes_fake,) = _critique(critic, y, fake)
    auxiliary = _auxiliary(classes_fake, y, values.auxiliary_weight)
    adversarial = -d_fake.mean()
    return adversarial + values.auxiliary_weight * auxiliary, {"loss_g": adversarial, "auxiliary_g": auxiliary}


def r3_discriminator(
    critic: nn.Module, real: Tensor, fake: Tensor, y: Tensor, values: R3Params, *, penalize: bool
) -> Phase:
    """Relativistic pairing (Jolicoeur-Martineau 2019; Huang et al. 2024, eq. 2) of images of the same class.

    Adds the auxiliary class loss on real images and, if `penalize`, R1 + R2 times the steps that they stand for.
    """
    if penalize:
        real, fake = real.detach().requires_grad_(), fake.detach().requires_grad_()
    (d_real, d_fake), (classes_real, _) = _critique(critic, y, real, fake)
    adversarial = F.softplus(d_fake - d_real).mean()
    auxiliary = _auxiliary(classes_real, y, values.auxiliary_weight)
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


def r3_generator(critic: nn.Module, real: Tensor, fake: Tensor, y: Tensor, values: R3Params) -> Phase:
    """The generator's side of the pairing, and the class loss on what it drew (Odena et al. 2017)."""
    with torch.no_grad():  # real images do not depend on the generator: half a backward pass less
        (d_real,), _ = _critique(critic, y, real)
    (d_fake,), (classes_fake,) = _critique(critic, y, fake)
    adversarial = F.softplus(d_real - d_fake).mean()
    auxiliary = _auxiliary(classes_fake, y, values.auxiliary_weight)
    loss = adversarial + values.auxiliary_weight * auxiliary
    return loss, {"loss_g": adversarial, "auxiliary_g": auxiliary}


def add_r1(phase: Phase, critic: nn.Module, real: Tensor, y: Tensor, gamma: float) -> Phase:
    """`phase` with R1 on the real images besides, weight gamma / 2 (Mescheder et al. 2018, eq. 9)."""
    real = real.detach().requires_grad_()
    penalty = gradient_penalty(critic(real, y)[0], real)
    return phase[0] + gamma / 2 * penalty, phase[1] | {"penalty": penalty}


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Mean squared norm of the critic's gradient in its input (Mescheder et al. 2018, eq. 9)."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def _critique(critic: nn.Module, y: Tensor, *batches: Tensor) -> tuple[tuple[Tensor, ...], list[Tensor | None]]:
    """Logits and class logits (None without such a head) of batches with labels `y`, from one pass over all."""
    logits, classes = critic(torch.cat(batches), y.repeat(len(batches)))
    parts = [None] * len(batches) if classes is None else list(classes.chunk(len(batches)))
    return logits.chunk(len(batches)), parts


def _auxiliary(classes: Tensor | None, y: Tensor, weight: float) -> Tensor:
    """Cross-entropy of the class head; 0 where its weight is 0."""
    if weight == 0:
        return torch.zeros((), device=y.device)
    assert classes is not None, "build_networks has refused a critic without the head"
    return F.cross_entropy(classes, y)
