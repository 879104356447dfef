import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from pipeline.evaluation.grid import read_grid
from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.result import Result, read_result
from pipeline.evaluation.wording import answer
from pipeline.runtime.errors import UserError
from tests.evaluation_files import change_cell, write_cells, write_helping
from tests.evaluation_inputs import CLASSES, Gain, Inputs, make_cell, make_params, plant

Written = tuple[Path, Inputs, Result]
HELPING = {25: 0.004, 50: 0.01, 100: -0.03}.__getitem__


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A folder of inputs in which 50 % helps, evaluated into `out`."""
    folder = tmp_path_factory.mktemp("inputs")
    return folder, *write_helping(folder)


# ---- ablation.json ----------------------------------------------------------------------------------------


def test_a_planted_gain_is_found(written: Written) -> None:
    """The verdict, the chosen percent and the real-image equivalent follow from the cells."""
    _, inputs, result = written
    assert (result.verdict, result.chosen_percent, result.warnings) == ("helps", 50, ())
    assert result.verdict_text.startswith("Adding synthetic images helps: at 50 % synthetic")
    assert [setting.synthetic_percent for setting in result.settings] == [0, 25, 50, 100]
    assert result.chosen.difference_mean == pytest.approx(0.01, abs=0.003)
    assert result.baseline.difference_mean == 0
    size = inputs.params.dataset.train_size  # the error is 0.04 / sqrt(share), and 0.03 at the chosen percent
    assert result.real_equivalent
    assert result.real_equivalent.num_real_equivalent == pytest.approx(size * (4 / 3) ** 2, rel=0.1)
    assert not result.real_equivalent.extrapolated


def test_the_result_is_of_the_title() -> None:
    """Report and figures call the data set by it."""
    assert plant(make_params("dataset.title=letters"), HELPING).compare().dataset == "letters"


def test_ablation_json_is_read_as_it_was_written(written: Written) -> None:
    """The file holds the result to six decimals, and comes back as the model."""
    read, result = read_result(written[0] / "out" / "ablation.json"), written[2]
    assert read.verdict_text == result.verdict_text
    assert read.chosen.test_accuracy_mean == round(result.chosen.test_accuracy_mean, 6)
    assert [row.test_accuracy for row in read.settings] == [row.test_accuracy for row in result.settings]


def test_a_corrupted_ablation_json_is_one_line(tmp_path: Path) -> None:
    """A missing file, and one that lacks a key, name the command that writes it."""
    file = tmp_path / "ablation.json"
    with pytest.raises(UserError, match=r"ablation\.json: not found; run: dvc repro evaluate$"):
        read_result(file)
    file.write_text('{"dataset": "digits"}')
    with pytest.raises(
        UserError, match=r"corrupted \(profile: Field required\); delete it and run: dvc repro evaluate"
    ):
        read_result(file)


def test_settings_are_the_designed_statistics_of_the_cells(written: Written) -> None:
    """Means and paired differences recomputed from the cells' files agree with ablation.json."""
    folder, inputs, result = written
    params, setting = inputs.params, result.settings[3]
    by_stage = {
        stage: [
            json.loads((folder / f"results/cells/{stage}-100-{replicate}.json").read_text())["test_accuracy"]
            for replicate in params.ablation.replicates
        ]
        for stage in ("train_classifier", "train_baseline")
    }
    assert setting.test_accuracy_mean == pytest.approx(np.mean(by_stage["train_classifier"]), abs=1e-6)
    assert list(setting.replicates) == params.ablation.replicates
    differences = np.subtract(by_stage["train_classifier"], by_stage["train_baseline"])
    std = max(differences.std(ddof=1), 1 / params.dataset.test_size)  # a few replicates may agree to the image
    error = std / np.sqrt(len(differences))
    margin = t.ppf(0.975, len(differences) - 1) * error
    assert [setting.difference_low, setting.difference_high] == pytest.approx(
        [differences.mean() - margin, differences.mean() + margin], abs=1e-6
    )
    p_value = 2 * t.sf(abs(differences.mean()) / error, len(differences) - 1)
    assert setting.p_value == pytest.approx(p_value, abs=1e-6)


def test_the_champion_is_the_best_on_val(written: Written) -> None:
    """No cell that the table compares has a higher val accuracy; neither controls nor test accuracy have a say."""
    _, inputs, result = written
    cells = [cell for group in (inputs.grid.real[100], *inputs.grid.mixed.values()) for cell in group]
    best = max(cells, key=lambda cell: cell.val_accuracy)
    chosen = result.champion
    assert (chosen.stage, chosen.percent, chosen.replicate) == (best.stage, best.synthetic_percent, best.replicate)
    assert chosen.test_accuracy == best.test_accuracy


