"""When GAN training has gone wrong: alarms on what the probes measured."""

import math
from collections.abc import Sequence

from pipeline.gan.recipes import RECIPES
from pipeline.params.schema import GanParams

Row = dict[str, float]


def find_alarm(gan: GanParams, rows: Sequence[Row]) -> str:
    """What is wrong at the last of `rows` (the probes since the last restart, in order), or an empty text.

    Divergence shows as numbers that are not finite or a discriminator that always wins, overfitting as unseen real
    images that it takes for generated ones; collapse as classes without variety, classes that the judge does not
    see, or lost coverage.
    """
    last, health, lately = rows[-1], gan.health, rows[-gan.health.patience :]
    if not all(math.isfinite(value) for value in last.values()):
        return "numbers are not finite"
    recent = [row["loss_d"] / RECIPES[gan.recipe].guessing_loss for row in lately]
    if len(recent) == health.patience and max(recent) < health.won_below:
        return f"the discriminator has won (its loss is {100 * recent[-1]:.1f} % of guessing)"
    if len(recent) == health.patience and min(recent) > health.dead_above:
        return f"the discriminator is dead (its loss is {100 * recent[-1]:.1f} % of guessing)"
    if len(recent) == health.patience and min(row["overfitting"] for row in lately) > health.max_overfitting:
        return f"the discriminator knows its images by heart (overfitting {last['overfitting']:.2f})"
    if last["step"] < gan.steps * health.grace_percent / 100:
        return ""
    if last["gan_test_weakest"] < health.min_gan_test:
        return f"a class is lost (the judge recognises {100 * last['gan_test_weakest']:.0f} % of it)"
    if last["diversity_weakest"] < health.min_diversity:
        return f"a class has collapsed (its variance is {last['diversity_weakest']:.2f} of real images')"
    best = max(row["coverage"] for row in rows)
    if last["coverage"] < best - health.max_coverage_drop:
        return f"coverage fell from {best:.2f} to {last['coverage']:.2f}"
    return ""
