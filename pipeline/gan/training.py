"""Training of the class-conditional GAN: one straight loop that resumes to the bit and recovers from alarms."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.gan.augment import flip
from pipeline.gan.ema import ema_decay, update_ema
from pipeline.gan.health import find_alarm, learning_rate_factor
from pipeline.gan.labels import Labels
from pipeline.gan.networks import ImageShape, build_networks
from pipeline.gan.phases import (
    augment,
    discriminator_phase,
    draw_augmentation,
    generator_phase,
    learning_rate_decay,
)
from pipeline.gan.sampling import Sampler, recalibrate
from pipeline.gan.scoring import Scorer
from pipeline.gan.sizes import check_room
from pipeline.images import LabelledImages, to_unit_range
from pipeline.params.schema import GanParams
from pipeline.randomness import RESTART, Stream, latents, shuffled_rows
from pipeline.runtime.checkpoint import load_state, save_state
from pipeline.runtime.errors import StoppedError, UserError
from pipeline.runtime.progress import Progress

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


@dataclass
class Place:
    """How far training is; `first_row` is the history's first row since the last restart."""

    step: int = 0
    restarts: int = 0
    first_row: int = 0
    degraded: bool = False
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Watch:
    """Who looks on while a generator trains.

    Attributes:
        examine: measures the images that a draw function gives (N => N images), with a small CAS or without, and
            the discriminator by the realness logits (N,) that it gives to labelled images.
        on_probe: sees the history so far, alarms included, and the sampler.
        stop_wanted: the number of a signal to obey, 0 for none; asked after every step.
    """

    examine: Callable[..., dict[str, float]]
    on_probe: Callable[[list[dict[str, float]], Sampler], None]
    stop_wanted: Callable[[], int]


class TrainedGan(NamedTuple):
    """The best generator, its small CAS (0-1), its discriminator, and how they came about.

    `degraded` if alarms outlasted the restarts.
    """

    sampler: Sampler
    history: list[dict[str, float]]
    step: int
    restarts: int
    degraded: bool
    cas: float
    scorer: Scorer


def train_gan(gan: GanParams, real: LabelledImages, *, device: torch.device, folder: Path, watch: Watch) -> TrainedGan:
    """Trains a generator on `real` and returns the averaged weights with the best small CAS, ready to sample.

    Every draw is a function of (gan.seed, restarts, step), so a run that was killed and continues from the state
    in `folder` gives the same weights as one that was not. An alarm takes training back to the best state, with
    other draws, half the learning rates and, from the second time on, a stronger gradient penalty.

    Raises:
        UserError: alarms outlasted the restarts, and no state was ever healthy; or there is not the memory.
        StoppedError: a signal came; the state is saved.
    """
    # ---- networks, averaged generator, optimizers -------------------------------------------------------
    values = gan.values
    shape = ImageShape(real.images.shape[1], real.images.shape[3], len(real.class_names))
    check_room(gan, shape)
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
    file, at, watched = folder / "state.pt", Place(), Means()
    best: dict[str, Any] = {"step": 0, "cas": -1.0, "parts": _snapshot(parts)}
    if state := load_state(file):
        at, best, watched = Place(**state["place"]), state["best"], Means(state["sums"], state["counts"])
        _restore(parts, state["parts"])
    saved_at = time.monotonic()

    # ---- data on the device -------------------------------------------------------------------------------
    images, labels = torch.from_numpy(real.images).to(device), torch.from_numpy(real.labels).to(device)
    batch = gan.batch_size

    with Progress("train_gan", total=gan.steps * batch, unit="img", done=at.step * batch) as progress:
        while at.step < gan.steps and not at.degraded:
            step, fork = at.step, RESTART * at.restarts
            for group in (*optimizer_g.param_groups, *optimizer_d.param_groups):
                group["lr"] = values.learning_rate * learning_rate_decay(gan, step) * learning_rate_factor(at.restarts)

            # ---- what both phases see ---------------------------------------------------------------------
            rows = shuffled_rows(len(real), step * batch, batch, seed=gan.seed, stream=Stream.GAN_ROWS + fork)
            index = torch.from_numpy(rows).to(device)
            x, y = to_unit_range(images.index_select(0, index)), labels[index]
            x = x.contiguous(memory_format=layout)
            mirror, shifts = draw_augmentation(gan, step, Stream.GAN_AUGMENTATION + fork, device)
            if gan.flip:
                x = flip(x, mirror)
            z = latents(step * 2 * batch, 2 * batch, values.latent_dim, seed=gan.seed, stream=Stream.GAN_LATENTS + fork)
            z_d, z_g = torch.from_numpy(z).to(device).chunk(2)

            # ---- discriminator ----------------------------------------------------------------------------
            with torch.no_grad():
                fake = generator(z_d, y)
            seen_real, seen_fake = augment(gan, x, shifts[0]), augment(gan, fake, shifts[1])
            twin = augment(gan, x, shifts[3]) if gan.recipe == "hinge_sn" else seen_real
            loss_d, numbers = discriminator_phase(
                gan, critic, seen_real, twin, seen_fake, y, step=step, restarts=at.restarts
            )
            optimizer_d.zero_grad(set_to_none=True)
            loss_d.backward()
            optimizer_d.step()

            # ---- generator --------------------------------------------------------------------------------
            critic.requires_grad_(False)
            seen_fake = augment(gan, generator(z_g, y), shifts[2])
            loss_g, more = generator_phase(gan, critic, seen_real.detach(), seen_fake, y)
            optimizer_g.zero_grad(set_to_none=True)
            loss_g.backward()
            optimizer_g.step()
            critic.requires_grad_(True)
            seen = (step + 1) * batch
            update_ema(average, generator, ema_decay(batch, seen, gan.ema_half_life_images, gan.ema_rampup))

            # ---- probe: look, then keep the best state or go back to it -------------------------------------
            watched.add(numbers | more)
            at.step += 1
            progress.advance(batch, _note(at.history))
            if at.step % gan.probe_every == 0 or at.step == gan.steps:
                sampler = _sampler(average, gan, shape, real.class_names, device)
                row = {"step": float(at.step), "images": float(seen), "restarts": float(at.restarts)}
                row, watched = row | watched.read(), Means()
                with_cas = at.step % gan.health.cas_every == 0 or at.step == gan.steps
                if _is_finite(row, generator):
                    draw, critique = partial(_drawn, sampler, gan.seed), partial(_realness, critic, device)
                    row |= watch.examine(draw, critique, with_cas=with_cas)
                at.history.append({key: value for key, value in row.items() if math.isfinite(value)})
                if alarm := find_alarm(gan, [*at.history[at.first_row : -1], row]):
                    progress.say(f"train_gan: step {at.step}: {alarm}; back to step {best['step']}")
                    at.degraded = at.restarts == gan.health.max_restarts
                    at.restarts, at.step, at.first_row = at.restarts + 1, best["step"], len(at.history)
                    _restore(parts, best["parts"])
                    progress.rewind(at.step * batch)
                    continue
                watch.on_probe(at.history, sampler)
                if row.get("cas", -1.0) > best["cas"]:
                    best = {"step": at.step, "cas": row["cas"], "parts": _snapshot(parts)}

            # ---- state ------------------------------------------------------------------------------------
            signal_number = watch.stop_wanted()
            if (signal_number or time.monotonic() - saved_at > SECONDS_BETWEEN_SAVES) and at.step < gan.steps:
                place = {"place": asdict(at), "best": best, "sums": watched.sums, "counts": watched.counts}
                save_state(file, place | {"parts": {name: part.state_dict() for name, part in parts.items()}})
                saved_at = time.monotonic()
                if signal_number:
                    raise StoppedError(signal_number, f"train_gan, step {at.step} of {gan.steps}")

    if best["cas"] < 0:
        raise UserError(
            f"train_gan: no state of the generator was healthy ({alarm}); lower gan.{gan.recipe}.learning_rate"
        )
    _restore(parts, best["parts"])
    restarts = min(at.restarts, gan.health.max_restarts)
    sampler = _sampler(average, gan, shape, real.class_names, device)
    scorer = Scorer(critic.requires_grad_(False).eval(), device)
    return TrainedGan(sampler, at.history, best["step"], restarts, at.degraded, best["cas"], scorer)


