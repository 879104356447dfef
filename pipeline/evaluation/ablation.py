"""Every declared cell against the baseline: the content of ablation.json."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from pipeline.config import Ablation, Params
from pipeline.errors import UserError
from pipeline.evaluation.learning_curve import equivalent_num_real, worth
from pipeline.evaluation.statistics import (
    Comparison,
    Interval,
    choose_percent,
    holm,
    judge,
    mean_interval,
    paired_difference,
    verdict_sentence,
)

METRIC = "test_accuracy"
NAMED = 5  # missing cells that an error names; a new grid lacks dozens


@dataclass(frozen=True)
class Cell:
    """What one trained classifier reached; accuracies are fractions."""

    num_real: int
    num_synthetic: int
    steps: int
    val_accuracy: float
    test_accuracy: float
    per_class: dict[str, float]


Cells = dict[int, list[Cell]]  # percent -> one cell a seed, in the order of ablation.seeds


def evaluate(params: Params, cells_dir: Path, assess: dict[str, Any]) -> dict[str, Any]:
    """Walks the grid that `params` declares and compares its cells with the baseline.

    Args:
        params: all params.
        cells_dir: folder of <stage>-<percent>-<seed>.json; files of other cells are ignored.
        assess: content of assess.json, passed on as `fidelity`.

    Raises:
        UserError: a cell is missing, unreadable, or was trained under other params.
    """
    grid = params.ablation
    real, synthetic = read_grid(grid, cells_dir)
    image = 1 / params.dataset.test_size  # what one test image is in accuracy
    settings = _settings(grid, real[100], synthetic, image)
    chosen = choose_percent({s["synthetic_percent"]: s["val_accuracy_mean"] for s in settings[1:]})
    curve = [
        {"real_percent": percent, "num_real": real[percent][0].num_real} | _accuracies(real[percent], image)
        for percent in sorted(real)
    ]
    verdict = _verdict(grid, next(s for s in settings if s["synthetic_percent"] == chosen))
    return verdict | {
        "dataset": params.dataset.name,
        "profile": params.profile,
        "mode": grid.mode,
        "budget": grid.budget,
        "keep_percent": params.curation.keep_percent,
        "curation": params.curation.model_dump(),
        "metric": METRIC,
        "chosen_percent": chosen,
        # once more and without lists, which `dvc metrics diff` leaves out
        "baseline": _scalars(settings[0]),
        "chosen": _scalars(next(s for s in settings if s["synthetic_percent"] == chosen)),
        "champion": _champion(grid, real[100], synthetic),
        "settings": settings,
        "per_class": _per_class(real[100], synthetic[chosen], image),
        "learning_curve": curve,
        "worth": _worth(chosen, synthetic[chosen], curve, verdict["verdict"]),
        "fidelity": assess,
    }


def read_grid(grid: Ablation, cells_dir: Path) -> tuple[Cells, Cells]:
    """The declared cells: real-only ones by real_percent, mixed ones by synthetic_percent."""
    axes = {"train_baseline": grid.real_percent, "train_classifier": grid.synthetic_percent}
    names = [(stage, percent, seed) for stage in axes for percent in axes[stage] for seed in grid.seeds]
    missing = [name for name in names if not (cells_dir / _file(*name)).is_file()]
    if missing:
        raise UserError(_missing(missing, len(names), cells_dir))
    real, synthetic = (
        {percent: [_read_cell(cells_dir, stage, percent, seed, grid) for seed in grid.seeds] for percent in axis}
        for stage, axis in axes.items()
    )
    _check_classes(real, synthetic, cells_dir)
    return real, synthetic


def read_json(path: Path, stage: str) -> dict[str, Any]:
    """Reads the JSON object that `stage` wrote; NaN is no JSON.

    Raises:
        UserError: missing or damaged, with the command that makes it anew.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run: dvc repro {stage}") from None
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); delete it and run: dvc repro {stage}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: damaged (no JSON object); delete it and run: dvc repro {stage}")
    return content


def _refuse(constant: str) -> float:
    raise ValueError(f"it holds {constant}: the training diverged")


def _file(stage: str, percent: int, seed: int) -> str:
    return f"{stage}-{percent}-{seed}.json"


def _missing(missing: Sequence[tuple[str, int, int]], declared: int, cells_dir: Path) -> str:
    files = ", ".join(_file(*name) for name in missing[:NAMED])
    if len(missing) > NAMED:
        return f"{cells_dir} lacks {len(missing)} of {declared} declared cells ({files}, ...); run: dvc repro"
    targets = " ".join(f"{stage}@{percent}-{seed}" for stage, percent, seed in missing)
    return f"{cells_dir} lacks {files}; run: dvc repro {targets}"


def _read_cell(cells_dir: Path, stage: str, percent: int, seed: int, grid: Ablation) -> Cell:
    """One cell, after a check that it is what its name and `grid` say."""
    path, target = cells_dir / _file(stage, percent, seed), f"{stage}@{percent}-{seed}"
    record = read_json(path, target)
    wanted = {"stage": stage, "seed": seed, "budget": grid.budget}
    if stage == "train_baseline":  # trained alike in either mode
        wanted |= {"real_percent": percent, "synthetic_percent": 0}
    else:
        wanted |= {"synthetic_percent": percent, "mode": grid.mode}
    for key, value in wanted.items():
        if record.get(key) != value:
            raise UserError(f"{path}: {key} is {record.get(key)!r}, not {value!r}; run: dvc repro {target}")
    return _cell(record, path, target)


