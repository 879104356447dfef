"""The declared cells, read and checked against the params."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.classifier.plan import CellPlan, plan_cell
from pipeline.classifier.record import CellRecord, CellSettings, read_cell_record
from pipeline.params.schema import Control, Params, Rival
from pipeline.runtime.errors import UserError

NAMED = 5  # missing cells that an error names; a new grid lacks dozens

Cells = dict[int, list[CellRecord]]  # percent -> one cell a replicate, in the order of ablation.replicates


@dataclass(frozen=True)
class Grid:
    """All cells of an ablation.

    Attributes:
        real: real-only cells by real_percent.
        mixed: mixed cells by synthetic_percent, rising.
        controls: cells of each control by synthetic_percent.
        rivals: cells of each rival.
    """

    real: Cells
    mixed: Cells
    controls: Mapping[Control, Cells]
    rivals: Mapping[Rival, list[CellRecord]]

    def baseline(self, percent: int) -> list[CellRecord]:
        """Real-only cells with as many steps as the mixed ones at `percent`."""
        return self.controls["real_only"][percent] if "real_only" in self.controls else self.real[100]

    def all_cells(self) -> Iterator[CellRecord]:
        """Every cell."""
        for group in (self.real, self.mixed, *self.controls.values()):
            for cells in group.values():
                yield from cells
        for cells in self.rivals.values():
            yield from cells


def read_grid(params: Params, cells_dir: Path) -> Grid:
    """The declared cells.

    Raises:
        UserError: a cell is missing or corrupted, or was trained under other params or on another data set.
    """
    ablation = params.ablation
    percents = sorted(ablation.synthetic_percent)
    plans: dict[str, dict[int, list[CellPlan]]] = {
        "real": {percent: _plans(params, real_percent=percent) for percent in ablation.real_percent},
        "mixed": {p: _plans(params, synthetic_percent=p) for p in percents},
        **{control: {p: _plans(params, p, control) for p in percents} for control in ablation.controls},
        **{rival: {100: _plans(params, rival=rival)} for rival in ablation.rivals},
    }
    declared = [plan for group in plans.values() for cells in group.values() for plan in cells]
    if missing := [plan for plan in declared if not _file(cells_dir, plan).is_file()]:
        raise UserError(_missing(missing, len(declared), cells_dir))
    read = {
        name: {percent: [_read_cell(cells_dir, plan) for plan in cells] for percent, cells in group.items()}
        for name, group in plans.items()
    }
    controls = {control: read[control] for control in ablation.controls}
    grid = Grid(read["real"], read["mixed"], controls, {rival: read[rival][100] for rival in ablation.rivals})
    _check_alike(grid.all_cells(), cells_dir)
    return grid


def _plans(
    params: Params,
    synthetic_percent: int = 0,
    control: Control | None = None,
    *,
    real_percent: int = 100,
    rival: Rival | None = None,
) -> list[CellPlan]:
    """The cells of one percent, one a replicate."""
    return [
        plan_cell(
            params,
            train_size=params.dataset.train_size,
            replicate=replicate,
            real_percent=real_percent,
            synthetic_percent=synthetic_percent,
            control=control,
            rival=rival,
        )
        for replicate in params.ablation.replicates
    ]


def _file(cells_dir: Path, plan: CellPlan) -> Path:
    return cells_dir / f"{plan.name}.json"


def _target(plan: CellPlan) -> str:
    """The cell's name in DVC."""
    return plan.name.replace("-", "@", 1)


def _missing(missing: Sequence[CellPlan], declared: int, cells_dir: Path) -> str:
    files = ", ".join(_file(cells_dir, plan).name for plan in missing[:NAMED])
    if len(missing) > NAMED:
        return f"{cells_dir} lacks {len(missing)} of {declared} declared cells ({files}, ...); run: synthmix run"
    return f"{cells_dir} lacks {files}; run: dvc repro {' '.join(map(_target, missing))}"


def _read_cell(cells_dir: Path, plan: CellPlan) -> CellRecord:
    """One cell, after a check that it is what its name and the params say."""
    path = _file(cells_dir, plan)
    record = read_cell_record(path)
    for key in CellSettings.model_fields:
        found, wanted = getattr(record, key), getattr(plan, key)
        if found != wanted:
            raise UserError(f"{path}: {key} is {found!r}, not {wanted!r}; run: dvc repro {_target(plan)}")
    return record


def _check_alike(cells: Iterable[CellRecord], cells_dir: Path) -> None:
    """All cells name the same classes and the same corruptions, or some belong to another data set or program."""
    names = [(frozenset(cell.test_accuracy_per_class), frozenset(cell.accuracy_per_corruption)) for cell in cells]
    for kind, found in zip(("classes", "corruptions"), map(set, zip(*names, strict=True)), strict=True):
        if len(found) > 1:
            raise UserError(
                f"{cells_dir}: cells name different {kind}, so some belong to another data set; run: dvc repro"
            )
