"""What is known of every replicate: its GAN, its synthetic images, and its classifiers at the chosen percent."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.assessment.record import AssessRecord, read_assess_record
from pipeline.classifier.record import CellRecord
from pipeline.evaluation.result import ReplicateSummary
from pipeline.gan.description import GanDescription, read_description
from pipeline.runtime.errors import UserError


@dataclass(frozen=True)
class Made:
    """GANs and assessments of the synthetic images, in the order of ablation.replicates."""

    gans: tuple[GanDescription, ...]
    assessed: tuple[AssessRecord, ...]


def read_made(replicates: Sequence[int], collected: Path, assess: Path) -> Made:
    """Reads COLLECTED/gan/<replicate>/generator.json and ASSESS/<replicate>.json.

    Raises:
        UserError: a file is missing, corrupted or of another replicate.
    """
    return Made(
        tuple(_read_gan(collected / "gan", replicate) for replicate in replicates),
        tuple(read_assess_record(assess / f"{replicate}.json") for replicate in replicates),
    )


def _read_gan(folder: Path, replicate: int) -> GanDescription:
    description = read_description(folder / str(replicate), "generator")
    if description.seed != replicate:  # one GAN in the place of two would make intervals too narrow
        raise UserError(
            f"{folder / str(replicate)}/generator.json: seed is {description.seed}, that of another replicate; run: "
            f"dvc repro --force --single-item train_gan@{replicate}, then dvc repro"
        )
    return description


def summarise_replicates(
    made: Made, chosen: Sequence[CellRecord], baseline: Sequence[CellRecord]
) -> tuple[ReplicateSummary, ...]:
    """One summary a replicate, of the cells at the chosen percent and their baseline in the same order."""
    return tuple(
        ReplicateSummary(
            replicate=cell.replicate,
            degraded=gan.degraded,
            small_cas=gan.small_cas,
            gan_test_accuracy=assessed.gan_test_accuracy,
            coverage=assessed.coverage,
            memorised_percent=assessed.memorised_percent,
            val_accuracy=cell.val_accuracy,
            test_difference=cell.test_accuracy - base.test_accuracy,
        )
        for gan, assessed, cell, base in zip(made.gans, made.assessed, chosen, baseline, strict=True)
    )
