"""Which test images every cell classifies how, from the logits that it left."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.classifier.record import CellRecord
from pipeline.images import Indices
from pipeline.runtime.errors import UserError

Logits = NDArray[np.float32]
AGAIN = "dvc repro collect"


@dataclass(frozen=True)
class Predictions:
    """What cells predict for the test images.

    Attributes:
        labels: int64 (N,), of the test images.
        logits: gives float32 (N, num_classes) of a cell.
    """

    labels: Indices
    logits: Callable[[CellRecord], Logits]

    def right(self, cells: Sequence[CellRecord]) -> NDArray[np.bool_]:
        """Whether each of the cells classifies each test image correctly: bool (cells, N)."""
        return np.stack([self.logits(cell).argmax(1) == self.labels for cell in cells])

    def confusion(self, cells: Sequence[CellRecord], num_classes: int) -> NDArray[np.float64]:
        """Mean share of each class's test images (rows) that are taken for each class (columns): rows sum to 1."""
        counts = np.zeros((num_classes, num_classes))
        for cell in cells:
            np.add.at(counts, (self.labels, self.logits(cell).argmax(1)), 1)
        shares: NDArray[np.float64] = counts / counts.sum(1, keepdims=True).clip(min=1)
        return shares


def read_predictions(collected: Path, labels: Indices) -> Predictions:
    """The predictions that the stage `collect` laid in a folder.

    A cell's raise UserError where its file is missing, of other test images, or not what its record describes.
    """

    def read(cell: CellRecord) -> Logits:
        stage, key = cell.name.split("-", 1)
        file = collected / stage / key / "test_logits.npy"
        try:
            logits: Logits = np.load(file, allow_pickle=False)
        except FileNotFoundError:
            raise UserError(f"{file}: not found; run: {AGAIN}") from None
        except (OSError, ValueError) as error:
            raise UserError(f"{file}: corrupted ({error}); delete it and run: {AGAIN}") from None
        if logits.shape != (len(labels), len(cell.test_accuracy_per_class)):
            raise UserError(
                f"{file}: holds logits of shape {logits.shape}, not of the {len(labels)} test images; run: {AGAIN}"
            )
        accuracy = round(float((logits.argmax(1) == labels).mean()), 6)
        if accuracy != cell.test_accuracy:
            raise UserError(f"{file}: an accuracy of {accuracy}, not its record's {cell.test_accuracy}; run: {AGAIN}")
        return logits

    return Predictions(labels, read)
