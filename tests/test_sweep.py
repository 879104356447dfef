import csv
import xml.etree.ElementTree as ET
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from pipeline.evaluation.result import Result
from pipeline.evaluation.statistics import holm
from pipeline.evaluation.wording import BUDGETS, MODES, points
from pipeline.orchestration.sweep.compare import compare, setting_params
from pipeline.orchestration.sweep.report import page_sections, to_markdown, to_text, write_sweep
from pipeline.orchestration.sweep.result import Sweep
from pipeline.orchestration.sweep.runs import experiment_name
from pipeline.orchestration.sweep.sweep import choose_settings, run_experiment
from pipeline.params.load import parse_params
from pipeline.params.schema import Params
from pipeline.runtime.errors import UserError
from pipeline.tracking.execution import sweep_name
from tests.evaluation_inputs import CLASSES, OTHERS, Gain, make_params, plant

PARAM = "dataset.train_size"
GAINS: dict[str, dict[int, float]] = {
    "100": {25: 0.004, 50: 0.01, 100: -0.03},
    "300": {25: 0.0, 50: 0.0, 100: -0.03},
}
HELPS = GAINS["100"].__getitem__


def swept(settings: dict[str, dict[str, Any]], name: str = "tried") -> Params:
    """The params that `settings` have in common, with them."""
    sweep = {"name": name, "settings": settings, "setting": ""}
    return parse_params(make_params().model_dump() | {"sweep": sweep})


def planted_in(params: Params, name: str, gain: Gain, **others: Gain) -> Result:
    """The result of a setting with such gains."""
    return plant(setting_params(params, name), gain, CLASSES, **others).compare()


SIZES = swept({size: {PARAM: int(size)} for size in GAINS}, PARAM)


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    """Results of two train sizes; only with the smaller one 50 % helps."""
    return {size: planted_in(SIZES, size, gains.__getitem__) for size, gains in GAINS.items()}


@pytest.fixture(scope="module")
def sweep(results: dict[str, Result]) -> Sweep:
    """Both compared."""
    return compare(SIZES, results)


def planted(result: Result, number: int | None = None, **values: object) -> Result:
    """`result` with other values in one setting, or in all."""
    settings = [
        setting.model_copy(update=values) if number in (None, place) else setting
        for place, setting in enumerate(result.settings)
    ]
    return result.model_copy(update={"settings": tuple(settings)})


def test_each_setting_is_compared_with_its_own_baseline(sweep: Sweep, results: dict[str, Result]) -> None:
    """Percents are those of each setting's own result; planted gains are found, and nothing where there is none."""
    assert [(entry.name, entry.verdict) for entry in sweep.settings] == [("100", "helps"), ("300", "equivalent")]
    for entry in sweep.settings:
        for row, setting in zip(entry.percents, results[entry.name].settings, strict=True):
            assert row.model_dump(exclude={"p_value_holm"}).items() <= setting.model_dump().items()
    sentence = sweep.settings[0].verdict_text
    assert sentence.startswith("100: Adding synthetic images helps: at 50 % synthetic")
    assert "over all 6 shares" in sentence


def test_holm_counts_the_percents_of_all_settings(sweep: Sweep) -> None:
    """The correction is over all mixed percents of the sweep, baselines left out."""
    rows = [row for entry in sweep.settings for row in entry.percents if row.synthetic_percent]
    assert sweep.num_compared == len(rows) == 6
    assert [row.p_value_holm for row in rows] == holm([row.p_value for row in rows])
    assert sweep.settings[0].percents[0].p_value_holm is None


def test_val_picks_the_setting(results: dict[str, Result]) -> None:
    """The setting to pick is val's, though another is better on test."""
    lucky: dict[str, Result] = {
        "100": planted(results["100"], 1, test_accuracy_mean=0.9999),
        "300": planted(results["300"], 2, val_accuracy_mean=0.9999),
    }
    best = compare(SIZES, lucky)
    assert best.best_on_val
    assert (best.best_on_val.setting, best.best_on_val.synthetic_percent) == ("300", 50)
    assert "val is best with 300 at 50 % synthetic (99.99 % on val)" in to_text(best)


