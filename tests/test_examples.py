"""Images that the report shows."""

import base64
import io

import numpy as np
from PIL import Image

from pipeline.evaluation.report.examples import COLUMNS, MISTAKES, confident_mistakes, real_grid
from pipeline.images import LabelledImages


def test_mistakes_are_the_surest_wrong_ones() -> None:
    """No right answer among them, the surest first, and each with its own image."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(50, 3)).astype(np.float32)
    labels = np.where(np.arange(50) < 20, logits.argmax(1), (logits.argmax(1) + 1) % 3).astype(np.int64)
    levels = np.broadcast_to(np.arange(50, dtype=np.uint8)[:, None, None, None], (50, 4, 4, 1))
    test = LabelledImages(np.ascontiguousarray(levels), labels, ("a", "b", "c"))
    mistakes = confident_mistakes(logits, test)
    assert len(mistakes) == MISTAKES
    assert all(mistake.label != mistake.predicted for mistake in mistakes)
    surest = [mistake.confidence for mistake in mistakes]
    assert surest == sorted(surest, reverse=True)
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.isclose(surest[0], probability.max(1)[20:].max())
    row = 20 + int(probability.max(1)[20:].argmax())
    assert np.asarray(_decode(mistakes[0].picture))[0, 0] == row


def test_the_grid_of_real_images_has_a_row_a_class() -> None:
    """In the order of the classes; what is missing is grey."""
    images = np.zeros((COLUMNS + 1, 4, 4, 3), np.uint8)
    images[-1] = 255
    labels = np.array([1] * COLUMNS + [0], np.int64)
    grid = np.asarray(_decode(real_grid(LabelledImages(images, labels, ("a", "b")))))
    assert grid.shape == (8, 4 * COLUMNS, 3)
    assert (grid[:4, :4] == 255).all()
    assert (grid[:4, 4:] == 128).all()
    assert (grid[4:] == 0).all()


def _decode(picture: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(picture)))
