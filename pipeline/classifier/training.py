"""Training of one classifier: one straight loop."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pipeline.classifier.attack import attack_batch, predict_attacked
from pipeline.classifier.augment import Augmentation
from pipeline.classifier.backbone import drawing_by
from pipeline.classifier.batches import batch_reader
from pipeline.classifier.blend import blend
from pipeline.classifier.inference import measure_accuracy
from pipeline.classifier.mixture import Mixture, batch_rows
from pipeline.classifier.network import Architecture, Network, begin_network, build_network, choose_architecture
from pipeline.classifier.optimizer import Optimizer
from pipeline.images import ImageSet, Indices, LabelledImages, concatenate, empty_like, to_unit_range
from pipeline.params.schema import ClassifierParams
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import Progress, bar_name
from pipeline.runtime.resources import need_memory

FLOAT_BYTES = 4
VALIDATIONS = 4  # in a training
WHITENING_BATCHES = 8  # that the first layer of `convnet` is computed from


@dataclass(frozen=True)
class TrainingData:
    """What a classifier learns from; either source may be empty where its share is zero.

    Attributes:
        real: images of the real set.
        synthetic: those of the other one.
        val: only measured.
        targets: float32 (len(real) + len(synthetic), num_classes), the probabilities that are to be answered for the
            real images and then for the synthetic ones; None: their labels.
        weights: float32, of each of these images' loss; None: all alike.
    """

    real: ImageSet
    synthetic: ImageSet
    val: ImageSet
    targets: NDArray[np.float32] | None = None
    weights: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class TrainedClassifier:
    """A network in evaluation mode, and a history row a validation: `step`, `train_loss` (nats), `val_accuracy`."""

    network: Network
    history: list[dict[str, float]]


def train_classifier(
    classifier: ClassifierParams, data: TrainingData, mixture: Mixture, *, seed: int, device: torch.device
) -> TrainedClassifier:
    """Trains one classifier on `data` in the shares and the order of `mixture`.

    Loss: the weighted mean over a batch of the cross-entropy with label smoothing; rates fall linearly to zero.

    Raises:
        UserError: the loss is not finite, or the memory does not suffice.
    """
    # ---- network: its first layer knows the images of this training alone, in their shares -----------------
    _need_memory(classifier, choose_architecture(classifier, data.real), data)
    both, sizes = concatenate(data.real, data.synthetic), (len(data.real), len(data.synthetic))
    network = begin_network(
        classifier, data.real, lambda: both.images[_whitening_rows(mixture, sizes, seed)], seed=seed
    )
    network.to(device).to(memory_format=torch.channels_last)
    optimizer = Optimizer(network, classifier)

    # ---- data for the device: synthetic rows follow the real ones -------------------------------------------
    read_batch, targets = batch_reader(both, device), _targets(data, both).to(device)
    weights = torch.ones(len(both)) if data.weights is None else torch.from_numpy(data.weights)
    weights = weights.to(device)
    augment = Augmentation(classifier, both.images.shape[1], device)
    history: list[dict[str, float]] = []
    total_loss = torch.zeros((), device=device)
    validate_every = -(-mixture.num_steps // VALIDATIONS)

    with Progress(bar_name("classifier"), total=mixture.num_steps * mixture.batch_size, unit="image") as progress:
        for step in range(mixture.num_steps):
            # ---- one step ---------------------------------------------------------------------------------
            rows = _rows(mixture, step, sizes, seed)
            index = torch.from_numpy(rows).to(device)
            x, y = to_unit_range(augment(read_batch(rows), seed=seed, step=step)), targets[index]
            if classifier.mixup or classifier.cutmix:
                x, y = blend(x, y, classifier, position=(seed, step))
            with drawing_by(network, seed=seed, step=step):
                if classifier.attack_epsilon:
                    x = attack_batch(network, x, y, classifier, position=(seed, step))
                with torch.autocast(device.type, torch.bfloat16, enabled=classifier.precision == "bfloat16"):
                    logits = network(x)
            losses = F.cross_entropy(logits.float(), y, label_smoothing=classifier.label_smoothing, reduction="none")
            loss = (weights[index] * losses).sum() / weights[index].sum()
            loss.backward()
            optimizer.step((step + 1) / (mixture.num_steps + 1))
            total_loss += loss.detach()
            progress.advance(mixture.batch_size)

            # ---- validation -------------------------------------------------------------------------------
            if (step + 1) % validate_every == 0 or step + 1 == mixture.num_steps:
                train_loss = total_loss.item() / (step % validate_every + 1)
                if not math.isfinite(train_loss):
                    raise UserError(f"classifier: loss not finite at step {step + 1}; lower classifier.learning_rate")
                accuracy = measure_accuracy(predict_attacked(network, data.val, classifier), data.val)
                history.append({"step": step + 1, "train_loss": train_loss, "val_accuracy": accuracy})
                network.train()
                total_loss.zero_()
        progress.conclude(f"{100 * history[-1]['val_accuracy']:.2f} % on val")
    return TrainedClassifier(network.eval(), history)


def train_unmixed(
    classifier: ClassifierParams,
    images: LabelledImages,
    val: LabelledImages,
    *,
    synthetic: bool,
    seed: int,
    device: torch.device,
) -> Network:
    """A classifier trained on `images` alone, which are synthetic ones or real ones, for `classifier.steps`."""
    none, percent = empty_like(images), 100 if synthetic else 0
    data = TrainingData(none, images, val) if synthetic else TrainingData(images, none, val)
    mixture = Mixture("batch", percent, classifier.batch_size, classifier.steps)
    return train_classifier(classifier, data, mixture, seed=seed, device=device).network


def _targets(data: TrainingData, both: ImageSet) -> Tensor:
    """float32 (N, num_classes): the probabilities that are to be answered."""
    if data.targets is not None:
        return torch.from_numpy(data.targets)
    return F.one_hot(torch.from_numpy(both.labels), len(both.class_names)).float()


def _need_memory(classifier: ClassifierParams, architecture: Architecture, data: TrainingData) -> None:
    """Refuses values with which no step could be made: what they take at the very least, of networks that are ours."""
    pixels = math.prod(data.real.images.shape[1:])
    num_images = sum(len(images) for images in (data.real, data.synthetic) if isinstance(images, LabelledImages))
    if architecture.is_own:
        with torch.device("meta"):
            network = build_network(architecture, seed=0)
        weights = sum(weight.numel() for weight in network.parameters())
        size = 3 * FLOAT_BYTES * weights  # each with its gradient and momentum
        need_memory(size, f"params.yaml: width {classifier.width} of a classifier", "lower it")
    batch = FLOAT_BYTES * classifier.batch_size * pixels
    need_memory(batch, f"params.yaml: batch_size {classifier.batch_size} of a classifier", "lower it")
    need_memory(num_images * pixels, f"{num_images} training images", "make fewer synthetic ones")


def _rows(mixture: Mixture, step: int, sizes: tuple[int, int], seed: int) -> Indices:
    """Rows of batch `step`, where the synthetic images follow the real ones."""
    real, synthetic = batch_rows(mixture, step, sizes, seed=seed)
    return np.concatenate([real, sizes[0] + synthetic])


def _whitening_rows(mixture: Mixture, sizes: tuple[int, int], seed: int) -> Indices:
    """Rows of WHITENING_BATCHES batches, evenly over all steps: the training's shares in either mixing."""
    steps = np.linspace(0, mixture.num_steps - 1, WHITENING_BATCHES).round().astype(np.int64)
    return np.concatenate([_rows(mixture, step, sizes, seed) for step in np.unique(steps).tolist()])
