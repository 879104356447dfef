import csv
import xml.etree.ElementTree as ET
from html import unescape
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.evaluation.result import Result
from pipeline.evaluation.statistics import holm
from pipeline.evaluation.wording import BUDGETS, MODES
from pipeline.orchestration.sweep.report import to_markdown, to_text, write_sweep
from pipeline.orchestration.sweep.result import Sweep, Value, compare
from pipeline.orchestration.sweep.runs import experiment_name, literal
from pipeline.orchestration.sweep.sweep import choose_param
from pipeline.params.load import read_yaml
from pipeline.params.schema import Params
from pipeline.runtime.errors import UserError
from pipeline.tracking.execution import sweep_name
from tests.evaluation_inputs import make_params, plant

PARAM, IMAGE = "dataset.train_size", 1 / 600
GAINS = {100: {25: 0.004, 50: 0.01, 100: -0.03}, 300: {25: 0.0, 50: 0.0, 100: -0.03}}


@pytest.fixture(scope="module")
def results() -> dict[Value, Result]:
    """Results of two train sizes; only with the smaller one 50 % helps."""
    return {size: plant(make_params(f"{PARAM}={size}"), gains.__getitem__).compare() for size, gains in GAINS.items()}


@pytest.fixture(scope="module")
def sweep(results: dict[Value, Result]) -> Sweep:
    """What sweep.json holds of them."""
    return compare(PARAM, results, IMAGE)


def planted(result: Result, number: int | None = None, **values: object) -> Result:
    """`result` with other values in one setting, or in all."""
    settings = [
        setting.model_copy(update=values) if number in (None, place) else setting
        for place, setting in enumerate(result.settings)
    ]
    return result.model_copy(update={"settings": tuple(settings)})


def test_each_value_is_compared_with_its_own_baseline(sweep: Sweep, results: dict[Value, Result]) -> None:
    """Settings are those of each value's own result; planted gains are found, and nothing where there is none."""
    assert [(entry.value, entry.verdict) for entry in sweep.values] == [(100, "helps"), (300, "equivalent")]
    for entry in sweep.values:
        for row, setting in zip(entry.settings, results[entry.value].settings, strict=True):
            assert row.model_dump(exclude={"p_value_holm"}).items() <= setting.model_dump().items()
    sentence = sweep.values[0].verdict_text
    assert sentence.startswith(f"{PARAM} 100: Adding synthetic images helps: at 50 % synthetic")
    assert "over all 6 settings" in sentence


def test_holm_counts_the_settings_of_all_values(sweep: Sweep) -> None:
    """The correction is over all mixed settings of the sweep, baselines left out."""
    rows = [row for entry in sweep.values for row in entry.settings if row.synthetic_percent]
    assert sweep.num_compared == len(rows) == 6
    assert [row.p_value_holm for row in rows] == holm([row.p_value for row in rows])
    assert sweep.values[0].settings[0].p_value_holm is None


def test_val_picks_the_value(results: dict[Value, Result]) -> None:
    """The value to pick is val's, though another is better on test."""
    lucky: dict[Value, Result] = {
        100: planted(results[100], 1, test_accuracy_mean=0.9999),
        300: planted(results[300], 2, val_accuracy_mean=0.9999),
    }
    best = compare(PARAM, lucky, IMAGE)
    assert (best.best_on_val.value, best.best_on_val.synthetic_percent) == (300, 50)
    assert f"val is best with {PARAM} 300 at 50 % synthetic (99.99 % on val)" in to_text(best)


def test_asking_often_finds_nothing_more(results: dict[Value, Result]) -> None:
    """What is significant in its own ablation may not be among the settings of many values."""
    alone = planted(results[100], p_value=0.012)
    assert compare(PARAM, {100: alone}, IMAGE).values[0].verdict == "helps"
    assert compare(PARAM, dict.fromkeys((100, 300, 1000), alone), IMAGE).values[0].verdict == "too_few_replicates"


def test_what_cannot_tell_alone_cannot_in_a_sweep(results: dict[Value, Result]) -> None:
    """Its controls forbid a verdict and an equivalent beside other values too; warnings and controls are said."""
    told: dict[Value, Result] = {
        100: plant(make_params(f"{PARAM}=100"), GAINS[100].__getitem__, placebo=lambda percent: 0.02).compare(),
        300: plant(make_params(f"{PARAM}=300"), GAINS[100].__getitem__, ceiling=lambda percent: 0.0).compare(),
        1000: results[100],
    }
    sweep = compare(PARAM, told, IMAGE)
    assert [entry.verdict for entry in sweep.values] == ["cannot_tell", "cannot_tell", "helps"]
    assert [entry.real_equivalent is None for entry in sweep.values] == [True, True, False]
    text, markdown = to_text(sweep), unescape(to_markdown(sweep)).replace("\\", "")
    for entry in sweep.values[:2]:
        assert entry.verdict_text.endswith(told[entry.value].controls_text)
        assert all(sentence in text and sentence in markdown for sentence in (*entry.warnings, entry.verdict_text))
    assert f"{PARAM} 100: Warning: the placebo" in text


