"""What a classifier of old and new classes is trained on, arm by arm, and how it is measured."""

from dataclasses import dataclass

import numpy as np
import torch

from pipeline.classifier.inference import Logits, predict
from pipeline.classifier.training import train_unmixed
from pipeline.extend.record import ExtendedCell
from pipeline.extend.streams import Stream
from pipeline.extend.warps import STRONG, warped_copies
from pipeline.images import ImageSet, Indices, LabelledImages, concatenate
from pipeline.params.schema import Arm, ClassifierParams
from pipeline.runtime.errors import UserError


@dataclass(frozen=True)
class ExtendedData:
    """Images of old and new classes; class names and labels are those of both.

    Attributes:
        old: real training images of the old classes.
        shots: the few real images of the new ones.
        drawn: images of the new ones by the extended generator.
        others: all real images of the new ones that are neither test nor val, from which the oracle takes.
        val: of all classes.
        test: of all classes.
    """

    old: LabelledImages
    shots: LabelledImages
    drawn: LabelledImages
    others: LabelledImages
    val: LabelledImages
    test: LabelledImages

    @property
    def num_old(self) -> int:
        """Old classes, which come first."""
        return int(self.shots.labels.min())


def renamed(data: LabelledImages, class_names: tuple[str, ...]) -> LabelledImages:
    """The same images among more classes: those that they have had keep their numbers.

    Raises:
        UserError: they do not.
    """
    if class_names[: len(data.class_names)] != data.class_names:
        raise UserError(f"classes {list(data.class_names)} do not begin {list(class_names)}; run: dvc repro")
    return LabelledImages(data.images, data.labels, class_names)


def training_set(arm: Arm, data: ExtendedData, *, seed: int) -> LabelledImages:
    """The training images of an arm.

    `real_only`: the old images and the few of the new classes, as they are. In all other arms every class has equally
    many rows, so that only what stands for the new classes differs: `oversampled` their few images over and over;
    `augmented` these and strongly warped copies; `synthetic` half these, half generated ones; `augmented_synthetic`
    half the former, half generated ones; `oracle` real ones, as many as an old class has.
    """
    if arm == "real_only":
        return concatenate(data.old, data.shots)
    most = int(np.bincount(data.old.labels).max())
    level = max(most, int(np.bincount(data.drawn.labels).max()))
    parts = [_tiled(data.old, np.flatnonzero(data.old.labels == label), level) for label in range(data.num_old)]
    for label in range(data.num_old, len(data.old.class_names)):
        parts += _new_class(arm, data, label, level, most, seed)
    return LabelledImages(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
        data.old.class_names,
    )


def _new_class(arm: Arm, data: ExtendedData, label: int, level: int, most: int, seed: int) -> list[LabelledImages]:
    """`level` images of a new class."""
    shots, drawn, others = (
        part.select(np.flatnonzero(part.labels == label)) for part in (data.shots, data.drawn, data.others)
    )
    if arm == "oracle":
        return [_tiled(others, np.arange(min(most, len(others)), dtype=np.int64), level)]
    if arm in ("oversampled", "synthetic"):
        real = shots
    else:
        real = warped_copies(shots, level, STRONG, seed=seed, stream=Stream.TRAINING_WARPS)
    half = level // 2 if arm in ("synthetic", "augmented_synthetic") else 0
    kept = [_tiled(real, np.arange(len(real), dtype=np.int64), level - half)]
    return [*kept, _tiled(drawn, np.arange(len(drawn), dtype=np.int64), half)] if half else kept


def _tiled(data: LabelledImages, rows: Indices, count: int) -> LabelledImages:
    """The first `count` of `rows` over and over."""
    return data.select(np.resize(rows, count))


def run_arm(
    arm: Arm, data: ExtendedData, classifier: ClassifierParams, *, num_shots: int, seed: int, device: torch.device
) -> ExtendedCell:
    """Trains the classifier of an arm and measures it on val and test."""
    images = training_set(arm, data, seed=seed)
    network = train_unmixed(classifier, images, data.val, synthetic=False, seed=seed, device=device)
    val, test = (predict(network, part, flip=classifier.flip) for part in (data.val, data.test))
    recall, accuracy = recall_and_accuracy(test, data.test, data.num_old)
    return ExtendedCell(
        arm=arm,
        num_shots=num_shots,
        replicate=seed,
        steps=classifier.steps,
        num_images=len(images),
        num_new_test=int((data.test.labels >= data.num_old).sum()),
        num_old_test=int((data.test.labels < data.num_old).sum()),
        new_recall=round(recall, 6),
        old_accuracy=round(accuracy, 6),
        harmonic_mean=round(harmonic_mean(recall, accuracy), 6),
        val_harmonic_mean=round(harmonic_mean(*recall_and_accuracy(val, data.val, data.num_old)), 6),
    )


def recall_and_accuracy(logits: Logits, data: ImageSet, num_old: int) -> tuple[float, float]:
    """Mean recall of the new classes, and accuracy on the images of the old ones; fractions."""
    right = logits.argmax(1) == data.labels
    recalls = [right[data.labels == label].mean() for label in range(num_old, len(data.class_names))]
    return float(np.mean(recalls)), float(right[data.labels < num_old].mean())


def harmonic_mean(recall: float, accuracy: float) -> float:
    """Of the two; 0 where both are."""
    return 2 * recall * accuracy / (recall + accuracy) if recall + accuracy else 0.0
