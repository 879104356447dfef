"""Training of the class-conditional GAN: one straight loop that resumes to the bit and recovers from alarms."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.gan.augment import augment, draw_moves, flip
from pipeline.gan.build import build_networks, need_training_memory
from pipeline.gan.description import GanDescription
from pipeline.gan.discriminator import TrainedDiscriminator
from pipeline.gan.ema import update_ema
from pipeline.gan.health import find_alarm
from pipeline.gan.labels import Labels
from pipeline.gan.networks import ImageShape
from pipeline.gan.recipes import RECIPES, Views, discriminator_loss
from pipeline.gan.sampling import Sampler, recalibrate
from pipeline.gan.schedule import ema_decay, learning_rate
from pipeline.gan.state import BestState, Row, RunningMeans, load_training, restore, save_training, snapshot
from pipeline.gan.transfer import Start
from pipeline.images import LabelledImages, to_unit_range
from pipeline.params.schema import GanParams
from pipeline.randomness import RESTART, Stream, latents, shuffled_rows
from pipeline.runtime.errors import StoppedError, UserError
from pipeline.runtime.progress import Progress, bar_name, say

SECONDS_BETWEEN_SAVES = 30.0  # at most so much work is lost to a kill; when it is saved changes no number

Realness = Callable[[LabelledImages], NDArray[np.float32]]


class Probe(Protocol):
    """Measures a generator in training."""

    def __call__(self, draw: Callable[[int], LabelledImages], realness: Realness, *, with_cas: bool) -> Row:
        """Numbers of what `draw` gives (N => the first N images) and of the discriminator's logits, `realness`."""


@dataclass(frozen=True)
class Callbacks:
    """What looks on while a generator trains.

    Attributes:
        probe: measures generator and discriminator every `probe_every` steps.
        on_probe: takes the history's rows, the newest last, and the sampler.
        stop_wanted: the number of a signal to obey, 0 for none; asked after every step.
    """

    probe: Probe
    on_probe: Callable[[list[Row], Sampler], None]
    stop_wanted: Callable[[], int]


class TrainedGan(NamedTuple):
    """The best generator and its discriminator, how they came about, and the probes on the way."""

    sampler: Sampler
    discriminator: TrainedDiscriminator
    description: GanDescription
    history: list[Row]

    def save(self, folder: Path) -> None:
        """Writes both networks with their description."""
        self.sampler.save(folder, self.description)
        self.discriminator.save(folder, self.description)