def test_asking_often_finds_nothing_more(results: dict[str, Result]) -> None:
    """What is significant in its own ablation may not be among the percents of many settings."""
    alone = planted(results["100"], p_value=0.012)
    many = swept({str(size): {PARAM: size} for size in (100, 200, 300)})
    assert compare(many, {"100": alone}).settings[0].verdict == "helps"
    assert compare(many, dict.fromkeys(("100", "200", "300"), alone)).settings[0].verdict == "too_few_replicates"


def test_what_cannot_tell_alone_cannot_in_a_sweep(results: dict[str, Result]) -> None:
    """Its controls forbid a verdict and an equivalent beside others too; warnings and controls are said."""
    params = swept({name: {PARAM: 100} for name in ("faulty", "full", "clear")})
    told = {
        "faulty": planted_in(params, "faulty", HELPS, placebo=lambda percent: 0.02),
        "full": planted_in(params, "full", HELPS, ceiling=lambda percent: 0.0),
        "clear": results["100"],
    }
    sweep = compare(params, told)
    assert [entry.verdict for entry in sweep.settings] == ["cannot_tell", "cannot_tell", "helps"]
    assert [entry.real_equivalent is None for entry in sweep.settings] == [True, True, False]
    text, markdown = to_text(sweep), unescape(to_markdown(sweep)).replace("\\", "")
    for entry in sweep.settings[:2]:
        assert entry.verdict_text.endswith(told[entry.name].controls_text)
        assert all(sentence in text and sentence in markdown for sentence in (*entry.warnings, entry.verdict_text))
    assert "faulty: Warning: the placebo" in text


def test_equivalents_are_read_off_the_curve_of_all_train_sizes(results: dict[str, Result]) -> None:
    """What 100 images and a generator reach can be found among the real images of 300, beyond the curve of 100."""
    lawful: dict[str, Result] = {}
    for name, result in results.items():
        curve = [point.model_copy(update={"test_accuracy": reached(point.num_real)}) for point in result.learning_curve]
        lawful[name] = result.model_copy(update={"learning_curve": tuple(curve)})
    lawful["100"] = planted(lawful["100"], test_accuracy=reached(400))
    sweep = compare(SIZES, lawful)
    assert [point.num_real for point in sweep.learning_curve] == [25, 50, 75, 100, 150, 200, 300, 600]
    found = sweep.settings[0].real_equivalent
    assert found
    assert found.num_real_equivalent == pytest.approx(400, rel=0.05)
    epochs = {name: result.model_copy(update={"budget": "real_epochs"}) for name, result in lawful.items()}
    steps = swept({"100": {"gan.steps": 6}, "300": {"gan.steps": 7}})
    for other in (compare(SIZES, epochs), compare(steps, lawful)):  # no sizes of one curve
        assert other.learning_curve == ()
        own = [result.real_equivalent for result in results.values()]
        assert [entry.real_equivalent for entry in other.settings] == own


def reached(num_real: int) -> tuple[float, ...]:
    """Accuracies of five replicates, on a power law."""
    return tuple(1 - 0.8 * num_real**-0.5 + 0.001 * place for place in range(-2, 3))


