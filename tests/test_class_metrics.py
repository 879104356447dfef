"""Balanced accuracy and macro F1: there where classes are unequal, and what they are defined as."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.evaluation.class_metrics import is_unequal
from pipeline.evaluation.headline import headline_numbers
from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.report.write import to_markdown
from pipeline.evaluation.result import Result, read_result
from pipeline.tracking.contents import read_contents
from tests.evaluation_files import evaluate_and_write, write_inputs
from tests.evaluation_inputs import CLASSES, Inputs, make_logits, make_params, plant

HELPING = {25: 0.004, 50: 0.01, 100: -0.03}.__getitem__


@pytest.fixture(scope="module")
def unequal() -> Inputs:
    """A test set of which half shows the first class."""
    inputs = plant(make_params(), HELPING)
    labels = inputs.predictions.labels.copy()
    labels[: len(labels) // 2] = 0
    return replace(inputs, predictions=Predictions(labels, lambda cell: make_logits(cell, labels)))


@pytest.fixture(scope="module")
def result(unequal: Inputs) -> Result:
    """What came out of it."""
    return unequal.compare()


def test_every_class_counts_the_same(unequal: Inputs, result: Result) -> None:
    """Means of the classes' recall and F1, from the counts of a confusion matrix; differences are to the baseline."""
    groups = {0: unequal.grid.real[100], **unequal.grid.mixed}
    means = {}
    for percent, cells in groups.items():
        recalls, scores = [], []
        for cell in cells:
            counts = np.zeros((len(CLASSES), len(CLASSES)))
            np.add.at(counts, (unequal.predictions.labels, unequal.predictions.logits(cell).argmax(1)), 1)
            recalls.append((counts.diagonal() / counts.sum(1)).mean())
            scores.append((2 * counts.diagonal() / (counts.sum(0) + counts.sum(1))).mean())
        means[percent] = np.mean(recalls), np.mean(scores)
    assert [row.synthetic_percent for row in result.class_metrics] == list(groups)
    for row in result.class_metrics:
        balanced, f1 = means[row.synthetic_percent]
        assert (row.balanced_accuracy_mean, row.macro_f1_mean) == pytest.approx((balanced, f1))
        assert row.balanced_accuracy_difference_mean == pytest.approx(balanced - means[0][0])
        assert row.macro_f1_difference_mean == pytest.approx(f1 - means[0][1], abs=1e-9)
        assert row.macro_f1_difference_low <= row.macro_f1_difference_mean <= row.macro_f1_difference_high
    assert result.class_metrics[0].macro_f1_difference_high == 0
    assert means[50][0] != pytest.approx(result.chosen.test_accuracy_mean, abs=0.001)


def test_they_stand_in_report_and_headline(result: Result) -> None:
    """One row a percent, and the chosen one's numbers for MLflow and `dvc metrics diff`."""
    section = to_markdown(result, CLASSES).split("### Unequal classes")[1].split("###")[0]
    assert section.count("\n| ") == 2 + len(result.settings)
    chosen = next(row for row in result.class_metrics if row.synthetic_percent == result.chosen_percent)
    assert headline_numbers(result)["balanced_accuracy_mean"] == chosen.balanced_accuracy_mean
    assert headline_numbers(result)["macro_f1_difference_mean"] == chosen.macro_f1_difference_mean


def test_unequal_classes_of_train_alone_bring_them_to_every_file(tmp_path: Path) -> None:
    """ablation.json, the page, and MLflow's curve."""
    params = make_params(f"dataset.class_shares={[len(CLASSES) - k for k in range(len(CLASSES))]}".replace(" ", ""))
    write_inputs(tmp_path, params, HELPING)
    evaluate_and_write(tmp_path, params, tmp_path / "out")
    result = read_result(tmp_path / "out/ablation.json")
    assert result.class_metrics[1].balanced_accuracy_mean == pytest.approx(result.settings[1].test_accuracy_mean)
    assert "<h2>Unequal classes</h2>" in (tmp_path / "out/report.html").read_text()
    contents = read_contents("evaluate", "", {"out": tmp_path / "out"})
    assert contents
    assert {point.step for point in contents.points if point.metric == "test_macro_f1_mean"} == {0, 25, 50, 100}


def test_equal_classes_need_none() -> None:
    """Accuracy counts them alike already."""
    result = plant(make_params(), HELPING).compare()
    assert result.class_metrics == ()
    assert "Unequal classes" not in to_markdown(result, CLASSES)
    assert "macro_f1_mean" not in headline_numbers(result)


@pytest.mark.parametrize(("counts", "unequal"), [((6, 6, 6), False), ((6, 5, 6), False), ((6, 4, 6), True)])
def test_one_image_of_rounding_makes_no_class_larger(counts: tuple[int, ...], unequal: bool) -> None:
    """50 test images of 9 classes are as equal as they can be."""
    labels = np.repeat(np.arange(3, dtype=np.int64), counts)
    assert is_unequal(make_params().dataset, labels) is unequal
