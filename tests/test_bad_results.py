"""Results, pictures and histories that `evaluate` finds and no stage wrote."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.assessment.record import read_assess_record
from pipeline.classifier.record import read_cell_record
from pipeline.evaluation.grid import read_grid
from pipeline.evaluation.predictions import read_predictions
from pipeline.evaluation.replicates import read_made
from pipeline.evaluation.report.evidence import read_picture
from pipeline.evaluation.report.history import read_history
from pipeline.params.load import load_all_params
from pipeline.runtime.errors import UserError
from pipeline.shards.reader import read_column
from pipeline.sources.description import SPLITS, read_description
from tests.bad_files import Check, Spoil, Work, change_json, cut, make_folder, run
from tests.evaluation_files import write_inputs
from tests.evaluation_inputs import CLASSES, make_params
from tests.test_sources import png_header

CELL, ASSESS = "in/results/cells/train_classifier-50-1.json", "in/results/assess/1.json"
CONTROL = "in/results/cells/train_control-ceiling-50-1.json"
COLLECTED = "in/data/collected"
LOGITS, GAN = f"{COLLECTED}/train_classifier/50-1/test_logits.npy", f"{COLLECTED}/gan/1/generator.json"
DATASET, HISTORY = "in/data/prepared/1/dataset.json", "in/results/history/train_gan-1.csv"
SAMPLES, NEIGHBOURS = "in/results/gan/samples-1.png", f"{COLLECTED}/scores/1/neighbours.png"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that evaluate reads, and params.yaml; for reading only."""
    folder, params = tmp_path_factory.mktemp("whole"), make_params()
    (folder / "params.yaml").write_text(yaml.safe_dump(params.model_dump()))
    write_inputs(folder / "in", params, lambda percent: 0.0)
    return folder