def test_class_changes_are_paired_with_the_baseline(written: Written) -> None:
    """Each class's change is its own: the planted steps of one point from class to class come out."""
    changes = [written[2].per_class[name].difference_mean for name in CLASSES]
    assert np.diff(changes) == pytest.approx([0.01] * 3, abs=1e-5)


@pytest.mark.parametrize(
    ("loss", "margin", "verdict"), [(0.02, 0.5, "hurts"), (0.0, 0.5, "equivalent"), (0.0, 0.05, "too_few_replicates")]
)
def test_harm_and_noise_are_reported(loss: float, margin: float, verdict: str) -> None:
    """A loss at every percent hurts; of equal accuracies, the margin says whether they are known to be equal."""
    inputs = plant(make_params(f"ablation.margin_points={margin}"), lambda percent: -loss)
    assert inputs.compare().verdict == verdict


def test_val_chooses_and_test_judges() -> None:
    """The percent with the best val accuracy is judged, even if another has the better test accuracy."""
    inputs = plant(make_params(), lambda percent: 0.0)
    inputs = changed(changed(inputs, 25, val_accuracy=0.999), 50, test_accuracy=0.999)
    assert inputs.compare().chosen_percent == 25


def changed(inputs: Inputs, percent: int, replicate: int | None = None, **values: object) -> Inputs:
    """`inputs` with other values in a mixed cell, or in all of a percent."""
    cells = [
        cell.model_copy(update=values) if replicate in (None, cell.replicate) else cell
        for cell in inputs.grid.mixed[percent]
    ]
    return replace(inputs, grid=replace(inputs.grid, mixed=inputs.grid.mixed | {percent: cells}))


# ---- controls ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("at_chosen", "verdict"), [(0.0, "cannot_tell"), (-0.01, "cannot_tell"), (0.02, "helps")])
def test_without_a_gain_from_real_images_no_answer_is_given(at_chosen: float, verdict: str) -> None:
    """Where the ceiling gains at no percent, there is no verdict and no equivalent, whatever was found."""
    ceiling = {25: 0.0, 50: at_chosen, 100: 0.0}
    result = plant(make_params(), HELPING, ceiling=ceiling.__getitem__).compare()
    assert (result.chosen_percent, result.verdict) == (50, verdict)
    told = verdict != "cannot_tell"
    assert (result.real_equivalent is not None, result.answer.num_real_extra is not None) == (told, told)
    assert result.verdict_text.startswith("This setting cannot tell: not even fresh real images") == (not told)
    entry = next(row for row in result.controls if (row.control, row.synthetic_percent) == ("ceiling", 50))
    assert entry.difference_mean == pytest.approx(at_chosen, abs=0.003)


def test_a_placebo_that_finds_something_forbids_an_answer() -> None:
    """Copies of train that change accuracy, at whatever percent, are a fault of the program, and said first."""
    result = plant(make_params(), HELPING, placebo={25: 0.0, 50: 0.0, 100: -0.02}.__getitem__).compare()
    assert (result.verdict, result.real_equivalent) == ("cannot_tell", None)
    assert ["trust no figure" in warning for warning in result.warnings] == [True]
    assert result.verdict_text.startswith("This setting cannot tell: even copies of the training images, a placebo,")


def test_without_a_ceiling_the_reader_is_warned() -> None:
    """An answer stands, with the remark that nobody knows whether the setting could show a gain."""
    result = plant(make_params("ablation.controls=[placebo]"), HELPING).compare()
    assert result.verdict == "helps"
    assert [warning.startswith("Warning: no ceiling") for warning in result.warnings] == [True]
    alone = plant(make_params("ablation.controls=[]"), HELPING).compare()
    assert (alone.controls, alone.controls_text) == ((), "")


def test_more_steps_are_no_gain() -> None:
    """Under budget real_epochs the baseline of a percent has its steps: what these bring, neither placebo nor GAN has.

    Against real-only cells of the usual steps both would gain a point.
    """
    percents, grid = (25, 50), "ablation.synthetic_percent=[25,50]"
    choices = ["ablation.budget=real_epochs", "ablation.controls=[ceiling,placebo,real_only]", grid]
    point = dict.fromkeys(percents, 0.01).__getitem__
    inputs = plant(make_params(*choices), point, ceiling=lambda percent: 0.025, placebo=point, real_only=point)
    result = inputs.compare()
    assert (result.verdict, result.warnings) == ("equivalent", ())
    for percent in percents:
        (baseline,) = {cell.steps for cell in inputs.grid.baseline(percent)}
        assert baseline == inputs.grid.mixed[percent][0].steps > inputs.params.classifier.steps
    assert {row.control for row in result.controls} == {"ceiling", "placebo"}


