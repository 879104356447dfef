"""Held-out classes that were learned from few images: the arms, and their differences paired by replicate."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pipeline.evaluation.result import ArmComparison, ArmSetting, NewClasses
from pipeline.evaluation.statistics import PairedComparison, holm, mean_interval, paired_difference
from pipeline.extend.record import ExtendedCell, cell_name, read_extended_cell
from pipeline.params.schema import Arm, Params
from pipeline.runtime.errors import UserError

Key = tuple[Arm, int]  # arm and images of each new class
Cells = Mapping[Key, Sequence[ExtendedCell]]  # one a replicate, in one order
Metric = Literal["new_recall", "old_accuracy", "harmonic_mean"]
METRICS: tuple[Metric, ...] = ("new_recall", "old_accuracy", "harmonic_mean")


def read_new_classes(params: Params, cells_dir: Path) -> NewClasses | None:
    """What was reached on `dataset.held_out`; None where no class is held out.

    Raises:
        UserError: a declared cell is missing or corrupted, or is not what its name says.
    """
    if not params.dataset.held_out:
        return None
    keys = [(arm, num_shots) for num_shots in params.extend.num_shots for arm in params.extend.arms]
    replicates = params.ablation.replicates
    cells = {key: [_read(cells_dir, *key, replicate) for replicate in replicates] for key in keys}
    return compare_arms(params.dataset.held_out, cells)


def compare_arms(classes: Sequence[str], cells: Cells) -> NewClasses:
    """Every arm, and the paired differences between arms; Holm's correction is over all of these."""
    pairs = list(_pairs(cells))
    compared = [{metric: _difference(cells[key], cells[other], metric) for metric in METRICS} for key, other in pairs]
    adjusted = holm([found["new_recall"].p_value for found in compared])
    return NewClasses(
        classes=tuple(classes),
        n=len(next(iter(cells.values()))),
        arms=tuple(_setting(key, group) for key, group in cells.items()),
        comparisons=tuple(
            _comparison(key, other, found, p_value)
            for (key, other), found, p_value in zip(pairs, compared, adjusted, strict=True)
        ),
    )


def _pairs(cells: Cells) -> Iterator[tuple[Key, Key]]:
    for arm, num_shots in cells:
        if arm != "oversampled":
            yield (arm, num_shots), ("oversampled", num_shots)
        if arm == "augmented_synthetic" and ("augmented", num_shots) in cells:
            yield (arm, num_shots), ("augmented", num_shots)


def _read(cells_dir: Path, arm: Arm, num_shots: int, replicate: int) -> ExtendedCell:
    file = cells_dir / f"{cell_name(arm, num_shots, replicate)}.json"
    cell = read_extended_cell(file)
    if cell.identity != {"arm": arm, "num_shots": num_shots, "replicate": replicate}:
        raise UserError(f"{file}: is of another cell, {cell.identity}; run: dvc repro train_extended")
    return cell


def _difference(cells: Sequence[ExtendedCell], others: Sequence[ExtendedCell], metric: Metric) -> PairedComparison:
    return paired_difference(_values(cells, metric), _values(others, metric), _image(cells[0], metric))


def _values(cells: Sequence[ExtendedCell], metric: Metric) -> list[float]:
    return [getattr(cell, metric) for cell in cells]


def _image(cell: ExtendedCell, metric: Metric) -> float:
    """What one test image is in a metric; the harmonic mean moves by half of either."""
    new, old = 1 / cell.num_new_test, 1 / cell.num_old_test
    return {"new_recall": new, "old_accuracy": old, "harmonic_mean": min(new, old) / 2}[metric]


def _setting(key: Key, cells: Sequence[ExtendedCell]) -> ArmSetting:
    found = {metric: mean_interval(_values(cells, metric), _image(cells[0], metric)) for metric in METRICS}
    return ArmSetting(
        arm=key[0],
        num_shots=key[1],
        new_recall_mean=found["new_recall"].mean,
        new_recall_low=max(0.0, found["new_recall"].low),
        new_recall_high=min(1.0, found["new_recall"].high),
        old_accuracy_mean=found["old_accuracy"].mean,
        harmonic_mean_mean=found["harmonic_mean"].mean,
    )


def _comparison(key: Key, other: Key, found: Mapping[Metric, PairedComparison], p_value: float) -> ArmComparison:
    ends = {
        f"{metric}_{end}": getattr(found[metric].difference, end)
        for metric in METRICS
        for end in ("mean", "low", "high")
    }
    return ArmComparison.model_validate(
        {"arm": key[0], "against": other[0], "num_shots": key[1], "p_value_holm": p_value} | ends
    )
