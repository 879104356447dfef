"""One cell of the ablation: what it trains on, its training, and the files that tell its result."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch

from pipeline.classifier.corruptions import measure_robustness
from pipeline.classifier.scores import accuracy_per_class, calibration_error, negative_log_likelihood
from pipeline.classifier.training import (
    Log,
    Trained,
    measure_accuracy,
    predict,
    save_classifier,
    train_classifier,
)
from pipeline.files import write_array, write_csv, write_json
from pipeline.images import LabelledImages
from pipeline.params.schema import ClassifierParams
from pipeline.runtime.errors import UserError


@dataclass(frozen=True)
class Cell:
    """What identifies a cell, and its data."""

    stage: str
    real_percent: int
    synthetic_percent: int
    mixing: str
    seed: int
    steps: int
    real: LabelledImages
    synthetic: LabelledImages

    @property
    def identity(self) -> dict[str, int]:
        """What tells the cell from the others of the grid."""
        percents = {"synthetic_percent": self.synthetic_percent, "real_percent": self.real_percent}
        return percents | {"seed": self.seed}

    @property
    def name(self) -> str:
        """`<stage>-<percent>-<seed>`, the stem of the cell's files."""
        percent = self.synthetic_percent or self.real_percent
        return f"{self.stage}-{percent}-{self.seed}"


def run_cell(
    cell: Cell,
    classifier: ClassifierParams,
    val: LabelledImages,
    test: LabelledImages,
    *,
    num_corrupted: int,
    settings: Mapping[str, str],
    device: torch.device,
    log: Log,
    out: Path,
    results: Path,
) -> None:
    """Trains the cell's classifier, then reads the test images once, and the first `num_corrupted` of them damaged.

    Writes weights and test logits to `out`, history and metrics (with `settings`) below `results`; the metrics
    come last: where they lie, the cell is whole.
    """
    if cell.synthetic_percent < 100 and len(cell.real) == 0:
        raise UserError(f"params.yaml: {cell.name} would mix in real images, but ablation.mode replace leaves none")
    trained = train_classifier(
        classifier,
        cell.real,
        cell.synthetic,
        val,
        synthetic_percent=cell.synthetic_percent,
        mixing=cell.mixing,
        num_steps=cell.steps,
        seed=cell.seed,
        device=device,
        log=log,
    )
    logits = predict(trained.network, test, flip=classifier.flip)
    corrupted = measure_robustness(trained.network, test, num_corrupted, flip=classifier.flip)
    metrics = {
        "test_accuracy": measure_accuracy(logits, test),
        "test_loss": negative_log_likelihood(logits, test),
        "test_calibration_error": calibration_error(logits, test),
        "corrupted_accuracy": fmean(corrupted.values()),
    }
    log(metrics, cell.steps)
    save_classifier(out, trained, test, flip=classifier.flip)
    write_array(out / "test_logits.npy", logits)
    write_csv(results / "history" / f"{cell.name}.csv", trained.history)
    details = {
        "test_accuracy_per_class": accuracy_per_class(logits, test),
        "accuracy_per_corruption": {name: round(value, 6) for name, value in corrupted.items()},
        "num_corrupted": min(num_corrupted, len(test)),
    }
    write_json(results / "cells" / f"{cell.name}.json", describe(cell, trained, metrics) | dict(settings) | details)


def describe(cell: Cell, trained: Trained, metrics: dict[str, float]) -> dict[str, object]:
    """The cell's identity, sizes and metrics (six digits)."""
    last = {key: trained.history[-1][key] for key in ("train_loss", "val_accuracy")}
    return (
        cell.identity
        | {
            "stage": cell.stage,
            "steps": cell.steps,
            "num_real": len(cell.real),
            "num_synthetic": len(cell.synthetic),
        }
        | {key: round(value, 6) for key, value in (last | metrics).items()}
    )