def test_the_files_hold_the_same(sweep: Sweep, tmp_path: Path) -> None:
    """JSON, CSV and Markdown hold every setting; the figure is XML, names every value and is equal byte for byte."""
    write_sweep(tmp_path, sweep)
    svg = (tmp_path / f"{PARAM}.svg").read_text()
    written = Sweep.model_validate_json((tmp_path / f"{PARAM}.json").read_bytes())
    rows = list(csv.DictReader((tmp_path / f"{PARAM}.csv").open()))
    assert [row["setting"] for row in rows] == ["100"] * 4 + ["300"] * 4
    percents = [row for entry in written.settings for row in entry.percents]
    assert [float(row["difference_mean"]) for row in rows] == [row.difference_mean for row in percents]
    assert rows[0]["p_value_holm"] == ""
    ET.fromstring(svg)  # noqa: S314 - our own figure
    assert svg.count(">100</text>") >= 2
    assert svg.count(">300</text>") >= 2
    write_sweep(tmp_path, sweep)
    assert (tmp_path / f"{PARAM}.svg").read_text() == svg
    markdown = (tmp_path / f"{PARAM}.md").read_text()
    assert markdown.count("| 100 |") + markdown.count("| 300 |") >= 8
    assert markdown == to_markdown(sweep)
    assert len(to_text(sweep).splitlines()) == 1 + 8 + 2 + 4 + 2


def test_the_report_states_question_and_budget(results: dict[str, Result]) -> None:
    """Mode and budget stand in words, both where settings differ in one of them."""
    modes = swept({mode: {"ablation.mode": mode} for mode in ("add", "replace")})
    replaced = results["100"].model_copy(update={"mode": "replace"})
    text = to_markdown(compare(modes, {"add": results["100"], "replace": replaced}))
    for words in (
        *MODES.values(),
        BUDGETS["steps"],
        "Synthetic % is the share of each training batch that a GAN made.",
    ):
        assert words in text
    assert text.count("A replicate has its own draw of the real training images, its own GAN") == 1
    assert BUDGETS["real_epochs"] not in text


# ---- beside the best rival ----------------------------------------------------------------------------------

WHERE = swept(
    {
        "pays": {PARAM: 60},
        "null": {},
        "hurts": {"classifier.attack_epsilon": 8, "ablation.synthetic_percent": [25, 50]},
        "alone": {"ablation.rivals": [], "ablation.controls": ["placebo"], "dataset.imbalance_factor": 10.0},
    },
    "where_it_pays",
)
AMONG = {"pays": 0.014, "null": 0.004, "hurts": -0.012, "alone": 0.01}  # the best rival gains 0.004


@pytest.fixture(scope="module")
def where() -> Sweep:
    """Four settings that differ in several values, with planted gains at every percent but 100."""
    return compare(WHERE, {name: planted_in(WHERE, name, gain_of(AMONG[name])) for name in AMONG})


def gain_of(gain: float) -> Gain:
    """It, but at 100 % a loss."""
    return lambda percent: gain if percent < 100 else -0.03


def test_the_setting_that_pays_is_found_and_no_other(where: Sweep) -> None:
    """One point over CutMix, the best rival; nothing, and a loss, in others; what has no rival is not compared."""
    over = {entry.name: entry.over_best_rival for entry in where.settings}
    assert over["alone"] is None
    compared = [entry for entry in over.values() if entry]
    assert [entry.rival for entry in compared] == ["cutmix"] * 3
    assert [entry.difference.mean for entry in compared] == pytest.approx([0.01, 0.0, -0.016], abs=0.002)
    assert [entry.p_value_holm < 0.05 for entry in compared] == [True, False, True]
    assert [entry.p_value_holm for entry in compared] == holm([entry.p_value for entry in compared])
    assert where.best_on_val is None
    assert [entry.ceiling is None for entry in where.settings] == [False, False, False, True]
    assert where.settings[2].changes["ablation.synthetic_percent"] == (25, 50)


def test_many_settings_make_an_effect_hard_to_claim() -> None:
    """A p of 0.02 against the best rival stands alone, and not among three."""
    inputs = plant(make_params(), gain_of(0.005))
    result = inputs.compare()
    assert result.over_best_rival
    unsure = result.model_copy(update={"over_best_rival": result.over_best_rival.model_copy(update={"p_value": 0.02})})
    corrected = compare(WHERE, dict.fromkeys(("pays", "null", "hurts"), unsure)).settings[0].over_best_rival
    assert corrected
    assert corrected.p_value_holm == pytest.approx(0.06)


