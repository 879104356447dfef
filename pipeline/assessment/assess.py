"""Everything that is measured on the synthetic set itself, with one real-only classifier as the judge."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from pipeline.assessment.fidelity import frechet_distance, measure_manifold
from pipeline.assessment.judge import Judge
from pipeline.assessment.memorisation import EXPECTED_PERCENT, Nearest, find_near_copies, find_nearest
from pipeline.assessment.record import AssessRecord
from pipeline.files import hash_file
from pipeline.images import LabelledImages, Pixels
from pipeline.params.schema import AssessParams
from pipeline.runtime.errors import UserError
from pipeline.runtime.resources import need_memory
from pipeline.shards.reader import read_column

NEIGHBOUR_COLUMNS = 8
BYTES_A_PAIR = 8  # of images whose distance is taken: two float32 matrices at once


class Assessment(NamedTuple):
    """What was measured on the set, the scores of each image (one row an image), and its nearest training image."""

    record: AssessRecord
    scores: dict[str, NDArray[np.generic]]
    nearest: Nearest


def assess(
    assess: AssessParams,
    synthetic: LabelledImages,
    train: LabelledImages,
    val: LabelledImages,
    judge: Judge,
    *,
    generator: str,
) -> Assessment:
    """Measures the synthetic set, drawn by the generator whose weights have the sha256 `generator`.

    The reference is `val`, which neither the generator nor the judge has seen; all sets are cut to one size,
    because Fréchet distance and coverage depend on it.

    Raises:
        UserError: a class has no synthetic image, or the distances of so many images do not fit into memory.
    """
    if lost := np.setdiff1d(train.labels, synthetic.labels).tolist():
        raise UserError(f"the synthetic set has no image of classes {lost}; run: dvc repro synthesize")
    size = min(assess.num_images, len(train), len(val), len(synthetic))
    need_memory(BYTES_A_PAIR * size**2, f"params.yaml: assess.num_images, {size} here", "lower it")
    seen, unseen, drawn = judge.features(train), judge.features(val), judge.features(synthetic)
    manifold = measure_manifold(unseen[:size], drawn[:size], assess.num_neighbours)
    nearest = find_nearest(drawn, seen)
    near_copy = find_near_copies(nearest, find_nearest(unseen, seen))
    probability = softmax(judge.logits(synthetic), axis=1)
    predicted = probability.argmax(1).astype(np.int64)
    right = predicted == synthetic.labels
    record = AssessRecord(
        feature_space=judge.name,
        num_images=size,
        frechet_distance=frechet_distance(drawn[:size], unseen[:size]),
        frechet_distance_floor=frechet_distance(seen[:size], unseen[:size]),
        gan_test_accuracy=float(right.mean()),
        gan_test_accuracy_per_class={
            name: float(right[synthetic.labels == k].mean()) for k, name in enumerate(synthetic.class_names)
        },
        memorised_percent=float(near_copy.mean() * 100),
        memorised_percent_expected=EXPECTED_PERCENT,
        generator=generator,
        synthetic_digest=synthetic.digest(),
        **manifold._asdict(),
    )
    scores: dict[str, NDArray[np.generic]] = {
        "index": np.arange(len(synthetic)),
        "label": synthetic.labels,
        "predicted": predicted,
        "confidence": probability[np.arange(len(synthetic)), synthetic.labels],
        "nearest_train_row": nearest.row,
        "nearest_train_distance": nearest.distance,
        "near_copy": near_copy,
    }
    return Assessment(record, scores, nearest)


def check_generator(synthetic: Path, generator: Path) -> str:
    """The sha256 of the weights in the folder `generator`, which must have drawn the shards in `synthetic`.

    Raises:
        UserError: others drew them; names both generators by the sha256 of their weights.
    """
    ours = hash_file(generator / "generator.safetensors")
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
