"""Every declared cell against the baseline: the content of ablation.json."""

from collections.abc import Callable, Iterable
from operator import attrgetter
from pathlib import Path
from statistics import fmean

from pipeline.assessment.record import AssessRecord
from pipeline.classifier.record import CellRecord
from pipeline.evaluation.effect import ErrorsRemoved, errors_removed
from pipeline.evaluation.grid import Cells, read_grid
from pipeline.evaluation.power import measure_power
from pipeline.evaluation.real_equivalent import measure, real_equivalent
from pipeline.evaluation.result import (
    Answer,
    Champion,
    Change,
    Headline,
    Optimism,
    RealEquivalent,
    RealPercentPoint,
    Result,
    Setting,
    SettingSummary,
)
from pipeline.evaluation.statistics import (
    Decision,
    Interval,
    PairedComparison,
    cross_fitted,
    decide,
    mean_interval,
    paired_difference,
)
from pipeline.evaluation.wording import optimism_text, power_text, verdict_text
from pipeline.params.schema import Params

METRIC = "test_accuracy"
ITSELF = PairedComparison(Interval(0.0, 0.0, 0.0), 0.0, 1.0)  # the baseline against the baseline
SIX_DECIMALS = 1e-6  # what a cell's file resolves, where no count of images does


def evaluate(params: Params, cells_dir: Path, fidelity: AssessRecord) -> Result:
    """Walks the grid that `params` declares and compares its cells with the baseline.

    Args:
        params: all params.
        cells_dir: folder of <stage>-<percent>-<seed>.json; files of other cells are ignored.
        fidelity: what assess.json holds, passed on.

    Raises:
        UserError: a cell is missing, unreadable, or was trained under other params.
    """
    return compare_cells(params, *read_grid(params, cells_dir), fidelity)


def compare_cells(params: Params, real: Cells, synthetic: Cells, fidelity: AssessRecord) -> Result:
    """The result of real-only cells by real_percent and mixed cells by synthetic_percent."""
    grid, image = params.ablation, 1 / params.dataset.test_size  # what one test image is in accuracy
    synthetic, baseline = dict(sorted(synthetic.items())), real[100]
    decision = decide(_values(synthetic, "val_accuracy"), _values(synthetic, METRIC), _column(baseline, METRIC), image)
    settings = _settings(grid.seeds, decision, synthetic, baseline, image)
    percent, seeds = decision.chosen_percent, len(baseline)
    chosen = next(setting for setting in settings if setting.synthetic_percent == percent)
    power = measure_power(decision.comparisons[percent], seeds, len(synthetic), grid.margin_points)
    curve = _curve(real, image)
    equivalent = _real_equivalent(chosen, curve, image, detectable=decision.verdict != "no_difference")
    optimism = _optimism(chosen, synthetic, baseline)
    return Result(
        dataset=params.dataset.name,
        profile=params.profile,
        mode=grid.mode,
        mixing=grid.mixing,
        budget=grid.budget,
        keep_percent=params.curation.keep_percent,
        curation=params.curation,
        metric="test_accuracy",
        verdict=decision.verdict,
        verdict_text=verdict_text(decision, grid.mode, removed=chosen.errors_removed_percent, seeds=seeds),
        power=power,
        power_text=power_text(decision.verdict, seeds, power),
        optimism=optimism,
        optimism_text=optimism_text(optimism, chosen.difference_mean, len(synthetic)),
        chosen_percent=percent,
        answer=_answer(chosen, equivalent),
        champion=_champion(grid.seeds, baseline, synthetic),
        baseline=_summary(settings[0]),
        chosen=_summary(chosen),
        by_percent={str(setting.synthetic_percent): _headline(setting) for setting in settings},
        settings=settings,
        per_class=_changes(
            synthetic[percent],
            baseline,
            attrgetter("test_accuracy_per_class"),
            image * len(baseline[0].test_accuracy_per_class),
        ),
        per_corruption=_changes(
            synthetic[percent], baseline, attrgetter("accuracy_per_corruption"), 1 / baseline[0].num_corrupted
        ),
        num_corrupted=baseline[0].num_corrupted,
        learning_curve=curve,
        real_equivalent=equivalent,
        worth=equivalent,
        fidelity=fidelity,
    )


def _column(cells: Iterable[CellRecord], key: str) -> list[float]:
    return [getattr(cell, key) for cell in cells]


def _values(cells: Cells, key: str) -> dict[int, list[float]]:
    return {percent: _column(row, key) for percent, row in cells.items()}


def _settings(
    seeds: list[int], decision: Decision, synthetic: Cells, baseline: list[CellRecord], image: float
) -> tuple[Setting, ...]:
    """One setting a synthetic_percent, 0 (the baseline against itself) first."""
    rows = [(0, baseline, ITSELF, 1.0)] + [
        (percent, cells, decision.comparisons[percent], decision.p_value_holm[percent])
        for percent, cells in synthetic.items()
    ]
    return tuple(
        Setting.model_validate(
            {"synthetic_percent": percent, "seeds": tuple(seeds), "p_value_holm": p_value_holm}
            | _against_baseline(cells, baseline, comparison, image)
            | _accuracies(cells, image)
            | _trust(cells, baseline)
        )
        for percent, cells, comparison, p_value_holm in rows
    )


