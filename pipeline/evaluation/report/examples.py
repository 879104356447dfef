"""Images that the page shows: real ones beside synthetic ones, and the mistakes that a classifier is surest of."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.special import softmax

from pipeline.evaluation.predictions import Logits
from pipeline.images import LabelledImages, Pixels, class_grid

COLUMNS = 10  # real images of a class, as many as the grid of synthetic ones has
MISTAKES = 12


@dataclass(frozen=True)
class Mistake:
    """A test image that is classified wrongly: PNG in base64, the two classes, and the probability of the wrong one."""

    picture: str
    label: str
    predicted: str
    confidence: float


def confident_mistakes(logits: Logits, test: LabelledImages) -> list[Mistake]:
    """The wrongly classified test images with the highest confidence, the surest first.

    Args:
        logits: float32 (N, num_classes).
        test: the N images.
    """
    probability, predicted = softmax(logits.astype(np.float64), axis=1), logits.argmax(1)
    wrong = np.flatnonzero(predicted != test.labels)
    surest = wrong[np.argsort(-probability[wrong, predicted[wrong]], kind="stable")][:MISTAKES]
    return [
        Mistake(
            encode(test.images[row]),
            test.class_names[test.labels[row]],
            test.class_names[predicted[row]],
            float(probability[row, predicted[row]]),
        )
        for row in surest
    ]


def real_grid(train: LabelledImages) -> str:
    """The first images of every class, a row a class, as PNG in base64."""
    return encode(class_grid(train, COLUMNS))


def encode(picture: Pixels) -> str:
    """uint8 HWC => PNG in base64."""
    buffer = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
