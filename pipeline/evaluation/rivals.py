"""What else the same compute buys on real images alone, and whether synthetic images beat the best of it."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from pipeline.classifier.record import CellRecord
from pipeline.evaluation.result import OverBestRival, RivalSetting
from pipeline.evaluation.statistics import PairedComparison, holm, paired_difference
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


def over_best_rival(rivals: Rivals, chosen: Sequence[CellRecord], image: float) -> OverBestRival | None:
    """The cells at the chosen percent against the rival that is best on val; None where none was run."""
    if not rivals:
        return None
    best = max(rivals, key=lambda rival: fmean(cell.val_accuracy for cell in rivals[rival]))
    comparison = _compare(chosen, rivals[best], image)
    return OverBestRival(
        rival=best,
        difference_mean=comparison.difference.mean,
        difference_low=comparison.difference.low,
        difference_high=comparison.difference.high,
        p_value=comparison.p_value,
        text=over_best_rival_text(best, comparison),
    )


def _compare(cells: Sequence[CellRecord], others: Sequence[CellRecord], image: float) -> PairedComparison:
    return paired_difference([cell.test_accuracy for cell in cells], [cell.test_accuracy for cell in others], image)
