"""Training of the class-conditional GAN: one straight loop that resumes to the bit."""

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.checkpoint import load_state, save_state
from pipeline.config import Gan
from pipeline.errors import UserError
from pipeline.gan import losses
from pipeline.gan.augment import flip, translate
from pipeline.gan.ema import ema_decay, update_ema
from pipeline.gan.latents import latents
from pipeline.gan.networks import ImageShape, build_networks
from pipeline.gan.sampling import Sampler, recalibrate
from pipeline.images import LabelledImages, random_words, shuffled_rows, to_unit_range
from pipeline.progress import steps

ROW_STREAM, AUGMENT_STREAM, FAKE_STREAM = 0, 1, 2  # purposes of one seed's draws
SECONDS_BETWEEN_SAVES = 30.0  # at most so much work is lost to a kill; when it is saved changes no number


class Means:
    """Running means of the numbers that the phases report; they stay on the device until they are read."""

    def __init__(self, sums: dict[str, Tensor] | None = None, counts: dict[str, int] | None = None) -> None:
        self.sums, self.counts = sums or {}, counts or {}

    def add(self, numbers: dict[str, Tensor]) -> None:
        """Counts one more step's numbers (scalars); a name may be missing in some steps."""
        for name, value in numbers.items():
            before = self.sums.get(name)
            self.sums[name] = value.detach() if before is None else before.to(value.device) + value.detach()
            self.counts[name] = self.counts.get(name, 0) + 1

    def read(self) -> dict[str, float]:
        """The means so far; waits for the device."""
        return {name: total.item() / self.counts[name] for name, total in self.sums.items()}


History = list[dict[str, float]]
OnProbe = Callable[[dict[str, float], Sampler], None]


def train_gan(
    gan: Gan, real: LabelledImages, *, device: torch.device, folder: Path, on_probe: OnProbe
) -> tuple[Sampler, History]:
    """Trains a generator on `real` and returns its averaged weights, ready to sample, with the history.

    Every draw is a function of (gan.seed, step), so a run that was killed and continues from the state in
    `folder` gives the same weights as one that was not. `on_probe` sees each history row and the sampler.

    Raises:
        UserError: the weights became infinite or NaN.
    """
    # ---- networks, averaged generator, optimizers -------------------------------------------------------
    values = gan.r3 if gan.recipe == "r3" else gan.dcgan
    shape = ImageShape(real.images.shape[1], real.images.shape[3], len(real.class_names))
    layout = torch.channels_last
    generator, critic = (net.to(device).to(memory_format=layout) for net in build_networks(gan, shape))
    average = copy.deepcopy(generator).requires_grad_(False)
    betas = (values.beta1, values.beta2)
    optimizer_g = torch.optim.Adam(generator.parameters(), values.learning_rate, betas, fused=True)
    optimizer_d = torch.optim.Adam(critic.parameters(), values.learning_rate, betas, fused=True)
    parts: dict[str, Any] = {
        "generator": generator, "critic": critic, "average": average,
        "optimizer_g": optimizer_g, "optimizer_d": optimizer_d,
    }  # fmt: skip

    # ---- continue where a killed run stopped --------------------------------------------------------------
    file, start, history, watched = folder / "state.pt", 0, [], Means()
    if state := load_state(file):
        start, history = state["step"], state["history"]
        watched = Means(state["sums"], state["counts"])
        for name, part in parts.items():
            part.load_state_dict(state[name])
    saved_at = time.monotonic()

    # ---- data on the device -------------------------------------------------------------------------------
    images, labels = torch.from_numpy(real.images).to(device), torch.from_numpy(real.labels).to(device)
    batch = gan.batch_size

    for step, progress in steps("train_gan", start=start, stop=gan.steps, units=batch, unit="img"):
        for group in (*optimizer_g.param_groups, *optimizer_d.param_groups):
            group["lr"] = values.learning_rate * _decay(gan, step)

        # ---- what both phases see -------------------------------------------------------------------------
        rows = torch.from_numpy(shuffled_rows(len(real), step * batch, batch, seed=gan.seed, stream=ROW_STREAM))
        x, y = to_unit_range(images[rows.to(device)]), labels[rows.to(device)]
        x = x.contiguous(memory_format=layout)
        mirror, shifts = _draw_augmentation(gan, step, device)
        if gan.flip:
            x = flip(x, mirror)
        z = torch.from_numpy(latents(step * 2 * batch, 2 * batch, values.latent_dim, seed=gan.seed, stream=FAKE_STREAM))
        z_d, z_g = z.to(device).chunk(2)

        # ---- discriminator --------------------------------------------------------------------------------
        with torch.no_grad():
            fake = generator(z_d, y)
        seen_real, seen_fake = _augment(gan, x, shifts[0]), _augment(gan, fake, shifts[1])
        loss_d, numbers = _discriminator_phase(gan, critic, seen_real, seen_fake, y, step)
        optimizer_d.zero_grad(set_to_none=True)
        loss_d.backward()
        optimizer_d.step()

        # ---- generator ------------------------------------------------------------------------------------
        critic.requires_grad_(False)
        seen_fake = _augment(gan, generator(z_g, y), shifts[2])
        loss_g, more = _generator_phase(gan, critic, seen_real.detach(), seen_fake, y)
        optimizer_g.zero_grad(set_to_none=True)
        loss_g.backward()
        optimizer_g.step()
        critic.requires_grad_(True)
        seen = (step + 1) * batch
        update_ema(average, generator, ema_decay(batch, seen, gan.ema_half_life_images, gan.ema_rampup))

        # ---- history, samples, state ----------------------------------------------------------------------
        watched.add(numbers | more)
        progress.advance(batch, _note(history))
        if (step + 1) % gan.probe_every == 0 or step + 1 == gan.steps:
            row = {"step": float(step + 1), "images": float(seen)} | watched.read()
            _refuse_non_finite(row, generator)
            history, watched = [*history, row], Means()
            on_probe(row, _sampler(average, gan, shape, real.class_names, device))
        if time.monotonic() - saved_at > SECONDS_BETWEEN_SAVES and step + 1 < gan.steps:
            saved = {name: part.state_dict() for name, part in parts.items()}
            place = {"step": step + 1, "history": history, "sums": watched.sums, "counts": watched.counts}
            save_state(file, saved | place)
            saved_at = time.monotonic()

    return _sampler(average, gan, shape, real.class_names, device), history


