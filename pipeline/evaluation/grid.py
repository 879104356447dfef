"""The declared cells, read and checked."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from pipeline.params.schema import Params
from pipeline.runtime.errors import UserError

COUNTS = ("num_real", "num_synthetic", "steps", "num_corrupted")
FRACTIONS = ("val_accuracy", "test_accuracy", "test_calibration_error", "corrupted_accuracy")
NAMED = 5  # missing cells that an error names; a new grid lacks dozens


@dataclass(frozen=True)
class Cell:
    """What one trained classifier reached; accuracies and calibration error are fractions, the loss is in nats."""

    num_real: int
    num_synthetic: int
    steps: int
    num_corrupted: int
    val_accuracy: float
    test_accuracy: float
    test_loss: float
    test_calibration_error: float
    corrupted_accuracy: float
    per_class: dict[str, float]
    per_corruption: dict[str, float]


Cells = dict[int, list[Cell]]  # percent -> one cell a seed, in the order of ablation.seeds


def read_grid(params: Params, cells_dir: Path) -> tuple[Cells, Cells]:
    """The declared cells: real-only ones by real_percent, mixed ones by synthetic_percent."""
    grid = params.ablation
    axes = {"train_baseline": grid.real_percent, "train_classifier": grid.synthetic_percent}
    names = [(stage, percent, seed) for stage in axes for percent in axes[stage] for seed in grid.seeds]
    missing = [name for name in names if not (cells_dir / _file(*name)).is_file()]
    if missing:
        raise UserError(_missing(missing, len(names), cells_dir))
    real, synthetic = (
        {percent: [_read_cell(cells_dir, stage, percent, seed, params) for seed in grid.seeds] for percent in axis}
        for stage, axis in axes.items()
    )
    _check_alike(real, synthetic, cells_dir)
    return real, synthetic


def read_json(path: Path, stage: str) -> dict[str, Any]:
    """Reads the JSON object that `stage` wrote; NaN is no JSON.

    Raises:
        UserError: missing or damaged, with the command that makes it anew.
    """
    try:
        content = json.loads(path.read_bytes(), parse_constant=_refuse)
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run: dvc repro {stage}") from None
    except (OSError, ValueError, RecursionError) as error:
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


def _read_cell(cells_dir: Path, stage: str, percent: int, seed: int, params: Params) -> Cell:
    """One cell, after a check that it is what its name and `params` say."""
    grid = params.ablation
    path, target = cells_dir / _file(stage, percent, seed), f"{stage}@{percent}-{seed}"
    record = read_json(path, target)
    wanted = {"stage": stage, "seed": seed, "budget": grid.budget}
    if stage == "train_baseline":  # trained alike in either mode
        wanted |= {"real_percent": percent, "synthetic_percent": 0}
        wanted["num_real"] = params.dataset.train_size * percent // 100
    else:
        wanted |= {"synthetic_percent": percent, "mode": grid.mode, "mixing": grid.mixing}
        wanted["num_real"] = _num_real(params, percent)
    if grid.budget == "steps":
        wanted["steps"] = params.classifier.steps
    for key, value in wanted.items():
        if record.get(key) != value:
            raise UserError(f"{path}: {key} is {record.get(key)!r}, not {value!r}; run: dvc repro {target}")
    return _cell(record, path, target)


def _num_real(params: Params, percent: int) -> int:
    """Real images that a mixed cell must have seen."""
    left = 0 if percent == 100 else 100 - percent * (params.ablation.mode == "replace")
    return params.dataset.train_size * left // 100


def _cell(record: dict[str, Any], path: Path, target: str) -> Cell:
    """Types of `record` checked, fractions between 0 and 1."""
    try:
        counts: dict[str, Any] = {key: int(record[key]) for key in COUNTS}
        fractions: dict[str, Any] = {key: float(record[key]) for key in FRACTIONS}
        loss = float(record["test_loss"])
        per_class, per_corruption = (
            {str(name): float(value) for name, value in record[key].items()}
            for key in ("test_accuracy_per_class", "accuracy_per_corruption")
        )
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise UserError(f"{path}: damaged ({error!r}); delete it and run: dvc repro {target}") from None
    if not all(0 <= value <= 1 for value in (*fractions.values(), *per_class.values(), *per_corruption.values())):
        raise UserError(f"{path}: an accuracy is not between 0 and 1; delete it and run: dvc repro {target}")
    if not (isfinite(loss) and per_class and per_corruption and counts["num_corrupted"] > 0):
        raise UserError(f"{path}: damaged (no loss, class or corruption); delete it and run: dvc repro {target}")
    return Cell(**counts, **fractions, test_loss=loss, per_class=per_class, per_corruption=per_corruption)


def _check_alike(real: Cells, synthetic: Cells, cells_dir: Path) -> None:
    """All cells name the same classes and the same corruptions, or some belong to another data set or program."""
    cells = [cell for group in (real, synthetic) for row in group.values() for cell in row]
    for kind, names in (
        ("classes", {tuple(sorted(cell.per_class)) for cell in cells}),
        ("corruptions", {tuple(sorted(cell.per_corruption)) for cell in cells}),
    ):
        if len(names) > 1:
            raise UserError(
                f"{cells_dir}: cells name different {kind}, so some belong to another data set; run: dvc repro"
            )
