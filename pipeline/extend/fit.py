"""Rows of a new class, fitted to a few images of it, while the generator and all old rows stay as they are.

Few images give the generator little to learn from but the new class's rows; with all else frozen it cannot forget
(BSA, Noguchi & Harada 2019, learns scales and shifts alone; cGANTransfer, Shahbazi et al. 2021, combinations of old
rows). Every target has a latent of its own, fitted beside the rows and disturbed by noise, so that a neighbourhood of
it, and not the one point, draws the target.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pipeline.extend.rows import State, WidenedGenerator
from pipeline.extend.streams import Stream
from pipeline.images import LabelledImages, to_unit_range
from pipeline.params.schema import ExtendParams
from pipeline.randomness import latents, shuffled_rows
from pipeline.runtime.progress import Progress, bar_name

BETAS = (0.5, 0.99)  # of Adam
Rows = Callable[[], State]


class Trunk:
    """What a frozen discriminator computes of images before it looks at a class: its convolutions' outputs."""

    def __init__(self, discriminator: nn.Module) -> None:
        self._network = discriminator.eval().requires_grad_(False)
        self._found: list[Tensor] = []
        for module in discriminator.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(lambda _, __, output: self._found.append(output))

    def __call__(self, x: Tensor) -> list[Tensor]:
        """A map a convolution, of NCHW images in [-1, 1]."""
        self._found.clear()
        self._network(x, torch.zeros(len(x), dtype=torch.long, device=x.device))
        return list(self._found)

    def distance(self, drawn: Tensor, wanted: Tensor) -> Tensor:
        """Mean absolute difference of the maps, over their mean absolute value: one number for all layers alike."""
        with torch.no_grad():
            maps = self(wanted)
        terms = [(a - b).abs().mean() / b.abs().mean() for a, b in zip(self(drawn), maps, strict=True)]
        return torch.stack(terms).mean() if terms else drawn.new_zeros(())


def fit_rows(
    generator: WidenedGenerator,
    discriminator: nn.Module,
    targets: LabelledImages,
    values: ExtendParams,
    latent_dim: int,
    *,
    seed: int,
) -> float:
    """Fits the rows of the new classes to `targets`, whose labels are theirs, and fills them in; returns the last loss.

    Loss of a step: mean absolute difference of pixels in [-1, 1], plus `feature_weight` times that of the
    discriminator's maps, plus `prior_weight` times how far the latents are from standard normal ones. Adam; rates fall
    linearly to zero over the second half.
    """
    device = next(generator.network.parameters()).device
    trunk, size = Trunk(discriminator), min(values.num_targets, len(targets))
    x, y = to_unit_range(torch.from_numpy(targets.images).to(device)), torch.from_numpy(targets.labels).to(device)
    z = torch.from_numpy(latents(0, len(targets), latent_dim, seed=seed, stream=Stream.LATENTS)).to(device)
    z.requires_grad_(True)
    rows, learned = _learned_rows(generator, len(targets.class_names) - generator.num_old, values.method)
    rates = [{"params": learned, "lr": values.row_rate}, {"params": [z], "lr": values.latent_rate}]
    optimizer = torch.optim.Adam(rates, betas=BETAS)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, 2 - 2 * step / values.steps))
    last = 0.0
    with Progress(bar_name("extend"), total=values.steps, unit="step") as progress:
        for step in range(values.steps):
            chosen = torch.from_numpy(shuffled_rows(len(targets), step * size, size, seed=seed, stream=Stream.ROWS))
            noise = torch.from_numpy(latents(step * size, size, latent_dim, seed=seed, stream=Stream.NOISE)).to(device)
            drawn = generator.draw(rows(), z[chosen] + values.noise * noise, y[chosen])
            loss = (drawn - x[chosen]).abs().mean() + values.feature_weight * trunk.distance(drawn, x[chosen])
            loss = loss + values.prior_weight * distance_to_normal(z)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            last = loss.item()
            progress.advance(1, f"loss {last:.3f}")
    generator.fill(rows())
    return last


def distance_to_normal(z: Tensor) -> Tensor:
    """Mean over the dimensions of the squared mean and of the squared excess of the variance: 0 for a normal prior."""
    return (z.mean(0) ** 2 + (z.var(0, correction=0) - 1) ** 2).mean()


def _learned_rows(generator: WidenedGenerator, num_new: int, method: str) -> tuple[Rows, Sequence[Tensor]]:
    """The new classes' rows as a function of what is learned, and that; at first each row is the old ones' mean.

    `rows`: the rows themselves. `combination`: weights of the old rows, which begin equal, and a residual, 0 at first
    (Shahbazi et al. 2021, section 3).
    """
    old = generator.old_rows()
    if method == "rows":
        free = {name: rows.mean(0, keepdim=True).repeat_interleave(num_new, 0) for name, rows in old.items()}
        learned = {name: value.requires_grad_(True) for name, value in free.items()}
        return (lambda: dict(learned)), list(learned.values())
    shares = {name: torch.full((num_new, len(rows)), 1 / len(rows), requires_grad=True) for name, rows in old.items()}
    residuals = {
        name: torch.zeros((num_new, *rows.shape[1:]), requires_grad=True, device=rows.device)
        for name, rows in old.items()
    }

    def combine() -> State:
        return {
            name: torch.tensordot(shares[name].to(rows.device), rows, 1) + residuals[name] for name, rows in old.items()
        }

    return combine, [*shares.values(), *residuals.values()]
