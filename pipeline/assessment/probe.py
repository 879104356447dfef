"""A look at a generator in training: class faithfulness, variety, coverage, and a small CAS."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.assessment.assess import Judge
from pipeline.assessment.fidelity import Features, measure_manifold
from pipeline.config import Health
from pipeline.images import LabelledImages

NUM_NEIGHBOURS = 5


@dataclass(frozen=True)
class Examiner:
    """What looks at the images of a generator in training; it reads val, never test."""

    health: Health
    val: LabelledImages
    judge: Judge
    measure_cas: Callable[[LabelledImages], float]

    def __call__(self, draw: Callable[[int], LabelledImages], *, with_cas: bool) -> dict[str, float]:
        """Numbers of a probe: fractions, and variances over those of real images.

        `draw` gives the generator's first N images. CAS is the accuracy on val of a small classifier trained
        on synthetic images alone (Ravuri & Vinyals 2019).
        """
        real = self.val.select(np.arange(min(self.health.num_images, len(self.val)), dtype=np.int64))
        drawn = draw(len(real))
        right = self.judge.logits(drawn).argmax(1) == drawn.labels
        classes = range(len(drawn.class_names))
        seen, unseen = self.judge.features(drawn), self.judge.features(real)
        numbers = {
            "gan_test": float(right.mean()),
            "gan_test_weakest": min(float(right[drawn.labels == k].mean()) for k in classes),
            "diversity_weakest": min(
                variance(seen[drawn.labels == k]) / max(variance(unseen[real.labels == k]), 1e-12) for k in classes
            ),
            "coverage": measure_manifold(unseen, seen, NUM_NEIGHBOURS).coverage,
        }
        if with_cas:
            numbers["cas"] = self.measure_cas(draw(self.health.cas_images))
        return numbers


def variance(features: Features) -> float:
    """Total variance of the rows, the trace of their covariance."""
    return float(features.var(0, dtype=np.float64).sum())