def _cell(record: dict[str, Any], path: Path, target: str) -> Cell:
    """Types of `record` checked, accuracies between 0 and 1."""
    try:
        per_class = {str(name): float(value) for name, value in record["test_accuracy_per_class"].items()}
        num_real, num_synthetic, steps = (int(record[key]) for key in ("num_real", "num_synthetic", "steps"))
        val, test = float(record["val_accuracy"]), float(record["test_accuracy"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: damaged ({error!r}); delete it and run: dvc repro {target}") from None
    if not all(0 <= value <= 1 for value in (val, test, *per_class.values())):
        raise UserError(f"{path}: an accuracy is not between 0 and 1; delete it and run: dvc repro {target}")
    return Cell(num_real, num_synthetic, steps, val, test, per_class)


def _check_classes(real: Cells, synthetic: Cells, cells_dir: Path) -> None:
    """All cells name the same classes, or some belong to another data set."""
    names = {tuple(sorted(cell.per_class)) for group in (real, synthetic) for row in group.values() for cell in row}
    if len(names) > 1:
        raise UserError(
            f"{cells_dir}: cells name different classes, so some belong to another data set; run: dvc repro"
        )


def _settings(grid: Ablation, baseline: list[Cell], synthetic: Cells, image: float) -> list[dict[str, Any]]:
    """One entry a synthetic_percent, 0 (the baseline against itself) first, p-values Holm-adjusted."""
    percents = sorted(synthetic)
    comparisons = [_compare(synthetic[percent], baseline, image) for percent in percents]
    adjusted = holm([comparison.p_value for comparison in comparisons])
    itself = Comparison(Interval(0.0, 0.0, 0.0), 1.0)
    rows = [(0, baseline, itself, 1.0)] + [
        (percent, synthetic[percent], comparison, p_holm)
        for percent, comparison, p_holm in zip(percents, comparisons, adjusted, strict=True)
    ]
    return [_setting(*row) | _accuracies(row[1], image) | {"seeds": list(grid.seeds)} for row in rows]


def _scalars(setting: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in setting.items() if not isinstance(value, list)}


def _compare(cells: list[Cell], baseline: list[Cell], image: float) -> Comparison:
    return paired_difference([c.test_accuracy for c in cells], [c.test_accuracy for c in baseline], image)


def _setting(percent: int, cells: list[Cell], against: Comparison, p_holm: float) -> dict[str, Any]:
    return {
        "synthetic_percent": percent,
        "num_real": cells[0].num_real,
        "num_synthetic": cells[0].num_synthetic,
        "steps": cells[0].steps,
        "val_accuracy_mean": fmean(cell.val_accuracy for cell in cells),
        "difference_mean": against.difference.mean,
        "difference_low": against.difference.low,
        "difference_high": against.difference.high,
        "p_value": against.p_value,
        "p_value_holm": p_holm,
    }


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


def _verdict(grid: Ablation, setting: dict[str, Any]) -> dict[str, str]:
    """The verdict on the chosen setting, as a word and as a sentence."""
    difference = Interval(*(setting[f"difference_{key}"] for key in ("mean", "low", "high")))
    percent, p_holm = setting["synthetic_percent"], setting["p_value_holm"]
    verdict, percents = judge(difference.mean, p_holm), len(grid.synthetic_percent)
    sentence = verdict_sentence(verdict, grid.mode, percent, difference, p_holm, percents=percents, seeds=setting["n"])
    return {"verdict": verdict, "verdict_text": sentence}


def _per_class(baseline: list[Cell], chosen: list[Cell], image: float) -> dict[str, dict[str, float]]:
    """Test accuracy of each class, without and with synthetic images, paired by seed; p is not asked for."""
    names = sorted(baseline[0].per_class)
    return {name: _class_change(name, baseline, chosen, image * len(names)) for name in names}


def _class_change(name: str, baseline: list[Cell], chosen: list[Cell], image: float) -> dict[str, float]:
    before, after = ([cell.per_class[name] for cell in cells] for cells in (baseline, chosen))
    difference = paired_difference(after, before, image).difference
    return {
        "baseline_mean": fmean(before),
        "chosen_mean": fmean(after),
        "difference_mean": difference.mean,
        "difference_low": difference.low,
        "difference_high": difference.high,
    }


def _champion(grid: Ablation, baseline: list[Cell], synthetic: Cells) -> dict[str, Any]:
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


def _worth(chosen: int, cells: list[Cell], curve: list[dict[str, Any]], verdict: str) -> dict[str, Any]:
    target = fmean(cell.test_accuracy for cell in cells)
    reading = equivalent_num_real(
        [point["num_real"] for point in curve], [point["test_accuracy_mean"] for point in curve], target
    )
    return worth(chosen, target, cells[0].num_real, reading, detectable=verdict != "no_difference")
