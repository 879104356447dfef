"""Training by a function of the user's: arrays in, a function from images to logits out."""

import inspect
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax

from pipeline.classifier.inference import Answer, Logits, batches_of, measure_accuracy
from pipeline.classifier.mixture import Mixture, batch_rows
from pipeline.classifier.targets import one_hot
from pipeline.classifier.training import TrainingData
from pipeline.images import ImageSet, Indices, Pixels, concatenate
from pipeline.runtime.errors import UserError
from pipeline.runtime.own_code import find_function
from pipeline.runtime.progress import Progress, bar_name

KEY = "classifier.train"
Predict = Callable[[Pixels], NDArray[np.floating]]


@dataclass(frozen=True)
class TrainingTask:
    """What a cell asks of a training: its images, and how much each of them counts.

    Attributes:
        images: uint8 (N, size, size, channels), 0 to 255: the real ones, then the synthetic ones.
        labels: int64 (N,), each image's class.
        targets: float32 (N, num_classes), the probabilities to answer; of its label 1, unless the cell has soft labels.
        weights: float64 (N,), what each image counts: how often the cell's batches show it, times its loss's weight.
            They sum up to the cell's budget, images a step times steps.
        val: uint8 images of val, to stop or to choose by.
        val_labels: int64, their classes.
        num_classes: logits.
        seed: the replicate; torch's, NumPy's and Python's own generators start from it.
        batch_size: images a step.
        steps: the budget: steps of `batch_size` images.
        rows: step => the rows of its batch, the same ones as in the cells that it is compared with.
    """

    images: Pixels
    labels: Indices
    targets: NDArray[np.float32]
    weights: NDArray[np.float64]
    val: Pixels
    val_labels: Indices
    num_classes: int
    seed: int
    batch_size: int
    steps: int
    rows: Callable[[int], Indices]


@dataclass(frozen=True)
class OwnClassifier:
    """What the user's training gave: an answer to images, and the one row of its history."""

    answer: Answer
    history: list[dict[str, float]]


def train_own(name: str, data: TrainingData, mixture: Mixture, *, seed: int) -> OwnClassifier:
    """Runs the user's training on what a cell is to learn from.

    The history's `train_loss` is the mean cross-entropy of the training images afterwards, by `TrainingTask.weights`.

    Args:
        name: `module:function`.
        data: the images of the cell.
        mixture: which of them its batches hold.
        seed: the replicate.

    Raises:
        UserError: there is no such function of one argument, or it gives no function from images to logits.
    """
    train, task = find_function(name, KEY), plan_training(data, mixture, seed=seed)
    where = f"params.yaml: {KEY} '{name}'"
    try:
        inspect.signature(train).bind(task)
    except TypeError as error:
        raise UserError(f"{where}: {error}: it is called with one TrainingTask") from None
    with Progress(bar_name("classifier"), total=1, unit="training") as progress, torch.random.fork_rng(devices=[]):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        predict = train(task)
        progress.advance(1)
        if not callable(predict):
            raise UserError(f"{where}: gave {type(predict).__name__}, no function from images to logits")
        answer = _checked(predict, where, task.num_classes)
        accuracy = measure_accuracy(answer(data.val), data.val)
        progress.conclude(f"{100 * accuracy:.2f} % on val")
    loss = _mean_loss(answer, data, task)
    return OwnClassifier(answer, [{"step": task.steps, "train_loss": loss, "val_accuracy": accuracy}])


def plan_training(data: TrainingData, mixture: Mixture, *, seed: int) -> TrainingTask:
    """The arrays of a cell's training."""
    both, sizes = concatenate(data.real, data.synthetic), (len(data.real), len(data.synthetic))

    def rows(step: int) -> Indices:
        real, synthetic = batch_rows(mixture, step, sizes, seed=seed)
        return np.concatenate([real, sizes[0] + synthetic])

    visits = np.zeros(len(both))
    for step in range(mixture.num_steps):
        visits += np.bincount(rows(step), minlength=len(both))
    num_classes = len(both.class_names)
    targets = one_hot(both.labels, num_classes) if data.targets is None else data.targets
    return TrainingTask(
        images=both.images[:],
        labels=targets.argmax(1).astype(np.int64),
        targets=targets,
        weights=visits if data.weights is None else visits * data.weights,
        val=data.val.images[:],
        val_labels=data.val.labels,
        num_classes=num_classes,
        seed=seed,
        batch_size=mixture.batch_size,
        steps=mixture.num_steps,
        rows=rows,
    )


def _checked(predict: Predict, where: str, num_classes: int) -> Answer:
    """`predict` of some hundred images at a time, refused where it gives no logits."""

    def answer(data: ImageSet) -> Logits:
        return np.concatenate([_logits(predict, where, x.numpy(), num_classes) for x in batches_of(data)])

    return answer


def _logits(predict: Predict, where: str, images: Pixels, num_classes: int) -> Logits:
    found = np.asarray(predict(images))
    if found.shape != (len(images), num_classes) or found.dtype.kind != "f":
        wanted = (len(images), num_classes)
        raise UserError(f"{where}: logits of {len(images)} images are {found.dtype} {found.shape}, not float {wanted}")
    logits = found.astype(np.float32)
    if not np.isfinite(logits).all():
        raise UserError(f"{where}: its logits hold NaN or infinity, or more than float32 does")
    return logits


def _mean_loss(answer: Answer, data: TrainingData, task: TrainingTask) -> float:
    """Cross-entropy of the training images in nats, the mean by their weights."""
    logits = answer(concatenate(data.real, data.synthetic)).astype(np.float64)
    losses = -(task.targets * log_softmax(logits, axis=1)).sum(1)
    return float((task.weights * losses).sum() / task.weights.sum())
