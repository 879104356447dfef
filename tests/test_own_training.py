"""Cells that a function of the user's trains."""

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.classifier.inference import extract_features, measure_accuracy
from pipeline.classifier.mixture import Mixture
from pipeline.classifier.own_training import plan_training
from pipeline.classifier.saved import load_judge
from pipeline.classifier.training import TrainingData
from pipeline.images import LabelledImages
from pipeline.params.changes import with_changes
from pipeline.params.compose import write_params
from pipeline.params.graph import CELLS, check_graph, fit_graph
from pipeline.params.load import parse_params
from pipeline.params.schema import Params
from pipeline.runtime.errors import UserError
from tests import bad_files
from tests.own_programs import run_baseline
from tests.project import ROOT
from tests.test_classifier import CPU

pytestmark = pytest.mark.usefixtures("own_programs")


def test_a_task_counts_what_the_batches_hold(patches: LabelledImages) -> None:
    """Its weights sum up to the budget, a quarter of it synthetic, and are the visits of its rows times the loss's."""
    real, synthetic = patches.select(np.arange(20)), patches.select(np.arange(20, 30))
    weights = np.ones(30, np.float32)
    weights[20:] = 0.5
    mixture = Mixture("batch", 25, 8, 10)
    task = plan_training(TrainingData(real, synthetic, patches, weights=weights), mixture, seed=3)
    assert task.weights[:20].sum() == 60
    assert task.weights[20:].sum() == 20 / 2
    visits = np.bincount(np.concatenate([task.rows(step) for step in range(10)]), minlength=30)
    assert np.array_equal(task.weights, visits * weights)


def test_a_cell_of_the_users_training(tiny: Params, patches: LabelledImages, tmp_path: Path) -> None:
    """LogisticRegression as the page shows it: record, history and logits of any cell, and the baseline has a judge."""
    record = run_baseline(tiny, patches, tmp_path, train="my_trainer:train", network="convnet")
    assert (record.steps, record.test_accuracy) == (2, 1.0)
    assert 0 < record.train_loss < 0.5
    assert (tmp_path / "history/train_baseline-100-7.csv").read_text().startswith("step,train_loss,val_accuracy\n2,")
    test = patches.select(np.arange(36, 60))
    logits = np.load(tmp_path / "model/test_logits.npy")
    assert record.test_accuracy == measure_accuracy(logits, test)
    assert sorted(file.name for file in (tmp_path / "model").iterdir()) == [
        "judge.json", "judge.safetensors", "test_logits.npy",
    ]  # fmt: skip
    judge = load_judge(tmp_path / "model", CPU, test, network="convnet")
    assert extract_features(judge, test).shape == (24, 32)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("absent", "has no attribute 'absent'; write it as module:function"),
        ("two", "missing a required argument: 'seed': it is called with one TrainingTask"),
        ("nothing", "gave NoneType, no function from images to logits"),
        ("labels", r"logits of 6 images are int64 \(6,\), not float \(6, 3\)"),
        ("infinite", "its logits hold NaN or infinity"),
    ],
)
def test_a_wrong_training_is_one_line(
    tiny: Params, patches: LabelledImages, tmp_path: Path, name: str, problem: str
) -> None:
    """Not there, of another signature, or without logits."""
    with pytest.raises(UserError, match=rf"^params.yaml: classifier.train (is )?'my_trainer:{name}'.*{problem}"):
        run_baseline(tiny, patches, tmp_path, train=f"my_trainer:{name}")
    assert not (tmp_path / "cells").exists()


def test_the_page_shows_what_its_training_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The ten lines of docs/own-classifier.md under its command's values: accuracy on val as it is printed there."""
    page = (ROOT / "docs/own-classifier.md").read_text()
    program = re.findall(r"```python\n# my_trainer.py\n(.*?)```", page, re.DOTALL)
    command = re.findall(r"^synthmix configure (dataset=digits .*)$", page, re.MULTILINE)
    shown = re.findall(r": ([\d.]+) % on val", page)
    (tmp_path / "my_trainer.py").write_text(program[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIPELINE_TRACKING", "off")
    write_params(Path("params.yaml"), shlex.split(command[0]))
    assert [bad_files.run(stage, monkeypatch) for stage in ("prepare", "train_baseline")] == [0, 0]
    said = re.findall(r": ([\d.]+) % on val", capfd.readouterr().err)
    assert [float(value) for value in said] == pytest.approx([float(value) for value in shown], abs=1.5)


# ---- params and graph --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"classifier.train": "my_trainer:train"}, r"ablation.rivals \['mixup'\] are made by our own: leave them out"),
        ({"classifier.train": "m:t", "classifier.attack_epsilon": 8}, "attack_epsilon is ours alone: set it to 0"),
        ({"gan.judge.train": "my_trainer:train"}, "gan.judge.train: no such key"),
        ({"classifier.freeze": True}, "freeze is on, but weights is empty"),
        ({"classifier.mean": [0.5, 0.5], "classifier.std": [0.2, 0.2]}, "mean has 2 values and std 2"),
        ({"classifier.mean": [0.5], "classifier.std": [0.2]}, "convnet whitens its images itself"),
        ({"classifier.network": "torchvision:"}, "my_module:build, not 'torchvision:'"),
    ],
)
def test_params_that_no_training_can_follow(
    tiny_values: dict[str, Any], changes: dict[str, object], problem: str
) -> None:
    """One line, before anything starts."""
    with pytest.raises(UserError, match=problem):
        parse_params(with_changes(tiny_values, changes))


def test_files_of_the_users_are_deps_of_the_stages_that_read_them(tmp_path: Path, tiny: Params) -> None:
    """`configure` writes them into dvc.yaml and takes them out again; a graph without them is refused."""
    file, committed = tmp_path / "dvc.yaml", (ROOT / "dvc.yaml").read_bytes()
    file.write_bytes(committed)
    (tmp_path / "my weights.pth").touch()
    networks = tiny.classifier.model_copy(update={"network": "my_classifier:build", "weights": "my weights.pth"})
    trained = tiny.classifier.model_copy(update={"train": "my_trainer:train"})
    for classifier, deps in (
        (networks, {"my_classifier.py": {*CELLS, "assess"}, "my weights.pth": set(CELLS)}),
        (trained, {"my_trainer.py": set(CELLS), "my_classifier.py": set()}),
    ):
        params = tiny.model_copy(update={"classifier": classifier})
        with pytest.raises(UserError, match="stage train_baseline lacks the dep my_"):
            check_graph(file, params)
        fit_graph(file, params)
        check_graph(file, params)
        stages = yaml.safe_load(file.read_text())["stages"]
        for dep, readers in deps.items():
            assert {name for name, stage in stages.items() if dep in stage["deps"]} == readers
    (tmp_path / "my_classifier.py").unlink()
    (tmp_path / "my weights.pth").unlink()
    with pytest.raises(UserError, match=r"my weights\.pth: not found; params\.yaml names it"):
        check_graph(file, tiny.model_copy(update={"classifier": networks}))
    fit_graph(file, tiny)
    assert file.read_bytes() == committed
