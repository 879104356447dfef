"""Training and use of one classifier: data resident on the device, one straight loop."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from pipeline.classifier.augment import Augmentation
from pipeline.classifier.mixing import Plan, batch_rows
from pipeline.classifier.network import ConvNet, Network, Shape, build_network
from pipeline.classifier.optimizer import Optimizer
from pipeline.files import fill_network, load_model, save_model, wrong_model
from pipeline.images import Indices, LabelledImages, concatenate, to_unit_range
from pipeline.params.schema import ClassifierParams
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import steps
from pipeline.runtime.resources import need_memory

EVALUATION_BATCH = 500  # fixed, because another shape may round differently
FLOAT = 4  # bytes
PROBES = 4  # validations in a run
LOOKS = 8  # batches that the whitening is computed from

Log = Callable[[dict[str, float], int], None]
Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Trained:
    """A trained network in evaluation mode, what rebuilds it, and what happened on the way."""

    shape: Shape
    network: Network
    history: list[dict[str, float]]


def train_classifier(
    classifier: ClassifierParams,
    real: LabelledImages,
    synthetic: LabelledImages,
    val: LabelledImages,
    *,
    synthetic_percent: int,
    mixing: str,
    num_steps: int,
    seed: int,
    device: torch.device,
    log: Log,
) -> Trained:
    """Trains one classifier on exactly `synthetic_percent` % synthetic images, in the order that `mixing` names.

    Either source may be empty where its share is zero. Loss: cross-entropy with label smoothing; rates fall
    linearly to zero; `val` is watched, never learned from.
    """
    # ---- network: its first layer knows the images of this cell alone, in their shares ----------------------
    shape = Shape(classifier.network, classifier.width, real.images.shape[3], len(real.class_names))
    _check_room(classifier, shape, real, synthetic)
    plan, both = Plan(mixing, synthetic_percent, classifier.batch_size, num_steps), concatenate(real, synthetic)
    sizes = len(real), len(synthetic)
    network = build_network(shape, seed=seed)
    if isinstance(network, ConvNet):
        network.whiten_by(both.images[_spread_rows(plan, sizes, seed)])
    network.to(device).to(memory_format=torch.channels_last)
    optimizer = Optimizer(network, classifier)

    # ---- data on the device: synthetic rows follow the real ones --------------------------------------------
    images, labels = torch.from_numpy(both.images).to(device), torch.from_numpy(both.labels).to(device)
    augment = Augmentation(classifier, real.images.shape[1], device)
    history: list[dict[str, float]] = []
    total = torch.zeros((), device=device)
    probe_every = -(-num_steps // PROBES)

    for step, progress in steps("classifier", start=0, stop=num_steps, units=classifier.batch_size, unit="img"):
        index = torch.from_numpy(_rows(plan, step, sizes, seed)).to(device)
        x, y = to_unit_range(augment(images.index_select(0, index), seed=seed, step=step)), labels[index]
        with torch.autocast(device.type, torch.bfloat16, enabled=classifier.precision == "bfloat16"):
            logits = network(x)
        loss = F.cross_entropy(logits.float(), y, label_smoothing=classifier.label_smoothing)
        loss.backward()
        optimizer.step((step + 1) / (num_steps + 1))
        total += loss.detach()
        progress.advance(classifier.batch_size)

        if (step + 1) % probe_every == 0 or step + 1 == num_steps:
            if not math.isfinite(total.item()):
                raise UserError(f"classifier: loss not finite at step {step + 1}; lower classifier.learning_rate")
            count = (step % probe_every) + 1
            accuracy = measure_accuracy(predict(network, val, flip=classifier.flip), val)
            history.append({"step": step + 1, "train_loss": total.item() / count, "val_accuracy": accuracy})
            log({key: history[-1][key] for key in ("train_loss", "val_accuracy")}, step + 1)
            network.train()
            total.zero_()
    return Trained(shape, network.eval(), history)


def _check_room(classifier: ClassifierParams, shape: Shape, real: LabelledImages, synthetic: LabelledImages) -> None:
    """Refuses values with which no step could be made: what they take at the very least."""
    pixels, images = math.prod(real.images.shape[1:]), len(real) + len(synthetic)
    with torch.device("meta"):
        network = build_network(shape, seed=0)
    weights = sum(weight.numel() for weight in network.parameters())
    size = 3 * FLOAT * weights  # each with its gradient and momentum
    need_memory(size, f"params.yaml: width {classifier.width} of a classifier", "lower it")
    batch = FLOAT * classifier.batch_size * pixels
    need_memory(batch, f"params.yaml: batch_size {classifier.batch_size} of a classifier", "lower it")
    need_memory(images * pixels, f"{images} training images", "make fewer synthetic ones")


@torch.inference_mode()
def predict(network: Network, data: LabelledImages, *, flip: bool) -> Logits:
    """Logits (N, num_classes) of the network in evaluation mode; with `flip`, the mean over both mirror images."""
    network.eval()
    device = network.linear.weight.device
    parts = []
    for start in range(0, len(data), EVALUATION_BATCH):
        x = to_unit_range(torch.from_numpy(data.images[start : start + EVALUATION_BATCH]).to(device))
        logits = (network(x) + network(x.flip(3))) / 2 if flip else network(x)
        parts.append(logits.float().cpu().numpy())
    return np.concatenate(parts)


@torch.inference_mode()
def extract_features(network: Network, data: LabelledImages) -> Logits:
    """Pooled activations (N, D) of the network in evaluation mode."""
    network.eval()
    device = network.linear.weight.device
    parts = []
    for start in range(0, len(data), EVALUATION_BATCH):
        x = to_unit_range(torch.from_numpy(data.images[start : start + EVALUATION_BATCH]).to(device))
        parts.append(network.features(x).float().cpu().numpy())
    return np.concatenate(parts)


def measure_accuracy(logits: Logits, data: LabelledImages) -> float:
    """Fraction of images whose largest logit is their label's."""
    return float((logits.argmax(1) == data.labels).mean())


