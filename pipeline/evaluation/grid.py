"""The declared cells, read and checked against the params."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.classifier.plan import plan_cell
from pipeline.classifier.record import CellRecord, CellSettings, read_cell_record
from pipeline.params.schema import Params
from pipeline.runtime.errors import UserError

NAMED = 5  # missing cells that an error names; a new grid lacks dozens

Cells = dict[int, list[CellRecord]]  # percent -> one cell a seed, in the order of ablation.seeds


def read_grid(params: Params, cells_dir: Path) -> tuple[Cells, Cells]:
    """The declared cells: real-only ones by real_percent, mixed ones by synthetic_percent.

    Raises:
        UserError: a cell is missing or corrupted, or was trained under other params or on another data set.
    """
    grid = params.ablation
    stages = {"train_baseline": grid.real_percent, "train_classifier": grid.synthetic_percent}
    names = [(stage, percent, seed) for stage in stages for percent in stages[stage] for seed in grid.seeds]
    missing = [name for name in names if not (cells_dir / _file(*name)).is_file()]
    if missing:
        raise UserError(_missing(missing, len(names), cells_dir))
    real, synthetic = (
        {percent: [_read_cell(cells_dir, stage, percent, seed, params) for seed in grid.seeds] for percent in percents}
        for stage, percents in stages.items()
    )
    _check_alike(real, synthetic, cells_dir)
    return real, synthetic


def _file(stage: str, percent: int, seed: int) -> str:
    return f"{stage}-{percent}-{seed}.json"


def _missing(missing: Sequence[tuple[str, int, int]], declared: int, cells_dir: Path) -> str:
    files = ", ".join(_file(*name) for name in missing[:NAMED])
    if len(missing) > NAMED:
        return f"{cells_dir} lacks {len(missing)} of {declared} declared cells ({files}, ...); run: dvc repro"
    targets = " ".join(f"{stage}@{percent}-{seed}" for stage, percent, seed in missing)
    return f"{cells_dir} lacks {files}; run: dvc repro {targets}"


def _read_cell(cells_dir: Path, stage: str, percent: int, seed: int, params: Params) -> CellRecord:
    """One cell, after a check that it is what its name and `params` say."""
    share = {"real_percent" if stage == "train_baseline" else "synthetic_percent": percent}
    plan = plan_cell(params, train_size=params.dataset.train_size, seed=seed, **share)
    path = cells_dir / _file(stage, percent, seed)
    record = read_cell_record(path)
    for key in CellSettings.model_fields:
        found, wanted = getattr(record, key), getattr(plan, key)
        if found != wanted:
            target = f"{stage}@{percent}-{seed}"
            raise UserError(f"{path}: {key} is {found!r}, not {wanted!r}; run: dvc repro {target}")
    return record


def _check_alike(real: Cells, synthetic: Cells, cells_dir: Path) -> None:
    """All cells name the same classes and the same corruptions, or some belong to another data set or program."""
    cells = [cell for group in (real, synthetic) for row in group.values() for cell in row]
    for kind, names in (
        ("classes", {frozenset(cell.test_accuracy_per_class) for cell in cells}),
        ("corruptions", {frozenset(cell.accuracy_per_corruption) for cell in cells}),
    ):
        if len(names) > 1:
            raise UserError(
                f"{cells_dir}: cells name different {kind}, so some belong to another data set; run: dvc repro"
            )
