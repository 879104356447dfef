from collections.abc import Sequence
from dataclasses import replace
from math import sqrt

import numpy as np

from benchmarks.verdicts import PERCENTS, Row, World, draw, make_rows
from pipeline.classifier.record import CellRecord
from pipeline.evaluation.statistics import Measurements, decide
from tests.evaluation_inputs import Inputs, make_params, plant

DRAWS = 200


def test_answers_are_wrong_no_more_often_than_they_say() -> None:
    """Of 200 ablations of each kind, every share keeps to its limit but for the chance of 200 draws (3 deviations)."""

    def is_met(row: Row) -> bool:
        return row.is_met(tolerance=3 * sqrt(row.limit * (1 - row.limit) / DRAWS))

    assert [row for row in make_rows(DRAWS) if not is_met(row)] == []


def test_evaluate_says_what_was_simulated() -> None:
    """The result of an ablation's cells has the verdict, the percent and the p of the placebo that `decide` gives."""
    percents = ",".join(map(str, PERCENTS))
    params = make_params(f"ablation.synthetic_percent=[{percents}]", "ablation.real_percent=[100]")
    inputs = plant(params, lambda _: 0.0)
    image, margin = 1 / params.dataset.test_size, params.ablation.margin_points / 100
    random = np.random.default_rng(0)
    for world, verdict in (
        (World(synthetic=1.5), "helps"),
        (World(synthetic=-2.0), "hurts"),
        (World(synthetic=1.5, ceiling=0.0), "cannot_tell"),
        (World(between=1.0), "too_few_replicates"),
    ):
        measured = replace(draw(world, random), resolution=image, margin=margin)
        result, decision = measured_cells(inputs, measured).compare(), decide(measured)
        assert (result.verdict, result.chosen_percent) == (decision.verdict, decision.chosen_percent)
        assert result.verdict == verdict


def measured_cells(inputs: Inputs, measured: Measurements) -> Inputs:
    """`inputs` with the drawn accuracies in its cells."""
    grid, controls = inputs.grid, {"ceiling": measured.ceiling, "placebo": measured.placebo}
    mixed = {p: with_accuracies(cells, measured.test[p], measured.val[p]) for p, cells in grid.mixed.items()}
    real = {100: with_accuracies(grid.real[100], measured.baselines[PERCENTS[0]], measured.val[PERCENTS[0]])}
    controlled = {
        control: {p: with_accuracies(cells, controls[control][p], measured.val[p]) for p, cells in group.items()}
        for control, group in grid.controls.items()
    }
    return replace(inputs, grid=replace(grid, real=real, mixed=mixed, controls=controlled))


def with_accuracies(cells: list[CellRecord], test: Sequence[float], val: Sequence[float]) -> list[CellRecord]:
    """The cells of all replicates with other accuracies."""
    return [
        cell.model_copy(update={"test_accuracy": on_test, "val_accuracy": on_val})
        for cell, on_test, on_val in zip(cells, test, val, strict=True)
    ]
