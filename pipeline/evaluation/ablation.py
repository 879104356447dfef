"""Every declared cell against the baseline: the content of ablation.json."""

from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from statistics import fmean
from typing import Any

from pipeline.evaluation.effect import ErrorsRemoved, errors_removed
from pipeline.evaluation.grid import Cell, Cells, read_grid
from pipeline.evaluation.power import power_entry, power_sentence
from pipeline.evaluation.statistics import (
    Comparison,
    Interval,
    choose_percent,
    cross_fitted,
    holm,
    judge,
    mean_interval,
    optimism_sentence,
    paired_difference,
    verdict_sentence,
)
from pipeline.evaluation.worth import measure, worth_entry
from pipeline.params.schema import AblationParams, Params

METRIC = "test_accuracy"
ITSELF = Comparison(Interval(0.0, 0.0, 0.0), 0.0, 1.0)  # the baseline against the baseline
SIX_DECIMALS = 1e-6  # what a cell's file resolves, where no count of images does


def evaluate(params: Params, cells_dir: Path, assess: dict[str, Any]) -> dict[str, Any]:
    """Walks the grid that `params` declares and compares its cells with the baseline.

    Args:
        params: all params.
        cells_dir: folder of <stage>-<percent>-<seed>.json; files of other cells are ignored.
        assess: content of assess.json, passed on as `fidelity`.

    Raises:
        UserError: a cell is missing, unreadable, or was trained under other params.
    """
    grid, image = params.ablation, 1 / params.dataset.test_size  # what one test image is in accuracy
    real, synthetic = read_grid(params, cells_dir)
    baseline = real[100]
    settings = _settings(grid, baseline, synthetic, image)
    percent = choose_percent({entry["synthetic_percent"]: entry["val_accuracy_mean"] for entry in settings[1:]})
    chosen = next(entry for entry in settings if entry["synthetic_percent"] == percent)
    answer = _answer(grid, chosen, synthetic, baseline, image)
    curve = _curve(real, image)
    worth = _worth(chosen, curve, image, detectable=answer["verdict"] != "no_difference")
    return {
        **_question(params),
        **answer,
        **_optimism(chosen, synthetic, baseline),
        "chosen_percent": percent,
        "answer": {  # what MLflow lists of an execution
            "chosen_percent": percent,
            "chosen_difference_mean": chosen["difference_mean"],
            "chosen_p_value_holm": chosen["p_value_holm"],
            "worth_num_real_extra": worth["num_real_extra"],
        },
        "champion": _champion(grid, baseline, synthetic),
        # three times without lists, which `dvc metrics diff` leaves out: it compares equal percents in the last
        "baseline": _scalars(settings[0]),
        "chosen": _scalars(chosen),
        "by_percent": {str(entry["synthetic_percent"]): _headline(entry) for entry in settings},
        "settings": settings,
        **_breakdowns(synthetic[percent], baseline, image),
        "learning_curve": curve,
        "worth": worth,
        "fidelity": assess,
    }


def _question(params: Params) -> dict[str, Any]:
    """What was asked: the data, the grid's switches, the curation, the metric."""
    grid = params.ablation
    return {
        "dataset": params.dataset.name,
        "profile": params.profile,
        "mode": grid.mode,
        "mixing": grid.mixing,
        "budget": grid.budget,
        "keep_percent": params.curation.keep_percent,
        "curation": params.curation.model_dump(),
        "metric": METRIC,
    }


def _answer(
    grid: AblationParams, chosen: dict[str, Any], synthetic: Cells, baseline: list[Cell], image: float
) -> dict[str, Any]:
    """The verdict about the chosen percent and the power behind it, as numbers and as sentences."""
    cells, percents = synthetic[chosen["synthetic_percent"]], len(synthetic)
    against = _compare(cells, baseline, attrgetter(METRIC), image)
    power = power_entry(against, len(cells), percents, grid.margin_points)
    verdict = judge(chosen["difference_mean"], chosen["p_value_holm"])
    return {
        "verdict": verdict,
        "verdict_text": verdict_sentence(
            verdict,
            grid.mode,
            chosen["synthetic_percent"],
            against.difference,
            chosen["p_value_holm"],
            removed=chosen["errors_removed_percent"],
            percents=percents,
            seeds=len(cells),
        ),
        "power": power,
        "power_text": power_sentence(verdict, len(cells), power),
    }