def test_share_and_rival_are_chosen_on_val_alone() -> None:
    """What is best on test alone is taken in no setting."""
    inputs = plant(setting_params(WHERE, "pays"), gain_of(0.01))
    lucky = {p: [cell.model_copy(update={"test_accuracy": 1.0}) for cell in inputs.grid.mixed[p]] for p in (25, 50)}
    other = 25 if inputs.compare().chosen_percent == 50 else 50
    rivals = {**inputs.grid.rivals, "cutout": lucky[25]}
    rivals["cutout"] = [cell.model_copy(update={"val_accuracy": 0.5}) for cell in rivals["cutout"]]
    grid = replace(inputs.grid, mixed=inputs.grid.mixed | {other: lucky[other]}, rivals=rivals)
    entry = compare(WHERE, {"pays": replace(inputs, grid=grid).compare()}).settings[0]
    assert entry.chosen_percent != other
    assert entry.over_best_rival
    assert entry.over_best_rival.rival == max(OTHERS, key=lambda name: OTHERS[name](0) * (name in inputs.grid.rivals))


def test_the_rows_are_readable_by_a_stranger(where: Sweep, tmp_path: Path) -> None:
    """The figure names every setting, its real images, what accuracy means, n, rival, figures; the same bytes again."""
    write_sweep(tmp_path, where)
    svg = (tmp_path / "where_it_pays.svg").read_text()
    ET.fromstring(svg)  # noqa: S314 - our own figure
    for words in (
        *(f">{name}<" for name in AMONG),
        "60 real images; test accuracy<",
        "test accuracy, classes of train unequal",
        "test accuracy under attack (8/255)",
        "n = 5 replicates",
        "against CutMix",
        "no rival was run",
        "over the best rival",
        "95 % interval",
        "Holm",
    ):
        assert words in unescape(svg), words
    assert svg.index(">pays<") < svg.index(">null<") < svg.index(">hurts<")
    write_sweep(tmp_path, where)
    assert (tmp_path / "where_it_pays.svg").read_text() == svg
    markdown = (tmp_path / "where_it_pays.md").read_text()
    assert "| hurts | classifier.attack\\_epsilon=8 ablation.synthetic\\_percent=\\[25,50\\] |" in markdown
    assert "synthmix run experiment=where_it_pays" in markdown
    assert "its best rival on val: " in to_text(where)


def test_the_page_tells_where_they_pay(where: Sweep) -> None:
    """The answer in words, the figure, a row a setting with its figures, and the warnings."""
    answer, figure, table, *rest = page_sections(where, figure="where.svg")
    over = where.settings[0].over_best_rival
    assert over
    assert answer.startswith(
        f"**Of 3 settings, synthetic images beat the best rival in pays ({points(over.difference.mean)}"
    )
    assert "They stay behind it in hurts (" in answer
    assert answer.endswith("In 1 no difference is shown.**")
    assert figure.endswith("(where.svg)")
    assert len(table.splitlines()) == 2 + len(AMONG)
    assert f"| CutMix | {points(over.difference.mean)} ({points(over.difference.low)} to " in table
    assert "| none run |" in table
    assert "after Holm's correction over 3 settings" in unescape("".join(rest))
    assert "alone: Warning: no ceiling was run" in rest[-1]


# ---- what is run ------------------------------------------------------------------------------------------