# ---- replicates -------------------------------------------------------------------------------------------


def test_the_synthetic_set_to_take_is_best_on_val() -> None:
    """Of the chosen percent's classifiers; the fidelity shown is that set's, and its test accuracy had no say."""
    inputs = plant(make_params(), HELPING)
    inputs = changed(changed(inputs, 50, 3, val_accuracy=0.9999), 50, 1, test_accuracy=1.0)
    inputs = changed(inputs, 25, 4, val_accuracy=1.0)
    assessed = tuple(
        record.model_copy(update={"num_kept": 100 + place}) for place, record in enumerate(inputs.made.assessed)
    )
    result = replace(inputs, made=replace(inputs.made, assessed=assessed)).compare()
    assert (result.chosen_percent, result.dataset_replicate, result.fidelity.num_kept) == (50, 3, 103)
    assert "data/synthetic/3" in answer(result)[-1]
    differences = [entry.test_difference for entry in result.replicates]
    assert np.mean(differences) == pytest.approx(result.chosen.difference_mean)


def test_failed_gans_and_lost_classes_are_warnings() -> None:
    """Each names its replicates or classes; the summary of a replicate keeps the flag."""
    inputs = plant(make_params(), HELPING)
    gans = [gan.model_copy(update={"degraded": gan.seed in (1, 3)}) for gan in inputs.made.gans]
    shares = dict.fromkeys(CLASSES, 0.9) | {"dog": 0.02}
    lost = inputs.made.assessed[2].model_copy(update={"gan_test_accuracy_per_class": shares})
    assessed = (*inputs.made.assessed[:2], lost, *inputs.made.assessed[3:])
    result = replace(inputs, made=replace(inputs.made, gans=tuple(gans), assessed=assessed)).compare()
    degraded, lost_class = result.warnings
    assert "failed in replicates 1, 3" in degraded
    assert "GAN of replicate 2 has lost dog:" in lost_class
    assert [entry.degraded for entry in result.replicates] == [False, True, False, True, False]
    assert result.verdict == "helps"


# ---- test images ------------------------------------------------------------------------------------------


def test_few_test_images_widen_the_interval() -> None:
    """Other test images could differ by more than other replicates do: three images of a hundred are no certainty."""
    few = plant(make_params("dataset.test_size=100"), lambda percent: 0.03).compare().chosen_setting
    assert few.difference_images_low < few.difference_low
    assert few.difference_images_high > few.difference_high
    widths = [3.92 * np.sqrt(0.03 * 0.97 / 100), few.difference_high - few.difference_low]
    found = few.difference_images_high - few.difference_images_low
    assert found == pytest.approx(np.hypot(*widths), rel=0.35)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30))
def test_confusion_shares_are_of_each_class(pairs: list[tuple[int, int]]) -> None:
    """Row k holds what the images of class k were taken for, which sums to 1; a class without images has none."""
    labels, taken = np.array(pairs, np.int64).T
    predictions = Predictions(labels, lambda cell: np.eye(3, dtype=np.float32)[taken])
    shares = predictions.confusion([make_cell(make_params(), 0.9, replicate=replicate) for replicate in (0, 1)], 3)
    for label in range(3):
        of_class = taken[labels == label]
        expected = [float((of_class == other).mean()) if len(of_class) else 0.0 for other in range(3)]
        assert shares[label].tolist() == pytest.approx(expected)


# ---- errors -----------------------------------------------------------------------------------------------


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """A folder of cells that a test may corrupt."""
    write_cells(tmp_path, plant(make_params(), lambda percent: 0.0))
    return tmp_path


def refusal(folder: Path) -> str:
    """The one line that evaluate refuses the cells with."""
    with pytest.raises(UserError) as caught:
        read_grid(make_params(), folder / "results/cells")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("train_classifier-50-1", "train_classifier@50-1"),
        ("train_baseline-200-4", "train_baseline@200-4"),
        ("train_control-ceiling-50-1", "train_control@ceiling-50-1"),
        ("train_rival-mixup-2", "train_rival@mixup-2"),
    ],
)
def test_missing_cell_names_file_and_command(cells: Path, name: str, target: str) -> None:
    """One missing cell is named with the command that trains it."""
    folder = cells / "results/cells"
    (folder / f"{name}.json").unlink()
    assert refusal(cells) == f"{folder} lacks {name}.json; run: dvc repro {target}"


