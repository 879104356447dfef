import copy
import csv
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.evaluation.report import rounded
from pipeline.evaluation.statistics import holm
from pipeline.evaluation.tables import BUDGETS, MODES
from pipeline.orchestration.sweep.report import to_markdown, to_text, write_sweep
from pipeline.orchestration.sweep.result import Value, compare
from pipeline.orchestration.sweep.runs import experiment_name, literal
from pipeline.orchestration.sweep.sweep import choose_axis
from pipeline.params.schema import Params
from pipeline.runtime.errors import UserError
from pipeline.tracking.execution import sweep_name
from tests.evaluation_inputs import evaluate_and_write, make_params, write_inputs

AXIS, IMAGE = "dataset.train_size", 1 / 600
GAINS = {100: {25: 0.004, 50: 0.01, 100: -0.03}, 300: {25: 0.0, 50: 0.0, 100: -0.03}}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[Value, dict[str, Any]]:
    """ablation.json of two train sizes; only with the smaller one 50 % helps."""
    found: dict[Value, dict[str, Any]] = {}
    for size, gains in GAINS.items():
        folder, params = tmp_path_factory.mktemp("inputs"), make_params(f"{AXIS}={size}")
        write_inputs(folder, params, gains.__getitem__)
        found[size] = rounded(evaluate_and_write(folder, params, folder / "out"))
    return found


@pytest.fixture(scope="module")
def sweep(results: dict[Value, dict[str, Any]]) -> dict[str, Any]:
    """What sweep.json holds of them."""
    return compare(AXIS, results, IMAGE)


def test_each_value_is_told_against_its_own_baseline(
    sweep: dict[str, Any], results: dict[Value, dict[str, Any]]
) -> None:
    """Settings are those of each value's own ablation.json; planted gains are told, and nothing where there is none."""
    assert [(entry["value"], entry["verdict"]) for entry in sweep["values"]] == [(100, "helps"), (300, "no_difference")]
    for entry in sweep["values"]:
        for row, setting in zip(entry["settings"], results[entry["value"]]["settings"], strict=True):
            assert {key: row[key] for key in row if key != "p_value_holm"}.items() <= setting.items()
    told = sweep["values"][0]["verdict_text"]
    assert told.startswith(f"{AXIS} 100: Adding synthetic images helps: at 50 % synthetic")
    assert "over all 6 settings" in told


def test_holm_counts_the_settings_of_all_values(sweep: dict[str, Any]) -> None:
    """The correction is over all mixed settings of the sweep, baselines left out."""
    rows = [row for entry in sweep["values"] for row in entry["settings"] if row["synthetic_percent"]]
    assert sweep["num_compared"] == len(rows) == 6
    assert [row["p_value_holm"] for row in rows] == holm([row["p_value"] for row in rows])
    assert "p_value_holm" not in sweep["values"][0]["settings"][0]


def test_val_picks_the_value(results: dict[Value, dict[str, Any]]) -> None:
    """The value to pick is val's, though another is better on test."""
    planted = copy.deepcopy(dict(results))
    planted[300]["settings"][2]["val_accuracy_mean"] = 0.9999
    planted[100]["settings"][1]["test_accuracy_mean"] = 0.9999
    best = compare(AXIS, planted, IMAGE)
    assert (best["best_on_val"]["value"], best["best_on_val"]["synthetic_percent"]) == (300, 50)
    assert f"val is best with {AXIS} 300 at 50 % synthetic (99.99 % on val)" in to_text(best)


def test_asking_often_finds_nothing_more(results: dict[Value, dict[str, Any]]) -> None:
    """What is significant in its own ablation may not be among the settings of many values."""
    alone = results[100] | {"settings": [s | {"p_value": 0.012} for s in results[100]["settings"]]}
    assert compare(AXIS, {100: alone}, IMAGE)["values"][0]["verdict"] == "helps"
    assert compare(AXIS, dict.fromkeys((100, 300, 1000), alone), IMAGE)["values"][0]["verdict"] == "no_difference"


def test_worth_is_read_off_the_curve_of_all_train_sizes(results: dict[Value, dict[str, Any]]) -> None:
    """What 100 images and a generator reach can be found among the real images of 300, beyond the curve of 100."""
    planted = {value: copy.deepcopy(result) for value, result in results.items()}
    for result in planted.values():
        for point in result["learning_curve"]:
            point["test_accuracy"] = reached(point["num_real"])
    for setting in planted[100]["settings"]:
        setting["test_accuracy"] = reached(400)
    sweep = compare(AXIS, planted, IMAGE)
    assert [point["num_real"] for point in sweep["learning_curve"]] == [25, 50, 75, 100, 150, 200, 300, 600]
    assert sweep["values"][0]["worth"]["num_real_equivalent"] == pytest.approx(400, rel=0.05)
    epochs = {value: result | {"budget": "real_epochs"} for value, result in planted.items()}
    for other in (compare(AXIS, epochs, IMAGE), compare("gan.seed", planted, IMAGE)):  # no sizes of one curve
        assert other["learning_curve"] == []
        assert [entry["worth"] for entry in other["values"]] == [result["worth"] for result in results.values()]