def _discriminator_phase(gan: Gan, critic: nn.Module, real: Tensor, fake: Tensor, y: Tensor, step: int) -> losses.Phase:
    if gan.recipe == "dcgan":
        return losses.dcgan_discriminator(critic, real, fake, y)
    return losses.r3_discriminator(critic, real, fake, y, gan.r3, penalize=step % gan.r3.penalty_every == 0)


def _generator_phase(gan: Gan, critic: nn.Module, real: Tensor, fake: Tensor, y: Tensor) -> losses.Phase:
    if gan.recipe == "dcgan":
        return losses.dcgan_generator(critic, fake, y)
    return losses.r3_generator(critic, real, fake, y, gan.r3)


def _decay(gan: Gan, step: int) -> float:
    """Factor of the learning rate: 1, then linear to 0 over the last `decay_percent` of the steps."""
    if gan.recipe == "dcgan" or gan.r3.decay_percent == 0:
        return 1.0
    return min(1.0, (gan.steps - step) / (gan.steps * gan.r3.decay_percent / 100))


def _draw_augmentation(gan: Gan, step: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which images are mirrored (bool, N) and three sets of shifts (int64, (3, N, 2)): real, fake for D, for G."""
    words = random_words(7 * gan.batch_size, seed=gan.seed, stream=AUGMENT_STREAM, position=step)
    mirror = torch.from_numpy((words[: gan.batch_size] & 1).astype(bool)).to(device)
    if not gan.translate:
        return mirror, torch.zeros(3, 0)
    span = 2 * gan.translate + 1
    shifts = (words[gan.batch_size :] % span).astype("int64").reshape(3, gan.batch_size, 2) - gan.translate
    return mirror, torch.from_numpy(shifts).to(device)


def _augment(gan: Gan, images: Tensor, shifts: Tensor) -> Tensor:
    return translate(images, shifts, gan.translate) if gan.translate else images


def _note(history: History) -> str:
    return f"D {history[-1]['loss_d']:.2f} G {history[-1]['loss_g']:.2f}" if history else ""


def _refuse_non_finite(row: dict[str, float], generator: nn.Module) -> None:
    finite = all(math.isfinite(value) for value in row.values())
    if not finite or not all(torch.isfinite(weight).all() for weight in generator.parameters()):
        raise UserError(
            f"train_gan: not finite any more at step {row['step']:.0f}; lower the learning rate of the recipe"
        )


def _sampler(
    average: nn.Module, gan: Gan, shape: ImageShape, class_names: tuple[str, ...], device: torch.device
) -> Sampler:
    """A copy of the averaged generator with statistics of its own, in evaluation mode."""
    latent_dim = (gan.r3 if gan.recipe == "r3" else gan.dcgan).latent_dim
    network = copy.deepcopy(average)
    recalibrate(network, latent_dim, shape.num_classes, seed=gan.seed)
    return Sampler(network, latent_dim, shape, class_names, device)
