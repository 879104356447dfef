import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t

from pipeline.evaluation.ablation import evaluate
from pipeline.evaluation.result import Result, read_result
from pipeline.params.schema import Params
from pipeline.runtime.errors import UserError
from tests.evaluation_inputs import CLASSES, FIDELITY, change_cell, make_params, write_helping, write_inputs

Written = tuple[Path, Params, Result]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A folder of inputs in which 50 % helps, evaluated into `out`."""
    folder = tmp_path_factory.mktemp("inputs")
    return folder, *write_helping(folder)


# ---- ablation.json ----------------------------------------------------------------------------------------


def test_a_planted_gain_is_found(written: Written) -> None:
    """The verdict, the chosen percent and the real-image equivalent follow from the cells."""
    _, params, result = written
    assert (result.verdict, result.chosen_percent) == ("helps", 50)
    assert result.verdict_text.startswith("Adding synthetic images helps: at 50 % synthetic")
    assert [setting.synthetic_percent for setting in result.settings] == [0, 25, 50, 100]
    assert result.chosen.difference_mean == pytest.approx(0.01, abs=0.003)
    assert result.baseline.difference_mean == 0
    size = params.dataset.train_size  # the error is 0.04 / sqrt(share), and 0.03 at the chosen percent
    assert result.real_equivalent.num_real_equivalent == pytest.approx(size * (4 / 3) ** 2, rel=0.1)
    assert not result.real_equivalent.extrapolated


def test_ablation_json_is_read_as_it_was_written(written: Written) -> None:
    """The file holds the result to six decimals, a former name beside its new one, and comes back as the model."""
    file = written[0] / "out" / "ablation.json"
    read, result = read_result(file), written[2]
    assert read.verdict_text == result.verdict_text
    assert read.chosen.test_accuracy_mean == round(result.chosen.test_accuracy_mean, 6)
    assert read.worth == read.real_equivalent
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
    folder, params, result = written
    setting = result.settings[3]
    by_stage = {
        stage: [
            json.loads((folder / "cells" / f"{stage}-100-{seed}.json").read_text())["test_accuracy"]
            for seed in params.ablation.seeds
        ]
        for stage in ("train_classifier", "train_baseline")
    }
    assert setting.test_accuracy_mean == pytest.approx(np.mean(by_stage["train_classifier"]), abs=1e-6)
    assert list(setting.seeds) == params.ablation.seeds
    differences = np.subtract(by_stage["train_classifier"], by_stage["train_baseline"])
    std = max(differences.std(ddof=1), 1 / params.dataset.test_size)  # three seeds may agree to the image
    error = std / np.sqrt(len(differences))
    margin = t.ppf(0.975, len(differences) - 1) * error
    assert [setting.difference_low, setting.difference_high] == pytest.approx(
        [differences.mean() - margin, differences.mean() + margin], abs=1e-6
    )
    p_value = 2 * t.sf(abs(differences.mean()) / error, len(differences) - 1)
    assert setting.p_value == pytest.approx(p_value, abs=1e-6)


def test_the_champion_is_the_best_on_val(written: Written) -> None:
    """No cell that the table compares has a higher val accuracy, and the test accuracy had no say."""
    folder, params, result = written
    names = [("train_baseline", 100), *(("train_classifier", p) for p in params.ablation.synthetic_percent)]
    cells = {
        (stage, percent, seed): json.loads((folder / f"cells/{stage}-{percent}-{seed}.json").read_text())
        for stage, percent in names
        for seed in params.ablation.seeds
    }
    best = result.champion
    chosen = cells[best.stage, best.percent, best.seed]
    assert chosen["val_accuracy"] == max(cell["val_accuracy"] for cell in cells.values())
    assert chosen["test_accuracy"] == best.test_accuracy


def test_class_changes_are_paired_with_the_baseline(written: Written) -> None:
    """Each class's change is its own: the planted steps of one point from class to class come out."""
    changes = [written[2].per_class[name].difference_mean for name in CLASSES]
    assert np.diff(changes) == pytest.approx([0.01] * 3, abs=1e-5)


def test_harm_and_noise_are_reported(tmp_path: Path) -> None:
    """A loss at every percent is `hurts`, equal accuracies are `no_difference`."""
    params = make_params()
    write_inputs(tmp_path / "loss", params, lambda percent: -0.02 - percent / 5000)
    write_inputs(tmp_path / "none", params, lambda percent: 0.0)
    assert evaluate(params, tmp_path / "loss" / "cells", FIDELITY).verdict == "hurts"
    assert evaluate(params, tmp_path / "none" / "cells", FIDELITY).verdict == "no_difference"


def test_val_chooses_and_test_judges(tmp_path: Path) -> None:
    """The percent with the best val accuracy is judged, even if another has the better test accuracy."""
    params = make_params()
    write_inputs(tmp_path, params, lambda percent: 0.0)
    for seed in params.ablation.seeds:
        change_cell(tmp_path, f"train_classifier-25-{seed}", val_accuracy=0.999)
        change_cell(tmp_path, f"train_classifier-50-{seed}", test_accuracy=0.999)
    assert evaluate(params, tmp_path / "cells", FIDELITY).chosen_percent == 25


# ---- errors -----------------------------------------------------------------------------------------------


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """A folder of inputs that a test may corrupt."""
    write_inputs(tmp_path, make_params(), lambda percent: 0.0)
    return tmp_path


def refusal(folder: Path) -> str:
    """The one line that evaluate refuses the cells with."""
    with pytest.raises(UserError) as caught:
        evaluate(make_params(), folder / "cells", FIDELITY)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_cell_names_file_and_command(cells: Path) -> None:
    """One missing cell is named with the command that trains it."""
    (cells / "cells" / "train_classifier-50-1.json").unlink()
    wanted = "lacks train_classifier-50-1.json; run: dvc repro train_classifier@50-1"
    assert refusal(cells) == f"{cells / 'cells'} {wanted}"


def test_many_missing_cells_are_counted(cells: Path) -> None:
    """Above five, the line counts them and gives the whole command."""
    for path in (cells / "cells").glob("train_baseline-*"):
        path.unlink()
    line = refusal(cells)
    declared = (len(make_params().ablation.real_percent) + 3) * 5
    assert f"lacks {declared - 15} of {declared} declared cells (train_baseline-" in line
    assert line.count(".json") == 5
    assert line.endswith("run: dvc repro")


def test_undeclared_cells_are_ignored(cells: Path) -> None:
    """A cell of a percent that params no longer declare changes nothing."""
    before = evaluate(make_params(), cells / "cells", FIDELITY)
    (cells / "cells" / "train_classifier-75-0.json").write_text("left over")
    assert evaluate(make_params(), cells / "cells", FIDELITY) == before


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mode": "replace"}, "mode is 'replace', not 'add'"),
        ({"mixing": "pretrain_finetune"}, "mixing is 'pretrain_finetune', not 'batch'"),
        ({"budget": "real_epochs"}, "budget is 'real_epochs', not 'steps'"),
        ({"seed": 7}, "seed is 7, not 1"),
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


def test_cells_of_another_data_set_are_refused(cells: Path) -> None:
    """Cells that name different classes cannot be compared."""
    change_cell(cells, "train_classifier-50-1", test_accuracy_per_class={"cat": 0.9})
    assert "different classes" in refusal(cells)
