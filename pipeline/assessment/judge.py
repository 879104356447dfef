"""The judge: a real-only classifier in whose eyes images are measured."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pipeline.assessment.fidelity import Features
from pipeline.classifier.inference import extract_features, predict_probabilities
from pipeline.classifier.network import Network
from pipeline.images import LabelledImages


@dataclass(frozen=True)
class Judge:
    """A real-only classifier: `features` gives (N, D), `probabilities` gives float32 (N, num_classes)."""

    name: str
    features: Callable[[LabelledImages], Features]
    probabilities: Callable[[LabelledImages], Features]


def judge_by(name: str, network: Network) -> Judge:
    """`network` as a judge: its pooled activations are the features."""
    return Judge(name, partial(extract_features, network), partial(predict_probabilities, network, flip=False))
