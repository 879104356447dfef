"""Every declared cell against the baseline: the content of ablation.json."""

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from statistics import fmean

from pipeline.classifier.record import CellRecord
from pipeline.evaluation.bootstrap import images_interval
from pipeline.evaluation.class_metrics import compare_classes_alike
from pipeline.evaluation.effect import ErrorsRemoved, errors_removed
from pipeline.evaluation.grid import Cells, Grid
from pipeline.evaluation.origin import leak_warnings, words
from pipeline.evaluation.power import measure_power
from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.real_equivalent import measure, real_equivalent
from pipeline.evaluation.replicates import Made, summarise_replicates
from pipeline.evaluation.result import (
    Answer,
    Champion,
    Change,
    ControlSetting,
    Headline,
    Optimism,
    RealEquivalent,
    RealPercentPoint,
    Result,
    Setting,
    SettingSummary,
)
from pipeline.evaluation.rivals import compare_rivals, over_best_rival
from pipeline.evaluation.statistics import (
    Decision,
    Interval,
    Measurements,
    PairedComparison,
    cross_fitted,
    decide,
    mean_interval,
    paired_difference,
)
from pipeline.evaluation.wording import controls_text, optimism_text, power_text, verdict_text, warning_sentences
from pipeline.params.schema import Params

METRIC = "test_accuracy"
ITSELF = PairedComparison(Interval(0.0, 0.0, 0.0), 0.0, 1.0)  # the baseline against the baseline
SIX_DECIMALS = 1e-6  # what a cell's file resolves, where no count of images does


def compare_cells(params: Params, grid: Grid, made: Made, predictions: Predictions) -> Result:
    """The result of all cells of `grid`.

    Args:
        params: all params.
        grid: the cells.
        made: what is known of every replicate's GAN and synthetic images.
        predictions: which test images each cell got right.
    """
    ablation, image = params.ablation, 1 / params.dataset.test_size  # what one test image is in accuracy
    decision = decide(_measurements(grid, image, ablation.margin_points / 100))
    percent, baseline = decision.chosen_percent, grid.real[100]
    settings = _settings(grid, decision, predictions, image)
    chosen = next(setting for setting in settings if setting.synthetic_percent == percent)
    power = measure_power(decision.comparisons[percent], len(baseline), len(grid.mixed), ablation.margin_points)
    curve, controls = _curve(grid.real, image), _controls(grid, decision)
    equivalent = _real_equivalent(chosen, curve, image, decision)
    replicates = summarise_replicates(made, grid.mixed[percent], grid.baseline(percent))
    take = max(replicates, key=attrgetter("val_accuracy")).replicate
    optimism = _optimism(chosen, grid)
    sentence = verdict_text(
        decision, ablation.mode, words(made.sets).each, removed=chosen.errors_removed_percent, n=len(baseline)
    )
    return Result(
        dataset=params.dataset.title,
        profile=params.profile,
        mode=ablation.mode,
        mixing=ablation.mixing,
        budget=ablation.budget,
        keep_percent=params.curation.keep_percent,
        curation=params.curation,
        metric="test_accuracy",
        verdict=decision.verdict,
        verdict_text=sentence,
        power=power,
        power_text=power_text(decision.verdict, len(baseline), power),
        optimism=optimism,
        optimism_text=optimism_text(optimism, chosen.difference_mean, len(grid.mixed)),
        chosen_percent=percent,
        answer=_answer(chosen, equivalent),
        champion=_champion(grid),
        baseline=_summary(settings[0]),
        chosen=_summary(chosen),
        by_percent={str(setting.synthetic_percent): _headline(setting) for setting in settings},
        settings=settings,
        per_class=_changes(
            grid, percent, attrgetter("test_accuracy_per_class"), image * len(baseline[0].test_accuracy_per_class)
        ),
        class_metrics=compare_classes_alike(params.dataset, grid, predictions),
        per_corruption=_changes(grid, percent, attrgetter("accuracy_per_corruption"), 1 / baseline[0].num_corrupted),
        num_corrupted=baseline[0].num_corrupted,
        learning_curve=curve,
        real_equivalent=equivalent,
        controls=controls,
        rivals=compare_rivals(grid.rivals, baseline, image),
        over_best_rival=over_best_rival(grid, percent, image),
        controls_text=controls_text(decision),
        replicate_split=ablation.replicate_split,
        replicates=replicates,
        dataset_replicate=take,
        fidelity=made.assessed[ablation.replicates.index(take)],
        source=params.synthesize.source,
        sets=made.sets,
        warnings=(*leak_warnings(made.sets), *warning_sentences(decision, replicates, made)),
    )


def _measurements(grid: Grid, image: float, margin: float) -> Measurements:
    return Measurements(
        val=_values(grid.mixed, "val_accuracy"),
        test=_values(grid.mixed, METRIC),
        baselines={percent: _column(grid.baseline(percent), METRIC) for percent in grid.mixed},
        ceiling=_values(grid.controls.get("ceiling", {}), METRIC),
        placebo=_values(grid.controls.get("placebo", {}), METRIC),
        resolution=image,
        margin=margin,
    )


def _column(cells: Iterable[CellRecord], key: str) -> list[float]:
    return [getattr(cell, key) for cell in cells]


def _values(cells: Cells, key: str) -> dict[int, list[float]]:
    return {percent: _column(row, key) for percent, row in cells.items()}


# ---- settings -------------------------------------------------------------------------------------------------