def _breakdowns(cells: list[Cell], baseline: list[Cell], image: float) -> dict[str, Any]:
    """Where the chosen percent gains and loses: by class, and on damaged images."""
    return {
        "per_class": _changes(cells, baseline, attrgetter("per_class"), image * len(baseline[0].per_class)),
        "per_corruption": _changes(cells, baseline, attrgetter("per_corruption"), 1 / baseline[0].num_corrupted),
        "num_corrupted": baseline[0].num_corrupted,
    }


def _curve(real: Cells, image: float) -> list[dict[str, Any]]:
    """Accuracy of real images alone, by their number."""
    return [
        {"real_percent": percent, "num_real": real[percent][0].num_real} | _accuracies(real[percent], image)
        for percent in sorted(real)
    ]


def _worth(chosen: dict[str, Any], curve: list[dict[str, Any]], image: float, *, detectable: bool) -> dict[str, Any]:
    """How many real images would do what the chosen percent did; see `worth`."""
    num_real, accuracies = ([point[key] for point in curve] for key in ("num_real", METRIC))
    measured = measure(num_real, accuracies, chosen[METRIC], image)
    return worth_entry(chosen["synthetic_percent"], chosen["num_real"], measured, detectable=detectable)


def _settings(grid: AblationParams, baseline: list[Cell], synthetic: Cells, image: float) -> list[dict[str, Any]]:
    """One entry a synthetic_percent, 0 (the baseline against itself) first, p-values Holm-adjusted."""
    rows = [_setting(percent, cells, baseline, image) for percent, cells in sorted(synthetic.items())]
    for row, p_holm in zip(rows, holm([row["p_value"] for row in rows]), strict=True):
        row["p_value_holm"] = p_holm
    first = _setting(0, baseline, baseline, image) | {"p_value_holm": 1.0}
    return [row | {"seeds": list(grid.seeds)} for row in (first, *rows)]


def _optimism(chosen: dict[str, Any], synthetic: Cells, baseline: list[Cell]) -> dict[str, Any]:
    """What picking the best percent flatters the chosen one by; see `cross_fitted`."""
    val = {percent: [cell.val_accuracy for cell in cells] for percent, cells in synthetic.items()}
    gains = {
        percent: [cell.test_accuracy - base.test_accuracy for cell, base in zip(cells, baseline, strict=True)]
        for percent, cells in synthetic.items()
    }
    on_val, on_test, honest = chosen["val_difference_mean"], chosen["difference_mean"], cross_fitted(val, gains)
    return {
        "optimism": {
            "val_difference_mean": on_val,
            "difference_cross_fitted": honest,
            "optimism_points": 100 * (on_test - honest),
        },
        "optimism_text": optimism_sentence(on_val, on_test, honest, len(synthetic)),
    }


def _scalars(setting: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in setting.items() if not isinstance(value, list)}


def _headline(setting: dict[str, Any]) -> dict[str, Any]:
    return {key: setting[key] for key in ("test_accuracy_mean", "difference_mean", "p_value_holm")}


def _compare(
    cells: list[Cell], baseline: list[Cell], measure: Callable[[Cell], float], resolution: float
) -> Comparison:
    if cells is baseline:
        return ITSELF
    return paired_difference([measure(cell) for cell in cells], [measure(cell) for cell in baseline], resolution)