def train_gan(
    gan: GanParams,
    real: LabelledImages,
    *,
    seed: int,
    device: torch.device,
    folder: Path,
    callbacks: Callbacks,
    start: Start | None = None,
) -> TrainedGan:
    """Trains a generator on `real`, from drawn weights or from `start`, and returns the best, ready to sample.

    The best are the averaged weights with the highest small CAS.

    Every draw is a function of (seed, restarts, step), so a run that was killed and continues from the state
    in `folder` gives the same weights as one that was not. An alarm takes training back to the best state, with
    other draws, half the learning rates and, from the second time on, a stronger gradient penalty.

    Raises:
        UserError: alarms outlasted the restarts, and no state was ever healthy; or there is not the memory.
        StoppedError: a signal came; the state is saved.
    """
    # ---- networks, averaged generator, optimizers -------------------------------------------------------
    values, recipe = gan.values, RECIPES[gan.recipe]
    shape = _shape(real)
    need_training_memory(gan, shape)
    layout = torch.channels_last
    pair = build_networks(gan, shape, seed=seed)
    if start:
        start.fill(pair)
    generator, discriminator = (net.to(device).to(memory_format=layout) for net in pair)
    average = copy.deepcopy(generator).requires_grad_(False)
    betas = (values.beta1, values.beta2)
    optimizer_g = torch.optim.Adam(generator.parameters(), values.learning_rate, betas, fused=True)
    optimizer_d = torch.optim.Adam(discriminator.parameters(), values.learning_rate, betas, fused=True)
    parts: dict[str, nn.Module | torch.optim.Optimizer] = {
        "generator": generator,
        "discriminator": discriminator,
        "average": average,
        "optimizer_g": optimizer_g,
        "optimizer_d": optimizer_d,
    }

    # ---- continue where a killed run stopped --------------------------------------------------------------
    file = folder / "state.pt"
    at, best, means = load_training(file, parts)
    saved_at = time.monotonic()

    # ---- data on the device -------------------------------------------------------------------------------
    images, labels = torch.from_numpy(real.images).to(device), torch.from_numpy(real.labels).to(device)
    batch = gan.batch_size

    with Progress(bar_name("train_gan"), total=gan.steps, unit="step", done=at.step) as progress:
        while at.step < gan.steps and not at.degraded:
            step, fork = at.step, RESTART * at.restarts
            for group in (*optimizer_g.param_groups, *optimizer_d.param_groups):
                group["lr"] = learning_rate(gan, step, at.restarts)

            # ---- what both players see --------------------------------------------------------------------
            rows = shuffled_rows(len(real), step * batch, batch, seed=seed, stream=Stream.GAN_ROWS + fork)
            index = torch.from_numpy(rows).to(device)
            x, y = to_unit_range(images.index_select(0, index)), labels[index]
            x = x.contiguous(memory_format=layout)
            moves = draw_moves(gan, seed, step, Stream.GAN_AUGMENTATION + fork, device)
            if gan.flip:
                x = flip(x, moves.mirror)
            z = latents(step * 2 * batch, 2 * batch, values.latent_dim, seed=seed, stream=Stream.GAN_LATENTS + fork)
            z_d, z_g = torch.from_numpy(z).to(device).chunk(2)

            # ---- discriminator ----------------------------------------------------------------------------
            with torch.no_grad():
                fake = generator(z_d, y)
            seen_real, seen_fake = augment(gan, x, moves.real), augment(gan, fake, moves.fake_for_d)
            second_view = augment(gan, x, moves.second_view) if recipe.uses_second_view else seen_real
            views = Views(seen_real, second_view, seen_fake, y)
            loss_d, numbers = discriminator_loss(discriminator, views, gan, step=step, restarts=at.restarts)
            optimizer_d.zero_grad(set_to_none=True)
            loss_d.backward()
            optimizer_d.step()

            # ---- generator --------------------------------------------------------------------------------
            discriminator.requires_grad_(False)
            views = views._replace(fake=augment(gan, generator(z_g, y), moves.fake_for_g))
            loss_g, more = recipe.generator_loss(discriminator, views, gan)
            optimizer_g.zero_grad(set_to_none=True)
            loss_g.backward()
            optimizer_g.step()
            discriminator.requires_grad_(True)
            seen = (step + 1) * batch
            update_ema(average, generator, ema_decay(batch, seen, gan.ema_half_life_images, gan.ema_rampup))

            # ---- probe: look, then keep the best state or go back to it -------------------------------------
            means.add(numbers | more)
            at.step += 1
            progress.advance(1, _note(at.history))
            if at.step % gan.probe_every == 0 or at.step == gan.steps:
                sampler = _sampler(average, gan, real, seed, device)
                row = {"step": float(at.step), "images": float(seen), "restarts": float(at.restarts)}
                row, means = row | means.read(), RunningMeans()
                with_cas = at.step % gan.health.cas_every == 0 or at.step == gan.steps
                if _is_finite(row, generator):
                    draw, realness = partial(_draw, sampler, seed), partial(_realness, discriminator, device)
                    row |= callbacks.probe(draw, realness, with_cas=with_cas)
                at.history.append({key: value for key, value in row.items() if math.isfinite(value)})
                if alarm := find_alarm(gan, [*at.history[at.first_row : -1], row]):
                    say(f"train_gan: step {at.step}: {alarm}; back to step {best.step}")
                    at.degraded = at.restarts == gan.health.max_restarts
                    at.restarts, at.step, at.first_row = at.restarts + 1, best.step, len(at.history)
                    restore(parts, best.parts)
                    progress.rewind(at.step)
                    continue
                callbacks.on_probe(at.history, sampler)
                if row.get("cas", -1.0) > best.cas:
                    best = BestState(at.step, row["cas"], snapshot(parts))

            # ---- state ------------------------------------------------------------------------------------
            signal_number = callbacks.stop_wanted()
            if (signal_number or time.monotonic() - saved_at > SECONDS_BETWEEN_SAVES) and at.step < gan.steps:
                save_training(file, at, best, means, parts)
                saved_at = time.monotonic()
                if signal_number:
                    raise StoppedError(signal_number, f"train_gan, step {at.step} of {gan.steps}")

    if best.cas < 0:
        raise UserError(
            f"train_gan: no state of the generator was healthy ({alarm}); lower gan.{gan.recipe}.learning_rate"
        )
    restore(parts, best.parts)
    restarts = min(at.restarts, gan.health.max_restarts)
    return TrainedGan(
        _sampler(average, gan, real, seed, device),
        TrainedDiscriminator(discriminator.requires_grad_(False).eval(), device),
        _describe(gan, real, best, start, seed=seed, restarts=restarts, degraded=at.degraded),
        at.history,
    )