def reached(num_real: int) -> list[float]:
    """Accuracies of five seeds, on a power law."""
    return [1 - 0.8 * num_real**-0.5 + 0.001 * place for place in range(-2, 3)]


def test_the_files_tell_the_same(sweep: dict[str, Any], tmp_path: Path) -> None:
    """JSON, CSV and Markdown hold every setting; the figure is XML, names every value and is equal byte for byte."""
    write_sweep(tmp_path, sweep)
    svg = (tmp_path / "sweep.svg").read_text()
    written = json.loads((tmp_path / "sweep.json").read_text())
    rows = list(csv.DictReader((tmp_path / "sweep.csv").open()))
    assert [row[AXIS] for row in rows] == ["100"] * 4 + ["300"] * 4
    settings = [setting for entry in written["values"] for setting in entry["settings"]]
    assert [float(row["difference_mean"]) for row in rows] == [setting["difference_mean"] for setting in settings]
    assert rows[0]["p_value_holm"] == ""
    ET.fromstring(svg)  # noqa: S314 - our own figure
    assert svg.count(">100</text>") >= 2
    assert svg.count(">300</text>") >= 2
    write_sweep(tmp_path, sweep)
    assert (tmp_path / "sweep.svg").read_text() == svg
    markdown = (tmp_path / "sweep.md").read_text()
    assert markdown.count("| 100 |") + markdown.count("| 300 |") >= 8
    assert markdown == to_markdown(sweep)
    assert len(to_text(sweep).splitlines()) == 1 + 8 + 2 + 2 + 2


def test_the_report_states_question_and_budget(results: dict[Value, dict[str, Any]]) -> None:
    """Mode and budget stand in words, both where the axis is one of them."""
    both = compare("ablation.mode", {"add": results[100], "replace": results[100] | {"mode": "replace"}}, IMAGE)
    text = to_markdown(both)
    for words in (*MODES.values(), BUDGETS["steps"]):
        assert words in text
    assert BUDGETS["real_epochs"] not in text


# ---- what is run ------------------------------------------------------------------------------------------


def test_the_command_line_overrides_the_axis() -> None:
    """`key=value,value` takes the place of ablation.axis; with neither, one line says what to write."""
    params = make_params()
    chosen = choose_axis(params, "gan.recipe=r3,dcgan").ablation
    assert (chosen.axis, chosen.axis_values) == ("gan.recipe", ["r3", "dcgan"])
    assert choose_axis(make_params("story=low_data"), "").ablation.axis_values == [100, 300, 1000]
    for choice, told in (("", "ablation.axis is empty"), ("gan.recipe", "two or more"), ("gan.steps=[1", "not key=")):
        with pytest.raises(UserError, match=told):
            choose_axis(params, choice)


NUMBERS = st.integers(-9, 10**9) | st.floats(0.0001, 1e9)
VALUES = st.booleans() | NUMBERS | st.text(
    st.characters(codec="utf-8", exclude_categories=["C"]), max_size=12
)  # fmt: skip


@given(VALUES)
@example("\\0")
@example("it's \\' '\\\\")
def test_dvc_reads_a_value_as_it_was(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    """What -S is given comes out of DVC's own parser as the same value of the same type, alone and in a list."""
    from dvc.utils.hydra import apply_overrides

    file = tmp_path_factory.mktemp("params") / "params.yaml"
    file.write_text("one: 0\nmany: []\n")
    apply_overrides(file, [f"one={literal(value)}", f"many={literal([value, value])}"])
    read = yaml.safe_load(file.read_text())
    assert (read["one"], read["many"]) == (value, [value, value])
    assert type(read["one"]) is type(value)


def test_a_number_that_would_become_text_is_refused() -> None:
    """DVC writes 5e-05 as it is, which YAML reads as text: told before anything runs."""
    with pytest.raises(UserError, match="5e-05 is text to YAML"):
        literal([0.1, 5e-05])


def test_a_sweep_is_known_by_what_its_values_share() -> None:
    """Its name is equal for all values of the axis, and another where any other value differs."""
    axis = [f"ablation.axis={AXIS}", "ablation.axis_values=[100,300]"]
    names = [name(make_params(*axis, choice)) for choice in (f"{AXIS}=100", f"{AXIS}=300", "gan.seed=1")]
    assert names[0] == names[1] != names[2]
    assert name(make_params()) == ""
    assert experiment_name(names[0], 100) == f"{names[0]}-100"
    assert experiment_name("gan.networks", "my.own:pair") == "gan.networks-my.own-pair"


def name(params: Params) -> str:
    """The sweep's name."""
    return sweep_name(params.model_dump())
