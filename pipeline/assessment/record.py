"""assess.json: what was measured on the synthetic set."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline.files import Record, read_record

Fraction = Annotated[float, Field(ge=0, le=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class AssessRecord(Record):
    """Fidelity and diversity of the synthetic images that cells use, class faithfulness and memorisation of all."""

    feature_space: str
    """The classifier in whose features fidelity and diversity are measured."""
    num_kept: Positive
    """Synthetic images that `curation` leaves to the cells: precision, recall, density, coverage and Fréchet distance
    are those of the first `num_images` of them."""
    num_images: Positive
    """Images of each kind that are compared."""
    frechet_distance: NonNegative
    """Squared Fréchet distance between kept and unseen real images, in the feature space's own unit."""
    frechet_distance_floor: NonNegative
    """The same between train and unseen real images: what images without fault would have."""
    precision: Fraction
    """Fraction of kept images within the manifold of unseen real ones (Kynkäänniemi et al. 2019)."""
    recall: Fraction
    """Fraction of unseen real images within the manifold of kept ones."""
    density: NonNegative
    """Balls of unseen real images around a kept one, over their number of neighbours (Naeem et al. 2020); may exceed
    1."""
    coverage: Fraction
    """Fraction of the balls of unseen real images that hold a kept one."""
    gan_test_accuracy: Fraction
    """Fraction of all synthetic images that the real-only classifier takes for their class."""
    gan_test_accuracy_per_class: Annotated[dict[str, Fraction], Field(min_length=1)]
    """The same by the name of the class."""
    kept_gan_test_accuracy: Fraction
    """Fraction of kept images for which that holds."""
    memorised_percent: Percent
    """Percent of all synthetic images nearer to one training image, relative to the next, than nearly all unseen real
    ones."""
    memorised_percent_expected: Percent
    """Percent of unseen real images for which that holds: what a generator of new images would have."""
    kept_memorised_percent: Percent
    """`memorised_percent` of the kept images."""
    num_planted: Positive
    """Training images of which copies were made, to see how many the same threshold finds."""
    copies_flagged_percent: Annotated[dict[str, Percent], Field(min_length=1)]
    """Percent found by the kind of copy: exact; mirrored; shifted by a sixteenth of the side, and far, by an eighth;
    brightened by 25 levels; blurred; enlarged by a seventh; blended, 70 to 30, with another image."""
    generator: Sha256
    """sha256 of the weights that drew the images, or of the images that were taken from a set."""
    synthetic_digest: Sha256
    """sha256 over all synthetic images and labels, as `LabelledImages.digest` takes it."""


def read_assess_record(path: Path) -> AssessRecord:
    """The content of assess.json.

    Raises:
        UserError: the file is missing or corrupted.
    """
    return read_record(path, AssessRecord, again="dvc repro assess")