def _describe(
    gan: GanParams,
    real: LabelledImages,
    best: BestState,
    start: Start | None,
    *,
    seed: int,
    restarts: int,
    degraded: bool,
) -> GanDescription:
    assert gan.recipe != "none"
    return GanDescription(
        recipe=gan.recipe,
        networks=gan.networks,
        latent_dim=gan.values.latent_dim,
        width=gan.values.width,
        image_size=real.images.shape[1],
        channels=real.images.shape[3],
        class_names=real.class_names,
        images_seen=best.step * gan.batch_size,
        restarts=restarts,
        degraded=degraded,
        small_cas=round(best.cas, 6),
        seed=seed,
        transfer=start.record if start else None,
    )


def _draw(sampler: Sampler, seed: int, count: int) -> LabelledImages:
    """The first `count` images that the sampler draws, classes in turn."""
    classes = Labels.balanced(len(sampler.class_names))
    images, labels = sampler.draw(0, count, seed=seed, std=1.0, labels=classes)
    return LabelledImages(images, labels, sampler.class_names)


@torch.no_grad()
def _realness(discriminator: nn.Module, device: torch.device, data: LabelledImages) -> NDArray[np.float32]:
    """Logits (N,) in evaluation mode, so that no statistic and no spectral vector moves."""
    discriminator.eval()
    images = to_unit_range(torch.from_numpy(data.images).to(device)).contiguous(memory_format=torch.channels_last)
    logits: NDArray[np.float32] = (
        discriminator(images, torch.from_numpy(data.labels).to(device))[0].float().cpu().numpy()
    )
    discriminator.train()
    return logits


def _note(history: list[Row]) -> str:
    """The newest losses and small CAS, for the progress bar."""
    if not history:
        return ""
    cas = [row["cas"] for row in history if "cas" in row]
    losses_text = f"D {history[-1].get('loss_d', math.nan):.2f} G {history[-1].get('loss_g', math.nan):.2f}"
    return losses_text + (f" CAS {100 * cas[-1]:.1f} %" if cas else "")


def _is_finite(row: Row, generator: nn.Module) -> bool:
    """Whether numbers and weights are; weights that are not leave a NaN in `row`, for the alarm to see."""
    if not all(torch.isfinite(weight).all() for weight in generator.parameters()):
        row["weights"] = math.nan
    return all(math.isfinite(value) for value in row.values())


def _sampler(average: nn.Module, gan: GanParams, real: LabelledImages, seed: int, device: torch.device) -> Sampler:
    """A copy of the averaged generator with statistics of its own, in evaluation mode."""
    network = copy.deepcopy(average)
    recalibrate(network, gan.values.latent_dim, len(real.class_names), seed=seed)
    return Sampler(network, gan.values.latent_dim, _shape(real), real.class_names, device)


def _shape(real: LabelledImages) -> ImageShape:
    return ImageShape(real.images.shape[1], real.images.shape[3], len(real.class_names))
