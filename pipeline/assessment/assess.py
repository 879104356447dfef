"""Everything that is measured on the synthetic set itself, with one real-only classifier as the judge."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.assessment.fidelity import Features, Fidelity, measure_fidelity
from pipeline.assessment.judge import Judge
from pipeline.assessment.memorisation import EXPECTED_PERCENT, Nearest, find_near_copies, find_nearest
from pipeline.assessment.planted import NUM_PLANTED, plant_copies
from pipeline.assessment.record import AssessRecord
from pipeline.classifier.curation import curate
from pipeline.files import hash_file
from pipeline.images import LabelledImages, Pixels
from pipeline.params.schema import AssessParams, Params
from pipeline.runtime.errors import UserError
from pipeline.runtime.resources import need_memory
from pipeline.shards.imported import ImportedSet
from pipeline.shards.reader import read_column

NEIGHBOUR_COLUMNS = 8
BYTES_A_PAIR = 8  # of images whose distance is taken: two float32 matrices at once

Scores = dict[str, NDArray[np.generic]]


class Drawn(NamedTuple):
    """A synthetic set.

    Attributes:
        images: all of it.
        realness: the discriminator's logit of each image, float32 (N,); None where no GAN of ours drew it.
        generator: sha256 of the weights that drew it, or of the images that were taken from a set.
    """

    images: LabelledImages
    realness: Features | None
    generator: str


class Assessment(NamedTuple):
    """What was measured on the set, the scores of each image (one row an image), and its nearest training image."""

    record: AssessRecord
    scores: Scores
    nearest: Nearest


def assess(
    params: Params, drawn: Drawn, train: LabelledImages, unseen: LabelledImages, judge: Judge, *, device: torch.device
) -> Assessment:
    """Measures the synthetic set beside `unseen`: real images which neither the generator nor the judge has seen.

    Fidelity is that of the images which `params.curation` leaves to the cells. The other measures are of the whole
    set, but for those named `kept_`.

    Args:
        params: `assess` and `curation`.
        drawn: the synthetic set.
        train: what the generator has learned from.
        unseen: real images of the same kind.
        judge: a real-only classifier.
        device: where distances are taken.

    Raises:
        UserError: a class has no synthetic image, or loses all to curation, or the distances of so many images do
            not fit into memory.
    """
    images = drawn.images
    if lost := np.setdiff1d(train.labels, images.labels).tolist():
        raise UserError(f"the synthetic set has no image of classes {lost}; run: dvc repro synthesize")
    nearest, reference = (find_nearest(x.images, train.images, device) for x in (images, unseen))
    scores = _score(drawn, judge, nearest, find_near_copies(nearest, reference))
    kept = curate(params.curation, images.labels, scores, size=len(train))
    right, near_copy = scores["predicted"] == images.labels, scores["near_copy"]
    record = AssessRecord(
        feature_space=judge.name,
        num_kept=len(kept),
        gan_test_accuracy=float(right.mean()),
        gan_test_accuracy_per_class={
            name: float(right[images.labels == k].mean()) for k, name in enumerate(images.class_names)
        },
        kept_gan_test_accuracy=float(right[kept].mean()),
        memorised_percent=_percent(near_copy),
        memorised_percent_expected=EXPECTED_PERCENT,
        kept_memorised_percent=_percent(near_copy[kept]),
        num_planted=min(NUM_PLANTED, len(train)),
        copies_flagged_percent=flag_planted_copies(train.images, reference, device),
        generator=drawn.generator,
        synthetic_digest=images.digest(),
        **_fidelity(params.assess, images.select(kept), train, unseen, judge)._asdict(),
    )
    return Assessment(record, scores, nearest)


def flag_planted_copies(train: Pixels, reference: Nearest, device: torch.device) -> dict[str, float]:
    """Percent found, by the kind of copy, of those made of the first NUM_PLANTED images of `train`."""
    return {
        kind: _percent(find_near_copies(find_nearest(copies, train, device), reference))
        for kind, copies in plant_copies(train[:NUM_PLANTED]).items()
    }


def _score(drawn: Drawn, judge: Judge, nearest: Nearest, near_copy: NDArray[np.bool_]) -> Scores:
    """The columns of the sidecar, one value an image."""
    labels = drawn.images.labels
    rows, probability = np.arange(len(labels)), judge.probabilities(drawn.images)
    scores: Scores = {
        "index": rows,
        "label": labels,
        "predicted": probability.argmax(1).astype(np.int64),
        "confidence": probability[rows, labels],
        "probability": probability,
        "nearest_train_row": nearest.row,
        "nearest_train_distance": nearest.distance,
        "nearest_train_ratio": nearest.ratio,
        "near_copy": near_copy,
    }
    return scores if drawn.realness is None else scores | {"discriminator": drawn.realness}


def _fidelity(
    assess: AssessParams, kept: LabelledImages, train: LabelledImages, unseen: LabelledImages, judge: Judge
) -> Fidelity:
    """That of the first images of each set, as many as all of them have."""
    size = min(assess.num_images, len(train), len(unseen), len(kept))
    need_memory(BYTES_A_PAIR * size**2, f"params.yaml: assess.num_images, {size} here", "lower it")
    drawn, seen, new = (judge.features(data.select(np.arange(size))) for data in (kept, train, unseen))
    return measure_fidelity(drawn, seen, new, assess.num_neighbours)


def _percent(flags: NDArray[np.generic]) -> float:
    return 100 * int(np.count_nonzero(flags)) / len(flags)


def check_generator(synthetic: Path, generator: Path, imported: ImportedSet | None) -> str:
    """The sha256 of the weights in the folder `generator`, which must have drawn the shards in `synthetic`.

    Where they were `imported`, that of the images that were taken.

    Raises:
        UserError: others drew them; names both generators by the sha256 of their weights.
    """
    ours = imported.images_sha256 if imported else hash_file(generator / "generator.safetensors")
    if others := set(read_column(synthetic, "generator")) - {ours}:
        raise UserError(
            f"{synthetic}: holds images drawn by {min(others)[:12]}…, {generator} is {ours[:12]}…; "
            "run: dvc repro synthesize"
        )
    return ours


def neighbours_picture(synthetic: LabelledImages, train: LabelledImages, nearest: Nearest) -> Pixels:
    """Synthetic images above their nearest training images, two rows a class (HWC)."""
    size, channels = train.images.shape[1], train.images.shape[3]
    bands = []
    for label in range(len(synthetic.class_names)):
        rows = np.flatnonzero(synthetic.labels == label)[:NEIGHBOUR_COLUMNS]
        pair = (synthetic.images[rows], train.images[nearest.row[rows]])
        bands += [_row(images, NEIGHBOUR_COLUMNS * size) for images in pair]
        bands.append(np.full((size // 4, NEIGHBOUR_COLUMNS * size, channels), 255, np.uint8))
    return np.concatenate(bands[:-1])


def _row(images: Pixels, width: int) -> Pixels:
    """Images side by side, white to the right where there are too few."""
    joined = np.concatenate(list(images), axis=1)
    return np.pad(joined, ((0, 0), (0, width - joined.shape[1]), (0, 0)), constant_values=255)
