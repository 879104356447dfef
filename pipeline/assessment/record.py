"""assess.json: what was measured on the synthetic set."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline.files import Record, read_record

Fraction = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class AssessRecord(Record):
    """Fidelity, diversity, class faithfulness and memorisation of the synthetic images."""

    feature_space: str
    """The classifier in whose features distances are taken."""
    num_images: Annotated[int, Field(ge=1)]
    """Images of each kind that are compared."""
    frechet_distance: NonNegative
    """Squared Fréchet distance between synthetic and val images, in the feature space's own unit."""
    frechet_distance_floor: NonNegative
    """The same between train and val: what images without fault would have."""
    precision: Fraction
    """Fraction of synthetic images within the manifold of val (Kynkäänniemi et al. 2019)."""
    recall: Fraction
    """Fraction of val within the manifold of synthetic images."""
    density: NonNegative
    """Balls of val around a synthetic image, over their number of neighbours (Naeem et al. 2020); may exceed 1."""
    coverage: Fraction
    """Fraction of val's balls that hold a synthetic image."""
    gan_test_accuracy: Fraction
    """Fraction of synthetic images that the real-only classifier takes for their class."""
    gan_test_accuracy_per_class: Annotated[dict[str, Fraction], Field(min_length=1)]
    """The same by the name of the class."""
    memorised_percent: Annotated[float, Field(ge=0, le=100)]
    """Percent of synthetic images nearer to a training image than nearly all of val."""
    memorised_percent_expected: Annotated[float, Field(ge=0, le=100)]
    """Percent of val for which that holds: what a generator of new images would have."""
    generator: Sha256
    """sha256 of the weights that drew the images."""
    synthetic_digest: Sha256
    """sha256 over all synthetic images and labels, as `LabelledImages.digest` takes it."""


def read_assess_record(path: Path) -> AssessRecord:
    """The content of assess.json.

    Raises:
        UserError: the file is missing or corrupted.
    """
    return read_record(path, AssessRecord, again="dvc repro assess")
