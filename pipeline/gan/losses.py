"""Adversarial losses of all recipes: the mathematics alone.

Each returns the loss and the numbers to log. `real` and `fake` are NCHW in [-1, 1], both with the
labels `y`; losses are means over the batch.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LossAndNumbers = tuple[Tensor, dict[str, Tensor]]


def dcgan_discriminator(discriminator: nn.Module, real: Tensor, fake: Tensor, y: Tensor) -> LossAndNumbers:
    """Binary cross-entropy of telling real from generated images (Goodfellow et al. 2014, eq. 1)."""
    d_real, d_fake = discriminator(real, y)[0], discriminator(fake, y)[0]
    loss = F.softplus(-d_real).mean() + F.softplus(d_fake).mean()
    return loss, {"loss_d": loss, "d_real": d_real.mean(), "d_fake": d_fake.mean()}


def dcgan_generator(discriminator: nn.Module, fake: Tensor, y: Tensor) -> LossAndNumbers:
    """The non-saturating form of the same game (Goodfellow et al. 2014, section 3)."""
    loss = F.softplus(-discriminator(fake, y)[0]).mean()
    return loss, {"loss_g": loss}


def hinge_discriminator(
    discriminator: nn.Module,
    real: Tensor,
    second_view: Tensor,
    fake: Tensor,
    y: Tensor,
    *,
    auxiliary_weight: float,
    consistency_weight: float,
) -> LossAndNumbers:
    """Hinge loss (Lim & Ye 2017; Miyato et al. 2018, eq. 16) and consistency regularisation (Zhang et al. 2020, eq. 4).

    `second_view` holds the real images under another augmentation; D's logits for both should be equal. Adds the
    auxiliary class loss on real images.
    """
    batches = (real, fake, second_view) if consistency_weight else (real, fake)
    (d_real, d_fake, *d_second), (classes_real, *_) = _judge(discriminator, y, *batches)
    hinge = F.relu(1 - d_real).mean() + F.relu(1 + d_fake).mean()
    auxiliary = _auxiliary(classes_real, y, auxiliary_weight)
    loss = hinge + auxiliary_weight * auxiliary
    numbers = {"loss_d": hinge, "d_real": d_real.mean(), "d_fake": d_fake.mean(), "auxiliary_d": auxiliary}
    if d_second:
        numbers["consistency"] = F.mse_loss(d_real, d_second[0])
        loss = loss + consistency_weight * numbers["consistency"]
    return loss, numbers


def hinge_generator(discriminator: nn.Module, fake: Tensor, y: Tensor, *, auxiliary_weight: float) -> LossAndNumbers:
    """The generator's side, -D(G(z)) (Miyato et al. 2018, eq. 17), and the class loss on what it drew."""
    (d_fake,), (classes_fake,) = _judge(discriminator, y, fake)
    auxiliary = _auxiliary(classes_fake, y, auxiliary_weight)
    adversarial = -d_fake.mean()
    return adversarial + auxiliary_weight * auxiliary, {"loss_g": adversarial, "auxiliary_g": auxiliary}


def relativistic_discriminator(
    discriminator: nn.Module, real: Tensor, fake: Tensor, y: Tensor, *, auxiliary_weight: float, gamma: float | None
) -> LossAndNumbers:
    """Relativistic pairing (Jolicoeur-Martineau 2019; Huang et al. 2024, eq. 2) of images of the same class.

    Adds the auxiliary class loss on real images and, unless `gamma` is None, R1 + R2 with the weight gamma / 2.
    """
    if gamma is not None:
        real, fake = real.detach().requires_grad_(), fake.detach().requires_grad_()
    (d_real, d_fake), (classes_real, _) = _judge(discriminator, y, real, fake)
    adversarial = F.softplus(d_fake - d_real).mean()
    auxiliary = _auxiliary(classes_real, y, auxiliary_weight)
    loss = adversarial + auxiliary_weight * auxiliary
    numbers = {
        "loss_d": adversarial,
        "d_real": d_real.mean(),
        "d_fake": d_fake.mean(),
        "auxiliary_d": auxiliary,
    }
    if gamma is not None:
        penalty = gradient_penalty(d_real, real) + gradient_penalty(d_fake, fake)
        loss = loss + gamma / 2 * penalty
        numbers["penalty"] = penalty
    return loss, numbers


def relativistic_generator(
    discriminator: nn.Module, real: Tensor, fake: Tensor, y: Tensor, *, auxiliary_weight: float
) -> LossAndNumbers:
    """The generator's side of the pairing, and the class loss on what it drew (Odena et al. 2017)."""
    with torch.no_grad():  # real images do not depend on the generator: half a backward pass less
        (d_real,), _ = _judge(discriminator, y, real)
    (d_fake,), (classes_fake,) = _judge(discriminator, y, fake)
    adversarial = F.softplus(d_real - d_fake).mean()
    auxiliary = _auxiliary(classes_fake, y, auxiliary_weight)
    loss = adversarial + auxiliary_weight * auxiliary
    return loss, {"loss_g": adversarial, "auxiliary_g": auxiliary}


def add_r1(phase: LossAndNumbers, discriminator: nn.Module, real: Tensor, y: Tensor, gamma: float) -> LossAndNumbers:
    """`phase` with R1 on the real images besides, weight gamma / 2 (Mescheder et al. 2018, eq. 9)."""
    real = real.detach().requires_grad_()
    penalty = gradient_penalty(discriminator(real, y)[0], real)
    return phase[0] + gamma / 2 * penalty, phase[1] | {"penalty": penalty}


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Mean squared norm of the discriminator's gradient in its input (Mescheder et al. 2018, eq. 9)."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def _judge(discriminator: nn.Module, y: Tensor, *batches: Tensor) -> tuple[tuple[Tensor, ...], list[Tensor | None]]:
    """Logits and class logits (None without such a head) of batches with labels `y`, from one pass over all."""
    logits, classes = discriminator(torch.cat(batches), y.repeat(len(batches)))
    parts = [None] * len(batches) if classes is None else list(classes.chunk(len(batches)))
    return logits.chunk(len(batches)), parts


def _auxiliary(classes: Tensor | None, y: Tensor, weight: float) -> Tensor:
    """Cross-entropy of the class head; 0 where its weight is 0."""
    if weight == 0:
        return torch.zeros((), device=y.device)
    assert classes is not None, "build_networks has refused a discriminator without the head"
    return F.cross_entropy(classes, y)