def _setting(percent: int, cells: list[Cell], baseline: list[Cell], image: float) -> dict[str, Any]:
    """Everything about one percent but what takes the others to tell."""
    against = _compare(cells, baseline, attrgetter("test_accuracy"), image)
    on_val = [fmean(cell.val_accuracy for cell in group) for group in (cells, baseline)]
    sizes = {key: getattr(cells[0], key) for key in ("num_real", "num_synthetic", "steps")}
    return (
        {"synthetic_percent": percent, "p_value": against.p_value}
        | sizes
        | {"val_accuracy_mean": on_val[0], "val_difference_mean": on_val[0] - on_val[1]}
        | _difference(against)
        | _accuracies(cells, image)
        | _removed(cells, baseline, image)
        | _trust(cells, baseline)
    )


def _difference(against: Comparison, prefix: str = "") -> dict[str, float]:
    """A paired difference's mean and interval, as keys of ablation.json."""
    return {f"{prefix}difference_{end}": getattr(against.difference, end) for end in ("mean", "low", "high")}


def _accuracies(cells: list[Cell], image: float) -> dict[str, Any]:
    """Test accuracy of each seed, mean and interval; the interval is cut at 0 and 1."""
    values = [cell.test_accuracy for cell in cells]
    interval = mean_interval(values, image)
    return {
        "n": len(values),
        "test_accuracy": values,
        "test_accuracy_mean": interval.mean,
        "test_accuracy_low": max(0.0, interval.low),
        "test_accuracy_high": min(1.0, interval.high),
    }


def _removed(cells: list[Cell], baseline: list[Cell], image: float) -> dict[str, float | None]:
    """The difference in percent of the baseline's errors; null where that is no number."""
    removed = errors_removed([cell.test_accuracy for cell in cells], [cell.test_accuracy for cell in baseline], image)
    if cells is baseline:
        removed = ErrorsRemoved(0.0, 0.0, 0.0)
    return {
        "errors_removed_percent": removed.percent,
        "errors_removed_percent_low": removed.low,
        "errors_removed_percent_high": removed.high,
    }


def _trust(cells: list[Cell], baseline: list[Cell]) -> dict[str, float]:
    """Loss, calibration and accuracy on damaged images: means, and paired differences to the baseline."""
    damaged = 1 / (cells[0].num_corrupted * len(cells[0].per_corruption))  # one image under one corruption
    values: dict[str, float] = {}
    for name, resolution in (
        ("test_loss", SIX_DECIMALS),
        ("test_calibration_error", SIX_DECIMALS),
        ("corrupted_accuracy", damaged),
    ):
        values[f"{name}_mean"] = fmean(getattr(cell, name) for cell in cells)
        values |= _difference(_compare(cells, baseline, attrgetter(name), resolution), f"{name}_")
    return values


def _changes(
    chosen: list[Cell], baseline: list[Cell], measures: Callable[[Cell], dict[str, float]], resolution: float
) -> dict[str, dict[str, float]]:
    """Accuracy of each class or corruption, without and with synthetic images, paired by seed; p is not asked for."""
    changes = {}
    for name in sorted(measures(baseline[0])):
        before, after = ([measures(cell)[name] for cell in cells] for cells in (baseline, chosen))
        changes[name] = {"baseline_mean": fmean(before), "chosen_mean": fmean(after)} | _difference(
            paired_difference(after, before, resolution)
        )
    return changes


def _champion(grid: AblationParams, baseline: list[Cell], synthetic: Cells) -> dict[str, Any]:
    """The one classifier that is best on val, baseline included; of equals the least synthetic one."""
    candidates = [("train_baseline", 100, baseline)] + [
        ("train_classifier", percent, synthetic[percent]) for percent in sorted(synthetic)
    ]
    rows = [
        {"stage": stage, "percent": percent, "seed": seed, "val_accuracy": cell.val_accuracy}
        | {"test_accuracy": cell.test_accuracy}
        for stage, percent, cells in candidates
        for seed, cell in zip(grid.seeds, cells, strict=True)
    ]
    return max(rows, key=lambda row: row["val_accuracy"])