def test_the_command_line_names_the_param() -> None:
    """`key=value,value` takes the place of the block `sweep`; with neither, one line says what to write."""
    params = make_params()
    chosen = choose_settings(params, "gan.recipe=r3,dcgan").sweep
    assert chosen.name == "gan.recipe"
    assert chosen.settings == {"r3": {"gan.recipe": "r3"}, "dcgan": {"gan.recipe": "dcgan"}}
    lists = choose_settings(params, "ablation.rivals=[mixup],[cutout, longer]").sweep.settings
    assert list(lists.values()) == [{"ablation.rivals": ["mixup"]}, {"ablation.rivals": ["cutout", "longer"]}]
    assert list(choose_settings(params, "gan.networks='',my.own:pair").sweep.settings) == ["empty", "my.own-pair"]
    rates = choose_settings(params, "gan.r3.learning_rate=2e-5,1E-4").sweep.settings
    assert [list(setting.values()) for setting in rates.values()] == [[0.00002], [0.0001]]
    assert choose_settings(SIZES, "") == SIZES
    for choice, message in (
        ("", "sweep.settings is empty"),
        ("dataset.seed=0,1", "dataset.seed is no value of params.yaml that settings may change"),
        ("ablation.replicates=[0,1],[2,3]", "ablation.replicates is no value"),
        ("gan.recipe", "two or more"),
        ("gan.steps=8,8", "two or more values, none twice"),
        ("gan.steps=[1", "not key="),
        ("gan.steps=2e4,3e4", "gan.steps: 20000.0 is no whole number to YAML; write 20000"),
    ):
        with pytest.raises(UserError, match=message):
            choose_settings(params, choice)


def test_an_experiment_without_settings_is_one_line() -> None:
    """`run` with words of `configure` runs settings; where there are none, it says what to do."""
    with pytest.raises(UserError, match="run dataset=digits profile=demo: names no experiment with settings"):
        run_experiment(["dataset=digits", "profile=demo"], jobs=1)


def test_a_setting_changes_what_it_says_and_nothing_else() -> None:
    """Its params are the common ones but for its changes and its name."""
    own, common = setting_params(WHERE, "hurts").model_dump(), WHERE.model_dump()
    assert (own["classifier"].pop("attack_epsilon"), common["classifier"].pop("attack_epsilon")) == (8, 0)
    assert own["ablation"].pop("synthetic_percent") != common["ablation"].pop("synthetic_percent")
    assert (own["sweep"].pop("setting"), common["sweep"].pop("setting")) == ("hurts", "")
    assert own == common


def test_a_sweep_is_known_by_what_its_settings_share() -> None:
    """Its name is equal for all settings, and another where any other value differs."""
    names = [name(setting_params(SIZES, size)) for size in GAINS]
    changed = SIZES.model_copy(update={"gan": SIZES.gan.model_copy(update={"steps": 7})})
    assert names[0] == names[1] == name(SIZES) != name(changed)
    assert name(make_params()) == ""
    assert experiment_name(names[0], 100) == f"{names[0]}-100"
    assert experiment_name("gan.networks", "my.own:pair") == "gan.networks-my.own-pair"


def name(params: Params) -> str:
    """The sweep's name."""
    return sweep_name(params.model_dump())


def test_sources_side_by_side(tmp_path: Path) -> None:
    """Our GAN, a folder of pictures and a dataset in Parquet are three valid settings, called by their names."""
    (tmp_path / "diffusion/cat").mkdir(parents=True)
    (tmp_path / "another gan/data").mkdir(parents=True)
    (tmp_path / "another gan/data/train-00000-of-00001.parquet").touch()
    sets = f"{tmp_path}/diffusion,{tmp_path}/another gan"
    chosen = choose_settings(make_params(), f"synthesize.sources=gan,{sets}")
    assert (chosen.sweep.name, list(chosen.sweep.settings)) == (
        "synthesize.sources",
        ["gan", "diffusion", "another-gan"],
    )
    made_by = [setting_params(chosen, name) for name in chosen.sweep.settings]
    assert [(params.synthesize.source, params.gan.recipe) for params in made_by] == [
        ("gan", make_params().gan.recipe),
        ("folder", "none"),
        ("parquet", "none"),
    ]
    assert made_by[2].synthesize.path == f"{tmp_path}/another gan"
    with pytest.raises(UserError, match="no such folder or Parquet file, and not gan"):
        choose_settings(make_params(), f"synthesize.sources=gan,{tmp_path}/none")
    with pytest.raises(UserError, match=r"params\.yaml has no GAN"):
        choose_settings(made_by[1], f"synthesize.sources=gan,{tmp_path}/diffusion")