def _snapshot(parts: dict[str, Any]) -> dict[str, Any]:
    return {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}


def _restore(parts: dict[str, Any], state: dict[str, Any]) -> None:
    for name, part in parts.items():
        part.load_state_dict(copy.deepcopy(state[name]))  # an optimizer would go on in the tensors that it is given


def _drawn(sampler: Sampler, seed: int, count: int) -> LabelledImages:
    classes = Labels.balanced(len(sampler.class_names))
    images, labels = sampler.draw(0, count, seed=seed, std=1.0, labels=classes)
    return LabelledImages(images, labels, sampler.class_names)


@torch.no_grad()
def _realness(critic: nn.Module, device: torch.device, data: LabelledImages) -> NDArray[np.float32]:
    """Logits (N,) in evaluation mode, so that no statistic and no spectral vector moves."""
    critic.eval()
    images = to_unit_range(torch.from_numpy(data.images).to(device)).contiguous(memory_format=torch.channels_last)
    logits: NDArray[np.float32] = critic(images, torch.from_numpy(data.labels).to(device))[0].float().cpu().numpy()
    critic.train()
    return logits


def _note(history: list[dict[str, float]]) -> str:
    if not history:
        return ""
    cas = [row["cas"] for row in history if "cas" in row]
    losses_text = f"D {history[-1].get('loss_d', math.nan):.2f} G {history[-1].get('loss_g', math.nan):.2f}"
    return losses_text + (f" CAS {100 * cas[-1]:.1f} %" if cas else "")


def _is_finite(row: dict[str, float], generator: nn.Module) -> bool:
    """Whether numbers and weights are; weights that are not leave a NaN in `row`, for the alarm to see."""
    if not all(torch.isfinite(weight).all() for weight in generator.parameters()):
        row["weights"] = math.nan
    return all(math.isfinite(value) for value in row.values())


def _sampler(
    average: nn.Module, gan: GanParams, shape: ImageShape, class_names: tuple[str, ...], device: torch.device
) -> Sampler:
    """A copy of the averaged generator with statistics of its own, in evaluation mode."""
    network = copy.deepcopy(average)
    recalibrate(network, gan.values.latent_dim, shape.num_classes, seed=gan.seed)
    return Sampler(network, gan.values.latent_dim, shape, class_names, device)
