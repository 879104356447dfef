"""A look at a generator in training: class faithfulness, variety, coverage, and a small CAS."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from pipeline.assessment.fidelity import Features, measure_manifold
from pipeline.assessment.judge import Judge, judge_by
from pipeline.classifier.inference import measure_accuracy, predict
from pipeline.classifier.training import train_unmixed
from pipeline.images import LabelledImages
from pipeline.params.schema import GanParams, HealthParams
from pipeline.runtime.progress import named_bars

NUM_NEIGHBOURS = 5
NUM_JUDGED = 256  # images of each kind that the discriminator sees
KNOWN = 0.1  # share of a class's real images that the judge must recognise, to say anything of its generated ones


@dataclass(frozen=True)
class GeneratorProbe:
    """Looks at a generator and its discriminator in training; it reads train and val, never test."""

    health: HealthParams
    train: LabelledImages
    val: LabelledImages
    judge: Judge
    measure_cas: Callable[[LabelledImages], float]

    def __call__(
        self,
        draw: Callable[[int], LabelledImages],
        realness: Callable[[LabelledImages], Features],
        *,
        with_cas: bool,
    ) -> dict[str, float]:
        """Numbers of a probe: fractions, and variances over those of real images.

        `draw` gives the generator's first N images, `realness` the discriminator's logits (N,). CAS is the accuracy
        on val of a small classifier trained on synthetic images alone (Ravuri & Vinyals 2019).
        """
        real = self.val.select(np.arange(min(self.health.num_images, len(self.val)), dtype=np.int64))
        drawn = draw(len(real))
        right, right_on_real = (self.judge.probabilities(x).argmax(1) == x.labels for x in (drawn, real))
        classes, most = range(len(drawn.class_names)), int(np.bincount(self.train.labels).argmax())
        seen, unseen = self.judge.features(drawn), self.judge.features(real)
        numbers = {
            "gan_test": float(right.mean()),
            "gan_test_weakest": min(
                float(right[drawn.labels == k].mean())
                for k in classes
                if k == most or right_on_real[real.labels == k].mean() >= KNOWN
            ),
            "diversity_weakest": min(
                variance(seen[drawn.labels == k]) / max(variance(unseen[real.labels == k]), 1e-12) for k in classes
            ),
            "coverage": measure_manifold(unseen, seen, NUM_NEIGHBOURS).coverage,
            "overfitting": overfitting(*(realness(_first(data)) for data in (self.train, self.val, drawn))),
        }
        if with_cas:
            numbers["cas"] = self.measure_cas(draw(self.health.cas_images))
        return numbers


def train_probe(
    gan: GanParams, train: LabelledImages, val: LabelledImages, *, seed: int, device: torch.device
) -> GeneratorProbe:
    """The probe of a training: its judge learns from `train`, the classifiers of the small CAS from what is drawn."""
    train_network = partial(train_unmixed, gan.judge, val=val, seed=seed, device=device)

    def measure_cas(drawn: LabelledImages) -> float:
        with named_bars("small CAS"):
            network = train_network(drawn, synthetic=True)
        return measure_accuracy(predict(network, val, flip=gan.judge.flip), val)

    with named_bars("judge"):
        judge = judge_by("judge", train_network(train, synthetic=False))
    return GeneratorProbe(gan.health, train, val, judge, measure_cas)


def overfitting(train: Features, unseen: Features, generated: Features) -> float:
    """How far D's logits set its training images apart from unseen ones, over how far from generated ones.

    0 where unseen images count as real, 1 where they count as generated (r_v of Karras et al. 2020, ADA, eq. 1);
    0 too where D ranks generated images above real ones, which is no overfitting.
    """
    seen, new, drawn = (float(logits.mean()) for logits in (train, unseen, generated))
    return (seen - new) / (seen - drawn) if seen > drawn else 0.0


def _first(data: LabelledImages) -> LabelledImages:
    return data.select(np.arange(min(NUM_JUDGED, len(data)), dtype=np.int64))


def variance(features: Features) -> float:
    """Total variance of the rows, the trace of their covariance."""
    return float(features.var(0, dtype=np.float64).sum())
