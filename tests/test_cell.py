"""A cell of the ablation: what it is planned to train on, and the files that hold what came of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.classifier.cell import run_cell, select_real
from pipeline.classifier.corruptions import CORRUPTIONS
from pipeline.classifier.inference import predict
from pipeline.classifier.metrics import calibration_error, confidence_gap, fit_temperature, negative_log_likelihood
from pipeline.classifier.mixture import Mixture
from pipeline.classifier.plan import plan_cell
from pipeline.classifier.record import CellRecord, CellSettings, read_cell_record
from pipeline.classifier.saved import load_classifier, read_classifier_record
from pipeline.classifier.training import TrainingData, train_classifier
from pipeline.files import to_json
from pipeline.images import LabelledImages, empty_like
from pipeline.params.schema import AblationParams, ClassifierParams, Params
from pipeline.runtime.errors import UserError

CPU = torch.device("cpu")


def grid(**values: Any) -> Params:
    """What a real-only cell may read of params.yaml, and `values` of its block `ablation`."""
    ablation = AblationParams.model_construct(None, **{"budget": "steps", "num_corrupted": 20} | values)
    return Params.model_construct(ablation=ablation, classifier=ClassifierParams.model_construct(steps=300))


# ---- the plan ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "percent", "real_percent", "num_real", "num_synthetic"),
    [
        ("add", 25, 100, 1000, 1000),
        ("add", 100, 0, 0, 1000),
        ("replace", 25, 75, 750, 250),
        ("replace", 99, 1, 10, 990),
        ("replace", 100, 0, 0, 1000),
    ],
)
def test_images_of_a_mixed_cell(mode: str, percent: int, real_percent: int, num_real: int, num_synthetic: int) -> None:
    """`add` keeps all real images, `replace` cuts them by the percent, and at 100 % none is left."""
    plan = plan_cell(grid(mode=mode, mixing="batch"), train_size=1000, replicate=2, synthetic_percent=percent)
    assert (plan.real_percent, plan.num_real, plan.num_synthetic) == (real_percent, num_real, num_synthetic)
    assert plan.name == f"train_classifier-{percent}-2"


def test_images_of_a_real_only_cell() -> None:
    """The percent of train_size, also above 100; neither mode nor mixing is read."""
    plan = plan_cell(grid(), train_size=1000, replicate=2, real_percent=150)
    assert (plan.num_real, plan.num_synthetic, plan.mode, plan.mixing) == (1500, 0, None, None)
    assert plan.name == "train_baseline-150-2"


@pytest.mark.parametrize(
    ("budget", "mode", "real_percent", "synthetic_percent", "expected"),
    [
        ("steps", "replace", 100, 50, 300),
        ("real_epochs", "add", 100, 50, 600),
        ("real_epochs", "replace", 100, 50, 300),
        ("real_epochs", "add", 50, 0, 150),
    ],
)
def test_budgets(budget: str, mode: str, real_percent: int, synthetic_percent: int, expected: int) -> None:
    """`steps` is equal for all; `real_epochs` gives each real image as many visits as in the baseline."""
    params = grid(budget=budget, mode=mode, mixing="batch")
    plan = plan_cell(
        params, train_size=1000, replicate=0, real_percent=real_percent, synthetic_percent=synthetic_percent
    )
    assert plan.steps == expected


@pytest.mark.parametrize(("real_percent", "synthetic_percent"), [(1, 0), (100, 99)])
def test_a_share_without_a_real_image_is_one_line(real_percent: int, synthetic_percent: int) -> None:
    """Real images were asked for, and the set is too small to have one."""
    params = grid(mode="replace", mixing="batch")
    with pytest.raises(UserError, match=r"1 % of 40 real images is none"):
        plan_cell(params, train_size=40, replicate=0, real_percent=real_percent, synthetic_percent=synthetic_percent)


def test_learning_curve_sets_are_nested(patches: LabelledImages) -> None:
    """More percent adds images and takes none away; above 100 % they come from the reserve; too many is one line."""
    train, reserve = patches.select(np.arange(40)), patches.select(np.arange(40, 60))
    half, more, most = (plan_cell(grid(), train_size=40, replicate=0, real_percent=p) for p in (50, 125, 200))
    assert np.array_equal(select_real(half, train).images[:], train.images[:20])
    assert np.array_equal(select_real(more, train, reserve).images[:], patches.images[:50])
    with pytest.raises(UserError, match=r"real_percent 200 needs 80 real images.*name at most 150"):
        select_real(most, train, reserve)


# ---- its files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["convnet", "resnet18"])
def test_the_files_of_a_cell_agree(tiny: Params, patches: LabelledImages, tmp_path: Path, network: str) -> None:
    """The record holds what the kept logits say, and the loaded network gives the same logits."""
    classifier = tiny.classifier.model_copy(update={"network": network, "batch_size": 4, "flip": True})
    plan = plan_cell(grid(), train_size=30, replicate=7).model_copy(update={"steps": 2})
    real, val, test = (patches.select(np.arange(*rows)) for rows in ((0, 30), (30, 36), (36, 60)))
    data = TrainingData(real, empty_like(real), val)
    run_cell(plan, classifier, data, test, device=CPU, out=tmp_path / "model", results=tmp_path)

    logits = np.load(tmp_path / "model/test_logits.npy")
    record = read_cell_record(tmp_path / "cells/train_baseline-100-7.json")
    assert to_json(record.model_dump(exclude_none=True)) == (tmp_path / "cells/train_baseline-100-7.json").read_bytes()
    assert record.test_accuracy == pytest.approx((logits.argmax(1) == test.labels).mean(), abs=1e-6)
    assert record.test_confidence_gap == pytest.approx(confidence_gap(logits, test), abs=1e-6)
    right = {name: (logits.argmax(1) == k)[test.labels == k].mean() for k, name in enumerate(test.class_names)}
    assert record.test_accuracy_per_class == pytest.approx(right, abs=1e-6)
    assert (record.num_real, record.num_synthetic, record.steps, record.num_corrupted) == (30, 0, 2, 20)
    assert set(record.accuracy_per_corruption) == set(CORRUPTIONS)
    for accuracy in record.accuracy_per_corruption.values():
        assert 20 * accuracy == pytest.approx(round(20 * accuracy), abs=1e-4)  # of 20 images
    assert record.corrupted_accuracy == pytest.approx(np.mean([*record.accuracy_per_corruption.values()]), abs=1e-6)

    header, *rows = (tmp_path / "history/train_baseline-100-7.csv").read_text().splitlines()
    assert header == "step,train_loss,val_accuracy"
    assert float(rows[-1].split(",")[2]) == pytest.approx(record.val_accuracy, abs=1e-6)
    saved = read_classifier_record(tmp_path / "model")
    assert (saved.image_size, saved.class_names, saved.flip) == (16, patches.class_names, True)
    loaded = load_classifier(tmp_path / "model", CPU, test, network=network)
    assert np.array_equal(predict(loaded, test, flip=saved.flip), logits)
    trained = train_classifier(classifier, data, Mixture("batch", 0, 4, 2), seed=7, device=CPU)
    assert np.array_equal(predict(trained.network, test, flip=True), logits)  # the replicate is the seed
    temperature = fit_temperature(predict(loaded, val, flip=saved.flip), val)
    assert record.temperature == pytest.approx(temperature, abs=1e-6)
    scaled = logits / np.float32(temperature)
    assert record.test_loss == pytest.approx(negative_log_likelihood(scaled, test), abs=1e-6)
    assert record.test_calibration_error == pytest.approx(calibration_error(scaled, test), abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"mode": None}, "mode and mixing"),
        ({"stage": "train_baseline"}, "mode and mixing"),
        ({"stage": "train_control"}, "control"),
        ({"control": "placebo"}, "control"),
        ({"temperature": 0.0}, "temperature"),
    ],
)
def test_a_record_that_contradicts_itself_is_one_line(tmp_path: Path, changes: dict[str, object], problem: str) -> None:
    """Of another stage, without its mixture, or a control that does not say which: the line names the cell."""
    fractions = {"a": 0.5, "b": 0.5}
    record = CellRecord(
        **plan_cell(grid(mode="add", mixing="batch"), train_size=9, replicate=1, synthetic_percent=50).model_dump(
            include=set(CellSettings.model_fields)
        ),
        num_synthetic=9, train_loss=1, val_accuracy=0.5, test_accuracy=0.5, temperature=1, test_loss=1,
        test_calibration_error=0, test_confidence_gap=0, test_accuracy_per_class=fractions, num_corrupted=9,
        corrupted_accuracy=0.5, accuracy_per_corruption=fractions,
    )  # fmt: skip
    path = tmp_path / "train_classifier-50-1.json"
    path.write_bytes(to_json(record.model_dump(exclude_none=True)))
    assert read_cell_record(path) == record
    path.write_bytes(to_json(record.model_dump() | changes))
    with pytest.raises(UserError, match=rf"1\.json: corrupted \(.*{problem}.*; delete it and run: dvc repro train_cl"):
        read_cell_record(path)


def test_committed_records_are_read_and_written_as_they_are() -> None:
    """Those of the repository are of today's program, and come back to the byte."""
    files = list((Path(__file__).parent.parent / "results/cells").glob("*.json"))
    assert files
    for file in files:
        assert to_json(read_cell_record(file).model_dump(exclude_none=True)) == file.read_bytes()
