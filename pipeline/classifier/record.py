"""A cell of the ablation: its settings, and its record in results/cells/<name>.json."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.files import Record, read_record
from pipeline.params.schema import Control, Rival

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Nats = Annotated[float, Field(ge=0)]
REAL_ONLY = ("train_baseline", "train_rival")  # stages whose cells see no other images
Fractions = Annotated[dict[str, Fraction], Field(min_length=1)]


class CellSettings(Record):
    """What a cell of the ablation is trained on and for how long."""

    stage: Literal["train_baseline", "train_rival", "train_control", "train_classifier"]
    """Stage that trains the cell."""
    control: Control | None = None
    """What takes the synthetic images' place in a control; absent from every other cell."""
    rival: Rival | None = None
    """What is changed in the training on real images; absent from every cell but a rival's."""
    mode: Literal["add", "replace"] | None = None
    """`ablation.mode`; absent from a real-only cell, which trains alike in either."""
    mixing: Literal["batch", "pretrain_finetune"] | None = None
    """`ablation.mixing`; absent from a real-only cell."""
    budget: Literal["steps", "real_epochs"]
    """`ablation.budget`: what is equal in all cells."""
    real_percent: Count
    """Size of the real-only set, or of the real part of a mixed one, in percent of train_size; 0 to 1000."""
    synthetic_percent: Annotated[int, Field(ge=0, le=100)]
    """Percent of the training images, counted over all steps, that are synthetic or, in a control, stand for them; 0
    in a real-only cell."""
    replicate: Count
    """Seed of the classifier, of the GAN and of the synthetic set; of the split where each has its own."""
    steps: Positive
    """Optimizer steps."""
    num_real: Count
    """Different real images in the training set."""

    @property
    def identity(self) -> dict[str, int | str]:
        """What distinguishes the cell from the others of its stage."""
        keys = {"control", "rival", "synthetic_percent", "real_percent", "replicate"}
        return self.model_dump(include=keys, exclude_none=True)

    @property
    def name(self) -> str:
        """`<stage>-[<control>-]<percent>-<replicate>` or `train_rival-<rival>-<replicate>`, the stem of its files."""
        percent = self.synthetic_percent or self.real_percent
        parts = [self.rival] if self.rival else [self.control, percent] if self.control else [percent]
        return "-".join(map(str, (self.stage, *parts, self.replicate)))

    @model_validator(mode="after")
    def _mixed_cells_name_their_mixture(self) -> Self:
        if any((value is None) != (self.stage in REAL_ONLY) for value in (self.mode, self.mixing)):
            raise ValueError("mode and mixing are those of a mixed cell, and of none else")
        if (self.control is None) != (self.stage != "train_control"):
            raise ValueError("control is that of a control, and of none else")
        if (self.rival is None) != (self.stage != "train_rival"):
            raise ValueError("rival is that of a rival, and of none else")
        return self


class CellRecord(CellSettings):
    """results/cells/<name>.json: what one cell was trained on, and what it reached, to six digits."""

    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Of the file `classifier.weights` that training began with; absent where there was none."""
    num_synthetic: Count
    """Different synthetic images in the training set."""
    train_loss: Nats
    """Mean loss of the last quarter of the steps, label smoothing included, in nats; of an own training
    (`classifier.train`) that of the training images after it, without."""
    val_accuracy: Fraction
    """Fraction of val that is classified correctly after the last step; under attack likewise."""
    test_accuracy: Fraction
    """Fraction of test that is classified correctly; under attack where `classifier.attack_epsilon` is above 0."""
    clean_test_accuracy: Fraction | None = None
    """Then the same without an attack; absent otherwise."""
    temperature: Annotated[float, Field(gt=0)]
    """What the logits are divided by for the next two: fitted on val; above 1 the classifier is too confident."""
    test_loss: Nats
    """Mean negative log-likelihood of the test labels at that temperature, in nats."""
    test_calibration_error: Fraction
    """Expected calibration error on test at that temperature, in 15 bins."""
    test_confidence_gap: Annotated[float, Field(ge=-1, le=1)]
    """Mean confidence less accuracy on test, without a temperature: above 0 the classifier is too confident."""
    test_accuracy_per_class: Fractions
    """`test_accuracy` of the images of each class, by the name of the class."""
    num_corrupted: Positive
    """Test images, the first ones, on which each corruption is measured."""
    corrupted_accuracy: Fraction
    """Mean of `accuracy_per_corruption`."""
    accuracy_per_corruption: Fractions
    """Fraction of those images that is classified correctly, by the name of the corruption."""


def read_cell_record(path: Path) -> CellRecord:
    """The record of one cell.

    Raises:
        UserError: the file is missing or corrupted; the line names the cell's target in DVC.
    """
    stage, _, key = path.stem.partition("-")
    return read_record(path, CellRecord, again=f"dvc repro {stage}@{key}")
