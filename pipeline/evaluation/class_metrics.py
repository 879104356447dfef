"""Metrics in which every class counts the same, whatever it holds: balanced accuracy and macro F1."""

from collections.abc import Callable
from functools import partial
from statistics import fmean

import numpy as np
from sklearn.metrics import balanced_accuracy_score, f1_score

from pipeline.classifier.record import CellRecord
from pipeline.evaluation.grid import Grid
from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.result import ClassMetrics
from pipeline.evaluation.statistics import paired_difference
from pipeline.images import Indices
from pipeline.params.schema import DatasetParams

Metric = Callable[[Indices, Indices], float]  # of labels and predictions, 0 to 1
METRICS: dict[str, Metric] = {
    "balanced_accuracy": balanced_accuracy_score,
    "macro_f1": partial(f1_score, average="macro", zero_division=0),
}


def compare_classes_alike(params: DatasetParams, grid: Grid, predictions: Predictions) -> tuple[ClassMetrics, ...]:
    """Both metrics on test at every synthetic_percent, 0 first; empty where accuracy itself counts classes alike."""
    if not is_unequal(params, predictions.labels):
        return ()
    rows = [(0, grid.real[100], grid.real[100])]
    rows += [(percent, cells, grid.baseline(percent)) for percent, cells in grid.mixed.items()]
    return tuple(_compare(percent, cells, baseline, predictions) for percent, cells, baseline in rows)


def is_unequal(params: DatasetParams, labels: Indices) -> bool:
    """Whether train, or test with these `labels`, holds more of one class than of another; one image is rounding."""
    return bool(params.class_shares) or params.imbalance_factor != 1 or bool(np.ptp(np.bincount(labels)) > 1)


def _compare(
    percent: int, cells: list[CellRecord], baseline: list[CellRecord], predictions: Predictions
) -> ClassMetrics:
    values: dict[str, float] = {"synthetic_percent": percent}
    image = 1 / len(predictions.labels)
    for name, metric in METRICS.items():
        here, there = (_measure(metric, group, predictions) for group in (cells, baseline))
        difference = paired_difference(here, there, image).difference
        low, high = (difference.low, difference.high) if cells is not baseline else (0.0, 0.0)
        values |= {f"{name}_mean": fmean(here), f"{name}_difference_mean": difference.mean}
        values |= {f"{name}_difference_low": low, f"{name}_difference_high": high}
    return ClassMetrics.model_validate(values)


def _measure(metric: Metric, cells: list[CellRecord], predictions: Predictions) -> list[float]:
    return [float(metric(predictions.labels, predictions.logits(cell).argmax(1))) for cell in cells]