def test_many_missing_cells_are_counted(cells: Path) -> None:
    """Above five, the line counts them and gives the whole command."""
    for path in (cells / "results/cells").glob("train_baseline-*"):
        path.unlink()
    line = refusal(cells)
    declared = (4 + 3 + 2 * 3 + 6) * 5  # real-only, mixed, controls, rivals
    assert f"lacks 20 of {declared} declared cells (train_baseline-" in line
    assert line.count(".json") == 5
    assert line.endswith("run: synthmix run")


def test_undeclared_cells_are_ignored(cells: Path) -> None:
    """A cell of a percent that params no longer declare changes nothing."""
    before = read_grid(make_params(), cells / "results/cells")
    (cells / "results/cells/train_classifier-75-0.json").write_text("left over")
    assert read_grid(make_params(), cells / "results/cells") == before


def test_what_was_written_is_read(cells: Path) -> None:
    """Cells come back by kind, percent and replicate."""
    assert read_grid(make_params(), cells / "results/cells") == plant(make_params(), lambda percent: 0.0).grid


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mode": "replace"}, "mode is 'replace', not 'add'"),
        ({"mixing": "pretrain_finetune"}, "mixing is 'pretrain_finetune', not 'batch'"),
        ({"budget": "real_epochs"}, "budget is 'real_epochs', not 'steps'"),
        ({"replicate": 7}, "replicate is 7, not 1"),
        ({"synthetic_percent": 25}, "synthetic_percent is 25, not 50"),
        ({"val_accuracy": 95.3}, "corrupted (val_accuracy: "),
    ],
)
def test_cell_of_other_params_or_corrupted_is_refused(cells: Path, values: dict[str, object], message: str) -> None:
    """A cell that was trained under other params, or is corrupted, is named with what is wrong."""
    change_cell(cells, "train_classifier-50-1", **values)
    line = refusal(cells)
    assert "train_classifier-50-1.json" in line
    assert message in line
    assert line.endswith("run: dvc repro train_classifier@50-1")


@pytest.mark.parametrize(
    ("values", "message"),
    [({"control": "placebo"}, "control is 'placebo', not 'ceiling'"), ({"steps": 7}, "steps is 7, not 100")],
)
def test_control_of_other_params_is_refused(cells: Path, values: dict[str, object], message: str) -> None:
    """A placebo is no ceiling, and neither is one of other steps."""
    change_cell(cells, "train_control-ceiling-50-1", **values)
    line = refusal(cells)
    assert message in line
    assert line.endswith("run: dvc repro train_control@ceiling-50-1")


def test_cells_of_another_data_set_are_refused(cells: Path) -> None:
    """Cells that name different classes cannot be compared, whatever stage they are of."""
    change_cell(cells, "train_control-placebo-50-1", test_accuracy_per_class={"cat": 0.9})
    assert "different classes" in refusal(cells)


def test_plain_training_is_a_rival_too() -> None:
    """Where no rival is better on val than the baseline, that is what synthetic images are held against."""
    params, gains = make_params(), {25: 0.004, 50: 0.01, 100: -0.03}
    worse: dict[str, Gain] = dict.fromkeys(params.ablation.rivals, lambda percent: -0.02)
    result = plant(params, gains.__getitem__, CLASSES, **worse).compare()
    found = result.over_best_rival
    assert found
    assert found.rival == "real_only"
    assert found.difference_mean == result.chosen.difference_mean
    assert "nothing is better on val than plain training" in found.text


def test_the_best_rival_is_chosen_on_val_and_a_gain_over_it_is_found() -> None:
    """CutMix gains 0.4 points, 50 % synthetic 1.4: one point over it; what is best on test alone is not taken."""
    inputs = plant(make_params(), {25: 0.004, 50: 0.014, 100: -0.03}.__getitem__)
    lucky = [cell.model_copy(update={"test_accuracy": 0.999}) for cell in inputs.grid.rivals["cutout"]]
    grid = replace(inputs.grid, rivals={**inputs.grid.rivals, "cutout": lucky})
    found = replace(inputs, grid=grid).compare().over_best_rival
    assert found
    assert found.rival == "cutmix"
    assert found.difference_mean == pytest.approx(0.01, abs=0.002)
    assert found.difference_low < found.difference_mean == pytest.approx(found.difference_cross_fitted)
    assert found.p_value < 0.01
