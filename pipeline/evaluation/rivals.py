"""What else the same compute buys on real images alone, and whether synthetic images beat the best of it."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from pipeline.classifier.record import CellRecord
from pipeline.evaluation.grid import Grid
from pipeline.evaluation.result import OverBestRival, RivalOrNone, RivalSetting
from pipeline.evaluation.statistics import (
    Arms,
    Name,
    PairedComparison,
    best_on_val,
    compare_selected,
    holm,
    paired_difference,
)
from pipeline.evaluation.wording import over_best_rival_text
from pipeline.params.schema import Rival

Rivals = Mapping[Rival, list[CellRecord]]


def compare_rivals(rivals: Rivals, baseline: Sequence[CellRecord], image: float) -> tuple[RivalSetting, ...]:
    """Each rival against the real-only baseline; `image` is what one test image is in accuracy."""
    compared = {rival: _compare(cells, baseline, image) for rival, cells in rivals.items()}
    adjusted = holm([comparison.p_value for comparison in compared.values()])
    return tuple(
        RivalSetting(
            rival=rival,
            steps=cells[0].steps,
            val_accuracy_mean=fmean(cell.val_accuracy for cell in cells),
            test_accuracy_mean=fmean(cell.test_accuracy for cell in cells),
            difference_mean=compared[rival].difference.mean,
            difference_low=compared[rival].difference.low,
            difference_high=compared[rival].difference.high,
            p_value_holm=p_value,
        )
        for (rival, cells), p_value in zip(rivals.items(), adjusted, strict=True)
    )


def over_best_rival(grid: Grid, percent: int, image: float) -> OverBestRival | None:
    """The cells at the chosen `percent` against the rival that is best on val; None where none was run.

    Plain training on the real images is among the rivals: where none of them is better, that is what to beat.
    """
    if not grid.rivals:
        return None
    cells: dict[RivalOrNone, list[CellRecord]] = {"real_only": grid.baseline(percent)}
    cells.update(grid.rivals.items())
    rivals = _arms(cells)
    best, found = best_on_val(rivals), compare_selected(_arms(grid.mixed), rivals, image)
    return OverBestRival(
        rival=best,
        difference_mean=found.difference.mean,
        difference_low=found.difference.low,
        difference_high=found.difference.high,
        difference_cross_fitted=found.cross_fitted,
        p_value=found.p_value,
        text=over_best_rival_text(best, found),
    )


def _arms(cells: Mapping[Name, Sequence[CellRecord]]) -> Arms[Name]:
    val = {name: [cell.val_accuracy for cell in group] for name, group in cells.items()}
    return Arms(val, {name: [cell.test_accuracy for cell in group] for name, group in cells.items()})


def _compare(cells: Sequence[CellRecord], others: Sequence[CellRecord], image: float) -> PairedComparison:
    return paired_difference([cell.test_accuracy for cell in cells], [cell.test_accuracy for cell in others], image)
