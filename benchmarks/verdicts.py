"""How often an answer is wrong: `python -m benchmarks.verdicts`, half a minute on one core.

Draws whole ablations whose truth is known, DRAWS (environment; 2,000) of each kind, lets `decide` judge them and
counts. A replicate has its own split, GAN and classifiers: GANs differ by a standard deviation of 0, 0.5 or 1 points,
the same at every share or in proportion to it. The classifiers' is 0.3 on test; half of it, 0.15, val shares, more than
classifiers differ on all images that there could be (Jordan 2023). Prints each share with its limit; exit code 1 if
one is missed. The peer below is the analysis of variance with replicates as blocks, its residual pooled over the
shares that hold real images.
"""

import os
import sys
from collections.abc import Iterator
from math import sqrt
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from pipeline.evaluation.power import paired_power
from pipeline.evaluation.statistics import (
    SIGNIFICANCE,
    Arms,
    Decision,
    Measurements,
    Verdict,
    compare_selected,
    decide,
    finds_something,
    holm,
)

DRAWS = int(os.environ.get("DRAWS", "2000"))
PERCENTS = (5, 10, 25, 50, 100)
FIXED = 25  # the share whose interval is looked at whatever val chooses, and which gets the planted gain
REAL = 80.0  # accuracy on real images alone, in percent; all below in points
SPLIT, LUCK, TEST, VAL = 0.5, 0.15, 0.26, 0.5  # standard deviations: of replicates, of classifiers, of either split
RIVAL_LUCK = 0.55  # of the committed cells, splits of their own among it: the more of it, the more a choice flatters
SETTINGS = 9  # that are compared with their best rivals side by side
CLEAR = 1.5  # what fresh real images gain where a setting can tell
IMAGE, MARGIN = 1e-4, 0.005

Floats = NDArray[np.float64]
Judged = list[tuple[Measurements, Decision]]


class World(NamedTuple):
    """A truth to draw ablations from; gains are in points, at every share but for `alone`, which is at FIXED."""

    replicates: int = 5
    between: float = 0.0  # standard deviation between GANs
    grows: bool = False  # in proportion to the share
    alone: float = 0.0
    synthetic: float = 0.0
    ceiling: float = CLEAR
    placebo: float = 0.0

    @property
    def name(self) -> str:
        """How the table calls it."""
        return f"n = {self.replicates}, GANs {self.between:g}{' x share' * self.grows}"


class Row(NamedTuple):
    """A line of the table: shares of DRAWS ablations, from 0 to 1."""

    claim: str
    world: World
    value: float
    side: Literal["<=", ">="]
    limit: float

    def is_met(self, tolerance: float = 0.0) -> bool:
        """Whether the value keeps to its limit, or misses it by less than `tolerance`."""
        excess = self.value - self.limit if self.side == "<=" else self.limit - self.value
        return excess <= tolerance


WORLDS = tuple(
    World(replicates, between, grows)
    for replicates in (3, 5)
    for between, grows in ((0.0, False), (0.5, False), (1.0, False), (1.0, True))
)


def main() -> None:
    """Prints the table and the peer's coverage; exit code 1 if a limit is missed."""
    rows = list(make_rows(DRAWS))
    print(f"| claim, of {DRAWS:,} ablations | truth | share | limit | ratio | met |\n|---|---|---|---|---|---|")
    for row in rows:
        limit, ratio = f"{row.side} {100 * row.limit:.1f} %", row.value / row.limit
        met = "met" if row.is_met() else "missed"
        print(f"| {row.claim} | {row.world.name} | {100 * row.value:.1f} % | {limit} | {ratio:.2f} | {met} |")
    for world in WORLDS:
        held = np.mean([holds_zero(*blocked_interval(measured)) for measured, _ in judge(world, DRAWS)])
        print(
            f"peer, analysis of variance with blocks: interval at {FIXED} % holds the truth, {world.name}: {held:.1%}"
        )
    sys.exit(0 if all(row.is_met() for row in rows) else 1)


def make_rows(draws: int) -> Iterator[Row]:
    """Every claim on `draws` ablations."""
    for world in WORLDS:
        judged, promise = judge(world, draws), promised(world)
        yield Row("no effect is called help or harm", world, told(judged, "helps", "hurts"), "<=", SIGNIFICANCE)
        chosen, fixed = coverage(judged), coverage(judged, FIXED)
        yield Row("the chosen share's interval holds the truth", world, chosen, ">=", 0.93)
        yield Row(f"the interval at {FIXED} % holds the truth", world, fixed, ">=", 0.93)
        found = told(judge(world._replace(synthetic=1.0), draws), "helps")
        yield Row("1 point is found as often as promised", world, found, ">=", promise)
        found = told(judge(world._replace(alone=1.0), draws), "helps")
        # less often: val may pick another share, and with few replicates the corrected ceiling may show no sure gain
        yield Row(f"1 point at {FIXED} % alone, 0.7 times as often", world, found, ">=", 0.7 * promise)
    yield from make_control_rows(draws)
    yield from make_rival_rows(draws)


def make_control_rows(draws: int) -> Iterator[Row]:
    """What is said where the synthetic images are real ones, and where a control forbids a verdict."""
    copies, fresh = World(), World(synthetic=CLEAR)
    full, faulty = World(synthetic=CLEAR, ceiling=0.0), World(synthetic=CLEAR, placebo=2.0)
    judged = judge(copies, draws)
    yield Row("copies of train are called help or harm", copies, told(judged, "helps", "hurts"), "<=", SIGNIFICANCE)
    alarms = sum(finds_something(decision.placebo_p_value) for _, decision in judged) / draws
    yield Row("a sound placebo raises an alarm", copies, alarms, "<=", 0.015)  # 0.01, and the chance of 2,000 draws
    clear = [(measured, decision) for measured, decision in judge(fresh, draws) if ceiling_is_clear(decision)]
    yield Row("fresh real images help, the ceiling being clear", fresh, told(clear, "helps"), ">=", 0.95)
    for world, why in ((full, "fresh real images gain nothing"), (faulty, "the placebo gains 2 points")):
        yield Row(f"nothing is told where {why}", world, told(judge(world, draws), "cannot_tell"), ">=", 0.95)