@pytest.fixture
def results(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it as the working folder."""
    folder = shutil.copytree(whole, tmp_path / "copy")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PIPELINE_TRACKING", "off")
    monkeypatch.delenv("DVC_STAGE", raising=False)
    return folder


def column(name: str, value: str) -> None:
    """Sets a column of the history."""
    head, *rows = Path(HISTORY).read_text().splitlines()
    place = head.split(",").index(name)
    lines = [",".join([*(cells := row.split(","))[:place], value, *cells[place + 1 :]]) for row in rows]
    Path(HISTORY).write_text("\n".join([head, *lines, ""]))


CASES: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "cell: missing": (Path(CELL).unlink, ("train_classifier-50-1.json", "dvc repro train_classifier@50-1")),
    "evaluate: cell missing": (Path(CELL).unlink, ("train_classifier-50-1.json", "dvc repro")),
    "evaluate: no test images": (
        lambda: shutil.rmtree("in/data/prepared/test"), ("in/data/prepared/test", "dvc repro")),
    "cell: cut off": (lambda: cut(CELL, 0.5), (CELL, "corrupted", "dvc repro train_classifier@50-1")),
    "cell: a list": (lambda: Path(CELL).write_text("[]"), (CELL, "corrupted")),
    "cell: nested": (lambda: Path(CELL).write_text("[" * 10**5), (CELL, "corrupted")),
    "cell: a folder": (lambda: make_folder(CELL), (CELL.rsplit("/", 1)[1], "dvc repro")),
    "cell: NaN": (lambda: change_json(CELL, test_loss=float("nan")), (CELL, "test_loss")),
    "cell: beyond numbers": (lambda: change_json(CELL, test_loss=10**400), (CELL, "corrupted")),
    "cell: accuracy of 7": (lambda: change_json(CELL, test_accuracy=7.0), (CELL, "test_accuracy")),
    "cell: of another replicate": (lambda: change_json(CELL, replicate=9), (CELL, "replicate is 9, not 1")),
    "cell: of another budget": (lambda: change_json(CELL, budget="real_epochs"), (CELL, "budget")),
    "cell: of another data set": (
        lambda: change_json(CELL, test_accuracy_per_class={"a": 0.5}), ("in/results/cells", "different classes")),
    "cell: no class": (lambda: change_json(CELL, test_accuracy_per_class={}), (CELL, "corrupted")),
    "cell: other corruptions": (
        lambda: change_json(CELL, accuracy_per_corruption={"rain": 0.5}),
        ("in/results/cells", "different corruptions")),
    "cell: no damaged image": (lambda: change_json(CELL, num_corrupted=0), (CELL, "corrupted")),
    "control: missing": (
        Path(CONTROL).unlink, ("train_control-ceiling-50-1.json", "dvc repro train_control@ceiling-50-1")),
    "control: none": (lambda: change_json(CONTROL, control=...), (CONTROL, "control is that of a control")),
    "control: of another mode": (lambda: change_json(CONTROL, mode="replace"), (CONTROL, "mode is 'replace'")),
    "logits: missing": (Path(LOGITS).unlink, (LOGITS, "not found; run: dvc repro collect")),
    "logits: cut off": (
        lambda: cut(LOGITS, 0.5), (LOGITS, "corrupted", "delete it and run: dvc repro collect")),
    "logits: text": (lambda: Path(LOGITS).write_text("much"), (LOGITS, "corrupted")),
    "logits: objects": (lambda: np.save(LOGITS, np.array([{}])), (LOGITS, "corrupted")),
    "logits: of fewer images": (
        lambda: np.save(LOGITS, np.zeros((5, 4), np.float32)), (LOGITS, "(5, 4)", "600 test images")),
    "logits: of other classes": (
        lambda: np.save(LOGITS, np.zeros((600, 3), np.float32)), (LOGITS, "(600, 3)", "600 test images")),
    "logits: of another training": (
        lambda: np.save(LOGITS, np.zeros((600, 4), np.float32)), (LOGITS, "an accuracy of 0.25", "dvc repro collect")),
    "gan: missing": (Path(GAN).unlink, (GAN, "not found; run: dvc repro train_gan")),
    "gan: no alarms": (lambda: change_json(GAN, degraded=...), (GAN, "degraded")),
    "gan: of another replicate": (lambda: change_json(GAN, seed=7), (GAN, "seed is 7", "dvc repro")),
    "assess: missing": (Path(ASSESS).unlink, (ASSESS, "dvc repro assess")),
    "assess: a measure missing": (lambda: change_json(ASSESS, recall=...), (ASSESS, "recall", "dvc repro assess")),
    "assess: a measure is text": (lambda: change_json(ASSESS, recall="much"), (ASSESS, "recall")),
    "assess: beyond numbers": (lambda: Path(ASSESS).write_text('{"num_images": 1e999}'), (ASSESS, "corrupted")),
    "assess: a number of 400 digits": (lambda: change_json(ASSESS, recall=10**400), (ASSESS, "recall")),
    "assess: no feature space": (lambda: change_json(ASSESS, feature_space=[]), (ASSESS, "feature_space")),
    "dataset: missing": (Path(DATASET).unlink, (DATASET, "dvc repro prepare")),
    "dataset: no classes": (lambda: change_json(DATASET, class_names=...), (DATASET, "class_names")),
    "dataset: other classes": (
        lambda: change_json(DATASET, class_names=list(CLASSES[:3])), (DATASET, "counts are not those")),
    "dataset: a split missing": (lambda: change_json(DATASET, digests={}), (DATASET, "a split is missing")),
    "dataset: near-duplicates of no split": (
        lambda: change_json(DATASET, near_duplicates={}), (DATASET, "near-duplicates are not those of the splits")),
    "dataset: a count is text": (
        lambda: change_json(DATASET, duplicates_dropped=dict.fromkeys(sorted(SPLITS), "0")),
        (DATASET, "duplicates_dropped.")),
    "dataset: images of no size": (lambda: change_json(DATASET, image_size=0), (DATASET, "image_size")),
    "picture: missing": (Path(NEIGHBOURS).unlink, (NEIGHBOURS, "not found; run: dvc repro collect")),
    "picture: text": (lambda: Path(NEIGHBOURS).write_text("<script>"), (NEIGHBOURS, "dvc repro collect")),
    "picture: cut off": (lambda: cut(NEIGHBOURS, 0.5), (NEIGHBOURS, "dvc repro collect")),
    "picture: 60,000 x 60,000": (
        lambda: Path(NEIGHBOURS).write_bytes(png_header(60_000, 60_000)), (NEIGHBOURS, "dvc repro collect")),
    "picture: 11,000 x 11,000": (
        lambda: Path(NEIGHBOURS).write_bytes(png_header(11_000, 11_000)), (NEIGHBOURS, "too many")),
    "picture: a script": (
        lambda: Path(SAMPLES).write_text("<svg onload='alert(1)'/>"), (SAMPLES, "train_gan")),
    "history: missing": (Path(HISTORY).unlink, (HISTORY, "dvc repro train_gan")),
    "history: a column missing": (lambda: Path(HISTORY).write_text("step\n1\n"), (HISTORY, "corrupted")),
    "history: words": (lambda: column("coverage", "much"), (HISTORY, "corrupted")),
    "history: no number of images": (lambda: column("images", "inf"), (HISTORY, "no number of images")),
    "history: zero bytes": (lambda: Path(HISTORY).write_bytes(b"\0" * 100), (HISTORY, "corrupted")),
}  # fmt: skip


def read_logits() -> None:
    """As evaluate does."""
    predictions = read_predictions(Path(COLLECTED), read_column(Path("in/data/prepared/test"), "label"))
    predictions.right([read_cell_record(Path(CELL))])


def read_pictures() -> None:
    """As evaluate does."""
    read_picture(Path(SAMPLES), "train_gan")
    read_picture(Path(NEIGHBOURS), "collect")


READERS: dict[str, Work] = {
    "evaluate": "evaluate",
    "cell": lambda: read_grid(load_all_params(), Path("in/results/cells")),
    "control": lambda: read_grid(load_all_params(), Path("in/results/cells")),
    "logits": read_logits,
    "gan": lambda: read_made([0, 1], "gan", Path(COLLECTED), Path("in/results/assess")),
    "assess": lambda: read_made([0, 1], "gan", Path(COLLECTED), Path("in/results/assess")),
    "dataset": lambda: read_description(Path(DATASET)),
    "picture": read_pictures,
    "history": lambda: read_history(Path(HISTORY)),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_results_are_one_line(case: str, results: Path, check_refusal: Check) -> None:
    """Whatever stands where a stage's result should: one line that names it and its stage, and no half report."""
    damage, told = CASES[case]
    damage()
    check_refusal(READERS[case.split(":")[0]], *told)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_to_a_small_file_is_told_or_harmless(data: st.DataObject, results: Path) -> None:
    """Bytes changed, cut out or put in anywhere in a JSON or CSV file: its values or one line that names it."""
    reads: dict[str, Callable[[Path], object]] = {
        CELL: read_cell_record,
        ASSESS: read_assess_record,
        DATASET: read_description,
        HISTORY: read_history,
    }
    name = data.draw(st.sampled_from(sorted(reads)))
    file = results / name
    whole = file.read_bytes()
    place, size = data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, 30))
    file.write_bytes(whole[:place] + data.draw(st.binary(max_size=20)) + whole[place + size :])
    try:
        reads[name](file)
    except UserError as error:
        assert name in str(error)  # noqa: PT017 (values are an answer too)
    finally:
        file.write_bytes(whole)


def test_whole_results_are_reported(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the cases spoil is whole: evaluate writes its report."""
    assert run("evaluate", monkeypatch) == 0
    assert (results / "results/report.html").stat().st_size > 0