def _against_baseline(
    cells: list[CellRecord], baseline: list[CellRecord], comparison: PairedComparison, image: float
) -> dict[str, float | None]:
    """Sizes of the training set, and the difference to the baseline on val and on test, as keys of a setting."""
    on_val = [fmean(_column(group, "val_accuracy")) for group in (cells, baseline)]
    removed = errors_removed(_column(cells, METRIC), _column(baseline, METRIC), image)
    if cells is baseline:
        removed = ErrorsRemoved(0.0, 0.0, 0.0)
    return {
        "p_value": comparison.p_value,
        "num_real": cells[0].num_real,
        "num_synthetic": cells[0].num_synthetic,
        "steps": cells[0].steps,
        "val_accuracy_mean": on_val[0],
        "val_difference_mean": on_val[0] - on_val[1],
        "errors_removed_percent": removed.percent,
        "errors_removed_percent_low": removed.low,
        "errors_removed_percent_high": removed.high,
        **_ends("difference", comparison.difference),
    }


def _accuracies(cells: list[CellRecord], image: float) -> dict[str, object]:
    """Test accuracy of each seed, mean and interval, which is cut at 0 and 1, as keys of a setting."""
    values = _column(cells, METRIC)
    interval = mean_interval(values, image)
    return {
        "n": len(values),
        "test_accuracy": tuple(values),
        "test_accuracy_mean": interval.mean,
        "test_accuracy_low": max(0.0, interval.low),
        "test_accuracy_high": min(1.0, interval.high),
    }


def _trust(cells: list[CellRecord], baseline: list[CellRecord]) -> dict[str, float]:
    """Loss, calibration and accuracy on corrupted images, with their paired differences, as keys of a setting."""
    corrupted = 1 / (cells[0].num_corrupted * len(cells[0].accuracy_per_corruption))  # an image, one corruption
    values: dict[str, float] = {}
    for key, resolution in (
        ("test_loss", SIX_DECIMALS),
        ("test_calibration_error", SIX_DECIMALS),
        ("corrupted_accuracy", corrupted),
    ):
        columns = _column(cells, key), _column(baseline, key)
        comparison = ITSELF if cells is baseline else paired_difference(*columns, resolution)
        values |= {f"{key}_mean": fmean(columns[0]), **_ends(f"{key}_difference", comparison.difference)}
    return values


def _ends(key: str, interval: Interval) -> dict[str, float]:
    return {f"{key}_mean": interval.mean, f"{key}_low": interval.low, f"{key}_high": interval.high}


def _summary(setting: Setting) -> SettingSummary:
    return SettingSummary(**{key: getattr(setting, key) for key in SettingSummary.model_fields})


def _headline(setting: Setting) -> Headline:
    return Headline(**{key: getattr(setting, key) for key in Headline.model_fields})


def _curve(real: Cells, image: float) -> tuple[RealPercentPoint, ...]:
    """Accuracy of real images alone, by their number."""
    return tuple(
        RealPercentPoint.model_validate(
            {"real_percent": percent, "num_real": real[percent][0].num_real} | _accuracies(real[percent], image)
        )
        for percent in sorted(real)
    )


def _real_equivalent(
    chosen: Setting, curve: Iterable[RealPercentPoint], image: float, *, detectable: bool
) -> RealEquivalent:
    """How many real images would do what the chosen percent did."""
    sizes, accuracies = zip(*((point.num_real, point.test_accuracy) for point in curve), strict=True)
    measured = measure(sizes, accuracies, chosen.test_accuracy, image)
    return real_equivalent(chosen.synthetic_percent, chosen.num_real, measured, detectable=detectable)


def _optimism(chosen: Setting, synthetic: Cells, baseline: list[CellRecord]) -> Optimism:
    """What picking the best percent flatters the chosen one by; see `cross_fitted`."""
    gains = {
        percent: [value - base.test_accuracy for value, base in zip(values, baseline, strict=True)]
        for percent, values in _values(synthetic, METRIC).items()
    }
    honest = cross_fitted(_values(synthetic, "val_accuracy"), gains)
    return Optimism(
        val_difference_mean=chosen.val_difference_mean,
        difference_cross_fitted=honest,
        optimism_points=100 * (chosen.difference_mean - honest),
    )


def _answer(chosen: Setting, equivalent: RealEquivalent) -> Answer:
    return Answer(
        chosen_percent=chosen.synthetic_percent,
        chosen_difference_mean=chosen.difference_mean,
        chosen_p_value_holm=chosen.p_value_holm,
        num_real_extra=equivalent.num_real_extra,
        worth_num_real_extra=equivalent.num_real_extra,
    )


def _changes(
    chosen: list[CellRecord],
    baseline: list[CellRecord],
    measures: Callable[[CellRecord], dict[str, float]],
    resolution: float,
) -> dict[str, Change]:
    """Accuracy of each class or corruption, without and with synthetic images, paired by seed; p is not asked for."""
    changes = {}
    for name in sorted(measures(baseline[0])):
        before, after = ([measures(cell)[name] for cell in cells] for cells in (baseline, chosen))
        difference = paired_difference(after, before, resolution).difference
        changes[name] = Change(baseline_mean=fmean(before), chosen_mean=fmean(after), **_ends("difference", difference))
    return changes


def _champion(seeds: list[int], baseline: list[CellRecord], synthetic: Cells) -> Champion:
    """The one classifier that is best on val, baseline included; of equals the least synthetic one."""
    groups = [(100, baseline), *synthetic.items()]
    candidates = [
        Champion(
            stage=cell.stage,
            percent=percent,
            seed=seed,
            val_accuracy=cell.val_accuracy,
            test_accuracy=cell.test_accuracy,
        )
        for percent, cells in groups
        for seed, cell in zip(seeds, cells, strict=True)
    ]
    return max(candidates, key=attrgetter("val_accuracy"))