def make_rival_rows(draws: int) -> Iterator[Row]:
    """How often one of SETTINGS settings is called better or worse than its best rival where none is, after Holm."""
    for num_rivals in (1, len(PERCENTS)):
        for replicates in (5, 10):
            random = np.random.default_rng(0)
            found = [any_found(random, num_rivals, replicates) for _ in range(draws)]
            claim = f"one of {SETTINGS} settings differs from the best of {num_rivals} rivals"
            yield Row(
                claim, World(replicates), float(np.mean(found)), "<=", 0.06
            )  # 0.05, and the chance of 2,000 draws


def any_found(random: np.random.Generator, num_rivals: int, replicates: int) -> bool:
    """Whether settings find a difference between what val chooses among arms that are all equal."""
    p_values = []
    for _ in range(SETTINGS):
        shares, rivals = (
            Arms(dict(enumerate((on_val / 100).tolist())), dict(enumerate((test / 100).tolist())))
            for test, on_val in (
                cells(random, np.full((arms, replicates), REAL), RIVAL_LUCK) for arms in (len(PERCENTS), num_rivals)
            )
        )
        p_values.append(compare_selected(shares, rivals, IMAGE).p_value)
    return min(holm(p_values)) < SIGNIFICANCE


def judge(world: World, draws: int) -> Judged:
    """`draws` ablations with what the shipped code says of them; the same ones at every call."""
    random = np.random.default_rng(0)
    ablations = [draw(world, random) for _ in range(draws)]
    return [(measured, decide(measured)) for measured in ablations]


def draw(world: World, random: np.random.Generator) -> Measurements:
    """One ablation: accuracies as counts of test images."""
    level = REAL + random.normal(0, SPLIT, world.replicates)
    shares = np.array(PERCENTS)[:, None] / 100
    gans = random.normal(0, world.between, world.replicates) * (shares if world.grows else 1.0)
    mixed, on_val = cells(random, level + gans + world.synthetic + world.alone * (shares == FIXED / 100))
    ceiling, placebo = (cells(random, level + gain + 0 * shares)[0] for gain in (world.ceiling, world.placebo))
    baseline = cells(random, level[None])[0]
    return Measurements(
        val=by_percent(on_val),
        test=by_percent(mixed),
        baselines=by_percent(np.tile(baseline, (len(PERCENTS), 1))),
        ceiling=by_percent(ceiling),
        placebo=by_percent(placebo),
        resolution=IMAGE,
        margin=MARGIN,
    )


def cells(random: np.random.Generator, accuracies: Floats, luck: float = LUCK) -> tuple[Floats, Floats]:
    """Measured on test and on val, of classifiers with such true accuracies, in percent, and of such luck."""
    lucky = accuracies + random.normal(0, luck, accuracies.shape)
    return lucky + random.normal(0, TEST, accuracies.shape), lucky + random.normal(0, VAL, accuracies.shape)


def by_percent(points: Floats) -> dict[int, list[float]]:
    """Accuracies (shares, replicates) as fractions of the test images."""
    return dict(zip(PERCENTS, (points / 100).round(4).tolist(), strict=True))


def told(judged: Judged, *verdicts: Verdict) -> float:
    """Share of the ablations with one of the verdicts."""
    return sum(decision.verdict in verdicts for _, decision in judged) / len(judged)


def ceiling_is_clear(decision: Decision) -> bool:
    """Whether fresh real images gain for certain at the chosen share."""
    return decision.ceiling[decision.chosen_percent].difference.low > 0


def coverage(judged: Judged, percent: int | None = None) -> float:
    """Share of the intervals, the chosen percent's or that of `percent`, that hold 0, the truth where no gain is."""
    intervals = [decision.comparisons[percent or decision.chosen_percent].difference for _, decision in judged]
    return sum(holds_zero(interval.low, interval.high) for interval in intervals) / len(judged)


def promised(world: World) -> float:
    """Chance to detect 1 point at FIXED, by the program's power line and the true standard deviation."""
    between = world.between * (FIXED / 100 if world.grows else 1)
    return paired_power(1.0, sqrt(2 * (LUCK**2 + TEST**2) + between**2), world.replicates, SIGNIFICANCE / len(PERCENTS))


def blocked_interval(measured: Measurements) -> tuple[float, float]:
    """95 % interval at FIXED by an analysis of variance with replicates as blocks, 100 % apart."""
    settings = np.array([measured.baselines[FIXED], *(measured.test[percent] for percent in PERCENTS[:-1])])
    rest = settings - settings.mean(0) - settings.mean(1, keepdims=True) + settings.mean()
    replicates, freedom = settings.shape[1], (settings.shape[0] - 1) * (settings.shape[1] - 1)
    error = sqrt(2 * (rest**2).sum() / freedom / replicates)
    mean = np.mean(measured.test[FIXED]) - np.mean(measured.baselines[FIXED])
    return mean - t.ppf(0.975, freedom) * error, mean + t.ppf(0.975, freedom) * error


def holds_zero(low: float, high: float) -> bool:
    """Whether an interval holds 0."""
    return low <= 0 <= high


if __name__ == "__main__":
    main()
