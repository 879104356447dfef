"""What an extension leaves beside its networks and images: extension.json, and the record of a classifier."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline.files import Record, read_record
from pipeline.params.schema import Arm

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
STAGE = "train_extended"


class Extension(Record):
    """extension.json, beside the generator for more classes: how its new rows were made."""

    generator_sha256: str
    """Of the weights file of the generator that was extended."""
    new_classes: Annotated[tuple[str, ...], Field(min_length=1)]
    """Their names; their numbers follow those of the old classes."""
    num_shots: Positive
    """Images of each new class that its rows were fitted to."""
    shots_sha256: str
    """Over pixels and labels of these images."""
    loss: Annotated[float, Field(ge=0)]
    """Of the last step, to six digits."""


class ExtendedCell(Record):
    """results/cells/train_extended-<arm>-<k>-<replicate>.json: a classifier of old and new classes; to six digits."""

    arm: Arm
    """What its training images of the new classes are."""
    num_shots: Positive
    """Real images of each new class."""
    replicate: Count
    """Its seed, and that of the extension; the number of the GAN."""
    steps: Positive
    """Optimizer steps."""
    num_images: Positive
    """Rows of its training set; an image that is there twice counts twice."""
    num_new_test: Positive
    """Test images of the new classes."""
    num_old_test: Positive
    """Test images of the old ones."""
    new_recall: Fraction
    """Recall of the new classes on test, their mean: the fraction of a class's images that is classified correctly."""
    old_accuracy: Fraction
    """Fraction of the old classes' test images that is classified correctly, among all classes."""
    harmonic_mean: Fraction
    """Of these two (Xian et al. 2018, eq. 4)."""
    val_harmonic_mean: Fraction
    """The same on val."""

    @property
    def identity(self) -> dict[str, int | str]:
        """What distinguishes it from the others of its stage."""
        return {"arm": self.arm, "num_shots": self.num_shots, "replicate": self.replicate}


def cell_name(arm: Arm, num_shots: int, replicate: int) -> str:
    """The stem of a record's file."""
    return f"{STAGE}-{arm}-{num_shots}-{replicate}"


def read_extended_cell(path: Path) -> ExtendedCell:
    """The record of one classifier.

    Raises:
        UserError: the file is missing or corrupted; the line names the cell's target in DVC.
    """
    stage, _, key = path.stem.partition("-")
    return read_record(path, ExtendedCell, again=f"dvc repro {stage}@{key}")