def save_classifier(folder: Path, trained: Trained, data: LabelledImages, *, flip: bool) -> None:
    """Writes the weights and what is needed to rebuild the network and to use it on images like `data`.

    `flip` says whether its answer is the mean over both mirror images, as in `predict`.
    """
    about = {
        "shape": asdict(trained.shape),
        "image_size": data.images.shape[1],
        "class_names": list(data.class_names),
        "flip": flip,
    }
    save_model(folder, "classifier", trained.network.state_dict(), about)


def load_classifier(folder: Path, device: torch.device, data: LabelledImages) -> Network:
    """The network that `save_classifier` wrote, in evaluation mode, to look at `data`.

    Raises:
        UserError: a file is missing, damaged or not a classifier of ours, or it knows other classes than `data`.
    """
    weights, about = load_model(folder, "classifier")
    with wrong_model(folder, "classifier"):
        shape = Shape(**about["shape"])
        if (shape.channels, about["class_names"]) != (data.images.shape[3], list(data.class_names)):
            raise UserError(f"{folder}: made for other classes or channels than the images; run: dvc repro")
        with torch.device("meta"):
            network = build_network(shape, seed=0)
        fill_network(network, weights)
    return network.to(device).to(memory_format=torch.channels_last).eval()


def _rows(plan: Plan, step: int, sizes: tuple[int, int], seed: int) -> Indices:
    """Rows of batch `step`, where the synthetic images follow the real ones."""
    real, synthetic = batch_rows(plan, step, sizes, seed=seed)
    return np.concatenate([real, sizes[0] + synthetic])


def _spread_rows(plan: Plan, sizes: tuple[int, int], seed: int) -> Indices:
    """Rows of LOOKS batches, spread over all steps: the shares are those of the training in either mixing."""
    chosen = np.unique(np.linspace(0, plan.num_steps - 1, LOOKS).round().astype(np.int64)).tolist()
    return np.concatenate([_rows(plan, step, sizes, seed) for step in chosen])