def test_equivalents_are_read_off_the_curve_of_all_train_sizes(results: dict[Value, Result]) -> None:
    """What 100 images and a generator reach can be found among the real images of 300, beyond the curve of 100."""
    lawful: dict[Value, Result] = {}
    for value, result in results.items():
        curve = [point.model_copy(update={"test_accuracy": reached(point.num_real)}) for point in result.learning_curve]
        lawful[value] = result.model_copy(update={"learning_curve": tuple(curve)})
    lawful[100] = planted(lawful[100], test_accuracy=reached(400))
    sweep = compare(PARAM, lawful, IMAGE)
    assert [point.num_real for point in sweep.learning_curve] == [25, 50, 75, 100, 150, 200, 300, 600]
    found = sweep.values[0].real_equivalent
    assert found
    assert found.num_real_equivalent == pytest.approx(400, rel=0.05)
    epochs = {value: result.model_copy(update={"budget": "real_epochs"}) for value, result in lawful.items()}
    for other in (compare(PARAM, epochs, IMAGE), compare("gan.steps", lawful, IMAGE)):  # no sizes of one curve
        assert other.learning_curve == ()
        own = [result.real_equivalent for result in results.values()]
        assert [entry.real_equivalent for entry in other.values] == own


def reached(num_real: int) -> tuple[float, ...]:
    """Accuracies of five replicates, on a power law."""
    return tuple(1 - 0.8 * num_real**-0.5 + 0.001 * place for place in range(-2, 3))


def test_the_files_hold_the_same(sweep: Sweep, tmp_path: Path) -> None:
    """JSON, CSV and Markdown hold every setting; the figure is XML, names every value and is equal byte for byte."""
    write_sweep(tmp_path, sweep)
    svg = (tmp_path / "sweep.svg").read_text()
    written = Sweep.model_validate_json((tmp_path / "sweep.json").read_bytes())
    rows = list(csv.DictReader((tmp_path / "sweep.csv").open()))
    assert [row[PARAM] for row in rows] == ["100"] * 4 + ["300"] * 4
    settings = [setting for entry in written.values for setting in entry.settings]
    assert [float(row["difference_mean"]) for row in rows] == [setting.difference_mean for setting in settings]
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


def test_the_report_states_question_and_budget(results: dict[Value, Result]) -> None:
    """Mode and budget stand in words, both where the param is one of them."""
    replaced = results[100].model_copy(update={"mode": "replace"})
    text = to_markdown(compare("ablation.mode", {"add": results[100], "replace": replaced}, IMAGE))
    for words in (*MODES.values(), BUDGETS["steps"]):
        assert words in text
    assert BUDGETS["real_epochs"] not in text


# ---- what is run ------------------------------------------------------------------------------------------


def test_the_command_line_names_the_param() -> None:
    """`key=value,value` takes the place of the block `sweep`; with neither, one line says what to write."""
    params = make_params()
    chosen = choose_param(params, "gan.recipe=r3,dcgan").sweep
    assert (chosen.key, chosen.values) == ("gan.recipe", ["r3", "dcgan"])
    assert choose_param(params, "gan.r3.learning_rate=2e-5,1E-4").sweep.values == [0.00002, 0.0001]
    declared = make_params(f"sweep.key={PARAM}", "sweep.values=[100,300]")
    assert choose_param(declared, "") == declared
    for choice, message in (
        ("", "sweep.key is empty"),
        ("dataset.seed=0,1", "sweep.key is 'dataset.seed', no single value"),
        ("ablation.replicates=[0,1],[2,3]", "sweep.key is 'ablation.replicates', no single value|sweep.values"),
        ("gan.recipe", "two or more"),
        ("gan.steps=[1", "not key="),
        ("gan.steps=2e4,3e4", "gan.steps: 20000.0 is no whole number to YAML; write 20000"),
    ):
        with pytest.raises(UserError, match=message):
            choose_param(params, choice)


NUMBERS = st.integers(-9, 10**9) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=12)
VALUES = st.booleans() | NUMBERS | TEXTS


@settings(max_examples=40)
@given(VALUES)
@example("\\0")
@example("it's \\' '\\\\")
def test_dvc_reads_a_value_as_it_was(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    """What -S is given comes out of DVC's own parser as the same value of the same type, alone and in a list."""
    from dvc.utils.hydra import apply_overrides

    file = tmp_path_factory.mktemp("params") / "params.yaml"
    file.write_text("one: 0\nmany: []\n")
    apply_overrides(file, [f"one={literal(value)}", f"many={literal([value, value])}"])
    read = read_yaml(file)
    assert (read["one"], read["many"]) == (value, [value, value])
    assert type(read["one"]) is type(value)


def test_a_sweep_is_known_by_what_its_values_share() -> None:
    """Its name is equal for all values of the param, and another where any other value differs."""
    swept = [f"sweep.key={PARAM}", "sweep.values=[100,300]"]
    names = [name(make_params(*swept, choice)) for choice in (f"{PARAM}=100", f"{PARAM}=300", "gan.steps=7")]
    assert names[0] == names[1] != names[2]
    assert name(make_params()) == ""
    assert experiment_name(names[0], 100) == f"{names[0]}-100"
    assert experiment_name("gan.networks", "my.own:pair") == "gan.networks-my.own-pair"


def name(params: Params) -> str:
    """The sweep's name."""
    return sweep_name(params.model_dump())