def _settings(grid: Grid, decision: Decision, predictions: Predictions, image: float) -> tuple[Setting, ...]:
    """One setting a synthetic_percent, 0 (the baseline against itself) first."""
    baseline = grid.real[100]
    rows = [(0, baseline, baseline, ITSELF, 1.0)] + [
        (percent, cells, grid.baseline(percent), decision.comparisons[percent], decision.p_value_holm[percent])
        for percent, cells in grid.mixed.items()
    ]
    return tuple(
        Setting.model_validate(
            {"synthetic_percent": percent, "p_value_holm": p_value_holm}
            | {"replicates": tuple(cell.replicate for cell in cells)}
            | _against_baseline(cells, against, comparison, image)
            | _over_images(cells, against, predictions)
            | _accuracies(cells, image)
            | _trust(cells, against)
        )
        for percent, cells, against, comparison, p_value_holm in rows
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


def _over_images(cells: list[CellRecord], baseline: list[CellRecord], predictions: Predictions) -> dict[str, float]:
    """The interval of the difference over other test images too, as keys of a setting."""
    interval = ITSELF.difference
    if cells is not baseline:
        interval = images_interval(predictions.right(cells), predictions.right(baseline))
    return {"difference_images_low": interval.low, "difference_images_high": interval.high}


def _accuracies(cells: list[CellRecord], image: float) -> dict[str, object]:
    """Test accuracy of each replicate, mean and interval, which is cut at 0 and 1, as keys of a setting."""
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
        ("test_confidence_gap", SIX_DECIMALS),
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


# ---- controls, learning curve, choice -------------------------------------------------------------------------


def _controls(grid: Grid, decision: Decision) -> tuple[ControlSetting, ...]:
    """Ceiling and placebo at every percent; `real_only` is the baseline of its percent, no control to report."""
    compared: Mapping[str, Mapping[int, PairedComparison]] = {"ceiling": decision.ceiling, "placebo": decision.placebo}
    return tuple(
        ControlSetting.model_validate(
            {
                "control": control,
                "synthetic_percent": percent,
                "num_real": cells[0].num_real,
                "num_stand_ins": cells[0].num_synthetic,
                "test_accuracy_mean": fmean(_column(cells, METRIC)),
                "p_value": compared[control][percent].p_value,
                **_ends("difference", compared[control][percent].difference),
            }
        )
        for control, group in grid.controls.items()
        if control in compared
        for percent, cells in group.items()
    )


def _curve(real: Cells, image: float) -> tuple[RealPercentPoint, ...]:
    """Accuracy of real images alone, by their number."""
    return tuple(
        RealPercentPoint.model_validate(
            {"real_percent": percent, "num_real": real[percent][0].num_real} | _accuracies(real[percent], image)
        )
        for percent in sorted(real)
    )


def _real_equivalent(
    chosen: Setting, curve: Iterable[RealPercentPoint], image: float, decision: Decision
) -> RealEquivalent | None:
    """How many real images would do what the chosen percent did; None where the setting cannot tell."""
    if decision.verdict == "cannot_tell":
        return None
    sizes, accuracies = zip(*((point.num_real, point.test_accuracy) for point in curve), strict=True)
    measured = measure(sizes, accuracies, chosen.test_accuracy, image)
    found = decision.verdict in ("helps", "hurts")
    return real_equivalent(chosen.synthetic_percent, chosen.num_real, measured, detectable=found)


def _optimism(chosen: Setting, grid: Grid) -> Optimism:
    """What picking the best percent flatters the chosen one by; see `chosen_by_others`."""
    gains = {
        percent: [
            value.test_accuracy - base.test_accuracy for value, base in zip(cells, grid.baseline(percent), strict=True)
        ]
        for percent, cells in grid.mixed.items()
    }
    honest = fmean(cross_fitted(_values(grid.mixed, "val_accuracy"), gains))
    return Optimism(
        val_difference_mean=chosen.val_difference_mean,
        difference_cross_fitted=honest,
        optimism_points=100 * (chosen.difference_mean - honest),
    )


def _answer(chosen: Setting, equivalent: RealEquivalent | None) -> Answer:
    return Answer(
        chosen_percent=chosen.synthetic_percent,
        chosen_difference_mean=chosen.difference_mean,
        chosen_p_value_holm=chosen.p_value_holm,
        num_real_extra=equivalent.num_real_extra if equivalent else None,
    )


def _changes(
    grid: Grid, percent: int, measures: Callable[[CellRecord], dict[str, float]], resolution: float
) -> dict[str, Change]:
    """Accuracy of each class or corruption, without and with synthetic images, paired by replicate."""
    changes, groups = {}, (grid.baseline(percent), grid.mixed[percent])
    for name in sorted(measures(groups[0][0])):
        before, after = ([measures(cell)[name] for cell in cells] for cells in groups)
        difference = paired_difference(after, before, resolution).difference
        changes[name] = Change(baseline_mean=fmean(before), chosen_mean=fmean(after), **_ends("difference", difference))
    return changes


def _champion(grid: Grid) -> Champion:
    """The one classifier that is best on val, baseline included; of equals the least synthetic one."""
    candidates = [*grid.real[100], *(cell for cells in grid.mixed.values() for cell in cells)]
    best = max(candidates, key=attrgetter("val_accuracy"))
    return Champion(
        stage="train_classifier" if best.synthetic_percent else "train_baseline",
        percent=best.synthetic_percent or best.real_percent,
        replicate=best.replicate,
        val_accuracy=best.val_accuracy,
        test_accuracy=best.test_accuracy,
    )
