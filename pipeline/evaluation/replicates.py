"""What is known of every replicate: its GAN or set, its synthetic images, and its classifiers at the chosen percent."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.assessment.record import AssessRecord, read_assess_record
from pipeline.classifier.record import CellRecord
from pipeline.evaluation.result import ReplicateSummary
from pipeline.files import read_record
from pipeline.gan.description import GanDescription, read_description
from pipeline.params.schema import Source
from pipeline.runtime.errors import UserError
from pipeline.shards.imported import SET_FILE, ImportedSet

AGAIN = "dvc repro collect"


@dataclass(frozen=True)
class Made:
    """GANs, or what was taken from a set, and assessments of the images, in the order of ablation.replicates."""

    gans: tuple[GanDescription, ...]
    sets: tuple[ImportedSet, ...]
    assessed: tuple[AssessRecord, ...]


def read_made(replicates: Sequence[int], source: Source, collected: Path, assess: Path) -> Made:
    """Reads COLLECTED/<source>/<replicate>/generator.json, or set.json, and ASSESS/<replicate>.json.

    Raises:
        UserError: a file is missing, corrupted or of another replicate.
    """
    folder, is_gan = collected / source, source == "gan"
    gans, sets = (replicates, ()) if is_gan else ((), replicates)
    return Made(
        tuple(_read_gan(folder, replicate) for replicate in gans),
        tuple(read_record(folder / str(replicate) / SET_FILE, ImportedSet, again=AGAIN) for replicate in sets),
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
    gans = made.gans or (None,) * len(chosen)
    return tuple(
        ReplicateSummary(
            replicate=cell.replicate,
            degraded=gan.degraded if gan else False,
            small_cas=gan.small_cas if gan else None,
            gan_test_accuracy=assessed.gan_test_accuracy,
            coverage=assessed.coverage,
            memorised_percent=assessed.memorised_percent,
            val_accuracy=cell.val_accuracy,
            test_difference=cell.test_accuracy - base.test_accuracy,
        )
        for gan, assessed, cell, base in zip(gans, made.assessed, chosen, baseline, strict=True)
    )
