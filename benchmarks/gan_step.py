"""Training step of the GAN against the plain one: `python -m benchmarks.gan_step`, further values as for configure.

The peer is the textbook loop: fp32, NCHW, Adam one tensor at a time, the same draws and augmentation, and for `r3`
the gradient penalty at every step. Both train the same networks on the same images, in turn.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from pipeline.device import describe_environment, pick_device
from pipeline.gan.augment import flip, translate
from pipeline.gan.build import build_networks
from pipeline.gan.networks import ImageShape
from pipeline.gan.recipes import RECIPES, Views, discriminator_loss
from pipeline.gan.schedule import ema_decay
from pipeline.gan.training import Callbacks, train_gan
from pipeline.images import LabelledImages
from pipeline.params.compose import compose_params
from pipeline.params.load import parse_params
from pipeline.params.schema import GanParams

ROUNDS = 5
IMAGES = 2_000
SHORT, LONG = 8, 40  # steps of two trainings; their difference is free of start and end
HEALTHY = {
    "gan_test_weakest": 1.0,
    "diversity_weakest": 1.0,
    "coverage": 1.0,
    "overfitting": 0.0,
    "cas": 1.0,
}  # probes are not timed
GOALS = {"r3": 1.5, "hinge_sn": 1.25, "dcgan": 1.25}


def main() -> None:
    """Prints images per second of both loops for every recipe, and their ratio."""
    params, device = parse_params(compose_params(sys.argv[1:])), pick_device()
    size, channels = params.dataset.image_size, 1 if params.dataset.name == "digits" else 3
    generator = np.random.Generator(np.random.Philox(0))
    pixels = generator.integers(0, 256, (IMAGES, size, size, channels)).astype(np.uint8)
    real = LabelledImages(pixels, np.arange(IMAGES) % 10, tuple("0123456789"))
    print(
        f"{size}x{size}x{channels}, batches of {params.gan.batch_size}, median of {ROUNDS} rounds in turn; "
        f"{describe_environment(device)}"
    )
    for recipe, goal in GOALS.items():
        gan = params.gan.model_copy(update={"recipe": recipe, "probe_every": 10**9})
        rates = [(own_rate(gan, real, device), plain_rate(gan, real, device)) for _ in range(ROUNDS)]
        own, plain = (statistics.median(column) for column in zip(*rates, strict=True))
        ratios = sorted(a / b for a, b in rates)
        print(
            f"{recipe:9} ours {own:7,.0f} img/s   plain {plain:7,.0f} img/s   ratio {statistics.median(ratios):.2f} "
            f"({ratios[0]:.2f}-{ratios[-1]:.2f}; goal >= {goal})",
            flush=True,
        )


def own_rate(gan: GanParams, real: LabelledImages, device: torch.device) -> float:
    """Images per second of `train_gan`."""
    callbacks = Callbacks(lambda *_, **__: dict(HEALTHY), lambda *_: None, lambda: 0)
    seconds = []
    for steps in (SHORT, LONG):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            short = gan.model_copy(update={"steps": steps})
            train_gan(short, real, seed=0, device=device, folder=Path(folder), callbacks=callbacks)
            seconds.append(time.perf_counter() - started)
    return (LONG - SHORT) * gan.batch_size / (seconds[1] - seconds[0])


def plain_rate(gan: GanParams, real: LabelledImages, device: torch.device) -> float:
    """Images per second of the textbook loop."""
    shape = ImageShape(real.images.shape[1], real.images.shape[3], len(real.class_names))
    generator, discriminator = (network.to(device) for network in build_networks(gan, shape, seed=0))
    average = [weight.detach().clone() for weight in generator.parameters()]
    values, batch = gan.values, gan.batch_size
    betas = (values.beta1, values.beta2)
    optimizer_g, optimizer_d = (
        torch.optim.Adam(network.parameters(), values.learning_rate, betas, foreach=False)
        for network in (generator, discriminator)
    )
    images, labels = torch.from_numpy(real.images).to(device), torch.from_numpy(real.labels).to(device)
    recipe = RECIPES[gan.recipe]
    every_step = gan.model_copy(update={"r3": gan.r3.model_copy(update={"penalty_every": 1})})

    def augment(x: torch.Tensor) -> torch.Tensor:
        reach = gan.translate
        shifts = torch.randint(-reach, reach + 1, (len(x), 2), device=device)
        return translate(x, shifts, reach) if reach else x

    started = time.perf_counter()
    for step in range(LONG):
        if step == SHORT:
            started = time.perf_counter()
        rows = torch.randint(len(images), (batch,), device=device)
        x, y = images[rows].permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous(), labels[rows]
        x = flip(x, torch.rand(batch, device=device) < 0.5) if gan.flip else x
        fake = generator(torch.randn(batch, values.latent_dim, device=device), y).detach()
        seen, seen_fake = augment(x), augment(fake)
        views = Views(seen, augment(x) if recipe.uses_second_view else seen, seen_fake, y)
        loss_d, _ = discriminator_loss(discriminator, views, every_step, step=step, restarts=0)
        optimizer_d.zero_grad()
        loss_d.backward()
        optimizer_d.step()
        fake = augment(generator(torch.randn(batch, values.latent_dim, device=device), y))
        loss_g, _ = recipe.generator_loss(discriminator, views._replace(fake=fake), gan)
        optimizer_g.zero_grad()
        loss_g.backward()
        optimizer_g.step()
        decay = ema_decay(batch, (step + 1) * batch, gan.ema_half_life_images, gan.ema_rampup)
        for kept, new in zip(average, generator.parameters(), strict=True):
            kept.lerp_(new.detach(), 1 - decay)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (LONG - SHORT) * batch / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
