import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.__main__ import complete_key
from pipeline.params.compose import compose_params, hand_edits, params_text, read_choices, write_params
from pipeline.params.load import load_params, parse_params, read_yaml
from pipeline.params.schema import PUBLIC_SETS, Block, DatasetParams, Params
from pipeline.params.yaml12 import dump_yaml
from pipeline.runtime.errors import UserError
from pipeline.tracking.execution import current_execution
from tests.bad_files import changed

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("gan.stepz", 5, "gan.stepz: no such key; did you mean gan.steps?"),
        ("gann", {}, "gann: no such key; did you mean gan?"),
        ("gan.steps", ..., "gan.steps: missing"),
        ("gan.steps", "many", "gan.steps: should be a valid integer, not 'many'"),
        ("gan.steps", 1.5, "gan.steps: should be a valid integer"),
        ("gan.steps", 2e4, "gan.steps: 20000.0 is no whole number to YAML; write 20000"),
        ("gan.steps", True, "gan.steps: should be a valid integer"),
        ("gan.steps", 0, "gan.steps: should be greater than 0, not 0"),
        ("gan.steps", 10**12, "gan.steps: should be less than or equal to 1000000000"),
        ("gan.recipe", "wgan", "gan.recipe: should be 'r3', 'hinge_sn', 'dcgan' or 'none', not 'wgan'"),
        ("gan.r3.learning_rate", "2e-4", "gan.r3.learning_rate: '2e-4' is text to YAML; write 0.0002"),
        ("gan.r3.learning_rate", float("nan"), "gan.r3.learning_rate"),
        ("gan.r3.beta2", 1.0, "gan.r3.beta2: should be less than 1"),
        ("gan.translate", 16, "gan.translate is 16, not below the image size 16"),
        (
            "ablation.synthetic_percent",
            [0, 50],
            "ablation.synthetic_percent.0: should be greater than or equal to 1",
        ),
        (
            "ablation.synthetic_percent",
            [50, 101],
            "ablation.synthetic_percent.1: should be less than or equal to 100",
        ),
        ("ablation.synthetic_percent", [50, 50], "synthetic_percent names a value twice"),
        ("ablation.synthetic_percent", [], "ablation.synthetic_percent"),
        ("ablation.synthetic_percent", 50, "ablation.synthetic_percent: should be a valid list, not 50"),
        ("ablation.real_percent", [50], "real_percent lacks 100"),
        ("ablation.replicates", [0], "ablation.replicates"),
        ("ablation.replicates", [0, -1], "ablation.replicates.1"),
        ("ablation.replicates", [3, 3], "replicates names a value twice: [3, 3]"),
        ("ablation.controls", ["placebo", "placebo"], "controls names a value twice: ['placebo', 'placebo']"),
        ("ablation.controls", ["roof"], "ablation.controls.0: should be 'ceiling', 'placebo' or 'real_only'"),
        ("ablation.rivals", ["mixup", "mixup"], "rivals names a value twice"),
        ("classifier.mixup", -0.1, "classifier.mixup: should be greater than or equal to 0"),
        ("rivals.longer", 1.0, "rivals.longer: should be greater than 1"),
        ("ablation.mode", "mix", "ablation.mode: should be 'add' or 'replace'"),
        ("ablation.mixing", "shuffle", "ablation.mixing: should be 'batch' or 'pretrain_finetune'"),
        ("classifier.network", "vgg", "torchvision:NAME, timm:NAME or my_module:build, not 'vgg'"),
        ("dataset.name", "mnist", "dataset.name"),
        ("dataset.name", "image_folder", "path is empty"),
        ("dataset.title", "", "dataset.title: String should match pattern"),
        ("dataset.title", "cifar10", "dataset: title is cifar10, which is another set: name yours"),
        ("dataset.image_size", 28, "dataset.image_size"),
        ("synthesize", None, "synthesize"),
        ("synthesize.latent_std", 0.0, "synthesize.latent_std: should be greater than 0"),
        ("gan.recipe", "none", "gan.recipe is none and synthesize.source gan: choose another gan.recipe, or a set"),
        ("synthesize.path", "/x", "synthesize: path is '/x', but source is gan: set source to folder or parquet"),
        ("synthesize.source", "folder", "synthesize: path is '': name your folder in full"),
        ("synthesize.class_balance", "even", "synthesize.class_balance: should be 'balanced', 'fill' or 'shares'"),
        ("synthesize.class_balance", "shares", "synthesize: class_shares is empty: give one number a class"),
        ("dataset.class_shares", [1.0, 0.0], "dataset.class_shares.1: should be greater than 0"),
        ("synthesize.class_shares", [3, 0], "synthesize.class_shares.1: should be greater than or equal to 1"),
        ("curation.keep_percent", 0, "curation.keep_percent: should be greater than or equal to 1, not 0"),
        ("curation.rank_by", "beauty", "curation.rank_by: should be 'confidence' or 'discriminator', not 'beauty'"),
        ("classifier.label_smoothing", 1.0, "classifier.label_smoothing"),
        ("sweep.settings", {"a": {}, "b": {}}, "sweep: name and settings belong together"),
        ("sweep.name", "tried", "sweep: name and settings belong together"),
        ("sweep.name", "a/b", "sweep.name: String should match pattern"),
        ("sweep.setting", "plain", "sweep.setting is 'plain', none of sweep.settings"),
    ],
)
def test_wrong_params_are_one_line_that_names_the_key(
    tiny_values: dict[str, Any], key: str, value: object, message: str
) -> None:
    """Typos, wrong types, text for numbers, values out of range and contradictions are refused by name."""
    with pytest.raises(UserError) as error:
        parse_params(changed(tiny_values, key, value))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_no_two_sets_share_experiment_and_models(tmp_path: Path) -> None:
    """Own images are called by their folder and where it lies."""
    choices = ["dataset=image_folder", f"path={tmp_path / 'mine'}"]
    called = [
        current_execution(compose_params([*choices[:1], f"path={tmp_path / folder}"])).dataset
        for folder in ("mine", "other/mine", "other/../mine")
    ]
    assert called[0] == called[2] != called[1]
    assert all(title.startswith("mine-") for title in called)
    assert current_execution(compose_params([*choices, "dataset.title=my ants"])).dataset == "my ants"
    assert [compose_params([f"dataset={name}"])["dataset"]["title"] for name in PUBLIC_SETS] == list(PUBLIC_SETS)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("gan.recipe", "r3", "gan.recipe is r3 and synthesize.source folder: choose gan.recipe none"),
        ("curation.rank_by", "discriminator", "curation.rank_by is discriminator, which a folder has not"),
        ("synthesize.path", "~/made", "synthesize: path is '~/made': name your folder in full"),
        ("synthesize.path", "data/synthetic/0", "where the stages write: copy the set elsewhere"),
    ],
)
def test_a_set_has_no_gan(tiny_values: dict[str, Any], key: str, value: object, message: str) -> None:
    """What only a GAN has is refused before anything runs."""
    chosen = {"gan.recipe": "none", "synthesize.source": "folder", "synthesize.path": "/home/me/made, all"}
    for name, choice in chosen.items():
        tiny_values = changed(tiny_values, name, choice)
    assert parse_params(tiny_values).synthesize.path == "/home/me/made, all"
    with pytest.raises(UserError) as error:
        parse_params(changed(tiny_values, key, value))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_image_sizes_are_what_the_origin_of_the_images_allows(tiny_values: dict[str, Any]) -> None:
    """A recipe draws four sizes; a set, or networks of one's own, any multiple of 16 up to 256."""
    recipes = changed(tiny_values, "dataset.image_size", 48)
    with pytest.raises(UserError, match=r"dataset\.image_size is 48, and gan\.recipe r3 draws 16, 32, 64, 128 pixels:"):
        parse_params(recipes)
    assert parse_params(changed(recipes, "gan.networks", "mine:build")).dataset.image_size == 48
    for key, value in {"gan.recipe": "none", "synthesize.source": "folder", "synthesize.path": "/home/me/made"}.items():
        recipes = changed(recipes, key, value)
    assert parse_params(changed(recipes, "dataset.image_size", 256)).dataset.image_size == 256
    with pytest.raises(UserError, match=r"dataset\.image_size: should be less than or equal to 256"):
        parse_params(changed(recipes, "dataset.image_size", 272))


def test_equal_passes_need_a_baseline_of_equal_steps(tiny_values: dict[str, Any]) -> None:
    """With budget real_epochs a mixed cell trains longer than the baseline, at 100 % for ever: `real_only` as long."""
    values = changed(changed(tiny_values, "ablation.budget", "real_epochs"), "ablation.synthetic_percent", [50])
    with pytest.raises(UserError, match="budget real_epochs has no meaning at synthetic_percent 100"):
        parse_params(changed(values, "ablation.synthetic_percent", [50, 100]))
    with pytest.raises(
        UserError, match=r"^params\.yaml: ablation: budget real_epochs needs .*add real_only to controls"
    ):
        parse_params(values)
    assert parse_params(changed(values, "ablation.controls", ["real_only"])).ablation.budget == "real_epochs"


@pytest.mark.parametrize(
    ("key", "values", "message"),
    [
        ("gan.stepz", [1, 2], "gan.stepz is no value of params.yaml that settings may change; did you mean gan.steps?"),
        ("gan.r3", [1, 2], "gan.r3 is no value"),
        ("gan.r3.width.model_fields", [1, 2], "gan.r3.width.model_fields is no value"),
        ("ablation.replicates", [[0, 1], [2, 3]], "ablation.replicates is no value"),
        ("dataset.seed", [0, 1], "dataset.seed is no value"),
        ("profile", ["demo", "cpu"], "profile is no value"),
        ("sweep.name", ["a", "b"], "sweep.name is no value"),
        ("gan.steps", [8], "sweep.settings: name two or more"),
        ("gan.steps", [8, 1.5], "sweep.settings.s1: gan.steps: should be a valid integer"),
        ("gan.steps", [8, True], "sweep.settings.s1: gan.steps: should be a valid integer"),
        ("gan.steps", [8, [9]], "sweep.settings.s1: gan.steps: should be a valid integer"),
        ("gan.recipe", ["r3", "wgan"], "sweep.settings.s1: gan.recipe: should be 'r3'"),
        ("ablation.rivals", [["mixup"], ["luck"]], "sweep.settings.s1: ablation.rivals.0: should be 'mixup'"),
        ("synthesize.latent_std", [1, "8e-1"], "'8e-1' is text to YAML; write 0.8"),
        ("gan.translate", [0, 16], "gan.translate is 16, not below the image size 16"),
    ],
)
def test_every_setting_of_a_sweep_is_checked_before_any_work(
    tiny_values: dict[str, Any], key: str, values: list[object], message: str
) -> None:
    """A key that settings may not change, a value of a wrong type or that contradicts others: one line."""
    with pytest.raises(UserError) as error:
        parse_params(tiny_values | {"sweep": settings_of(key, values)})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def settings_of(key: str, values: list[object]) -> dict[str, object]:
    """A block `sweep` with a setting for each of `values`."""
    settings = {f"s{place}": {key: value} for place, value in enumerate(values)}
    return {"name": "tried", "settings": settings, "setting": ""}


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("dataset.train_size", [50, 100]),
        ("gan.recipe", ["r3", "dcgan"]),
        ("synthesize.latent_std", [1, 0.8]),
        ("curation.drop_near_copies", [True, False]),
        ("ablation.mode", ["add", "replace"]),
        ("ablation.synthetic_percent", [[5, 10], [50]]),
    ],
)
def test_any_value_can_be_swept(tiny_values: dict[str, Any], key: str, values: list[object]) -> None:
    """Sizes, recipes, numbers, switches, the question itself, and lists; of the type that they were."""
    read = parse_params(tiny_values | {"sweep": settings_of(key, values)}).sweep.settings
    assert [(setting[key], type(setting[key])) for setting in read.values()] == [(v, type(v)) for v in values]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["dataset=digits", "profile=demo", "experiment=low_data"], "low_data"),
        (["experiment=where_it_pays"], "where_it_pays"),
    ],
)
def test_the_experiments_compose(words: list[str], name: str) -> None:
    """One line selects them; every setting is valid, and five replicates are what they have in common."""
    params = parse_params(compose_params(words))
    assert params.sweep.name == name
    assert len(params.sweep.settings) >= 3
    assert len(params.ablation.replicates) == 5


def test_a_setting_upon_others_is_read_from_yaml_as_it_was_written(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    """Dotted keys, lists, numbers and text go through params.yaml unchanged."""
    settings = {"a": {"gan.r3.learning_rate": 5.1e-05, "ablation.rivals": ["mixup"], "gan.networks": "0x1"}, "b": {}}
    file = tmp_path / "params.yaml"
    values = tiny_values | {"sweep": {"name": "tried", "settings": settings, "setting": ""}}
    file.write_text(params_text(values, ["dataset=digits"]))
    assert read_yaml(file)["sweep"]["settings"] == settings
    assert read_choices(file) == ["dataset=digits"]


@pytest.mark.parametrize("text", ["- a list", "a: [1", "\x00", ""])
def test_a_file_that_is_no_mapping_is_one_line(tmp_path: Path, text: str) -> None:
    """Broken YAML names the file and keeps to one line."""
    file = tmp_path / "params.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=r"params\.yaml: ") as error:
        read_yaml(file)
    assert "\n" not in str(error.value)


def test_numbers_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    """`2e-05`, as DVC writes 0.00002, is a number, 017 is not octal, and `on` is a word."""
    file = tmp_path / "params.yaml"
    file.write_text("a: [2e-05, 2E4, 017, on, no]")
    assert read_yaml(file) == {"a": [0.00002, 20000.0, 17, "on", "no"]}


@settings(max_examples=60)
@given(st.text(max_size=9) | st.text("0123456789.eE+-_:xo", max_size=9) | st.floats(allow_nan=False) | st.integers())
@example("2e-05")
@example("08")
@example("no")
def test_dvc_reads_what_configure_writes(value: object) -> None:
    """Any text and any number is to DVC, and to readers of YAML 1.1, what it was."""
    from dvc.utils.serialize import parse_yaml

    text = dump_yaml({"a": value, "b": [value]})
    for read in (parse_yaml(text, "params.yaml"), yaml.safe_load(text)):
        assert read == {"a": value, "b": [value]}
        assert type(read["a"]) is type(value)


def test_params_cannot_be_changed(tiny: Params) -> None:
    """Values are read, never written, once they are loaded."""
    with pytest.raises(ValueError, match="frozen"):
        tiny.gan.steps = 3


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with our graph and the demo's params, as the current one."""
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    write_params(Path("params.yaml"), ["dataset=digits", "profile=demo"])
    return tmp_path


@pytest.mark.usefixtures("project")
def test_a_stage_gets_only_what_it_names() -> None:
    """Values that a stage does not name are not there, so it cannot depend on them unseen."""
    params = load_params("gan", "ablation.budget", "ablation.mode")
    assert params.gan.steps > 0
    assert (params.ablation.budget, params.ablation.mode) == ("steps", "add")
    with pytest.raises(AttributeError):
        _ = params.classifier
    with pytest.raises(AttributeError):
        _ = params.ablation.replicates


@pytest.mark.usefixtures("project")
def test_a_stage_may_not_read_what_dvc_does_not_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under DVC, a block that dvc.yaml does not declare for the stage is refused, matrix cells included."""
    monkeypatch.setenv("DVC_STAGE", "train_classifier@50-0")
    assert load_params("classifier", "ablation.mode").ablation.mode == "add"
    with pytest.raises(UserError, match=r"stage train_classifier reads params \['gan'\]"):
        load_params("classifier", "gan")


@pytest.mark.usefixtures("project")
def test_the_whole_file_is_checked_whatever_a_stage_reads() -> None:
    """A typo in the last stage's block stops the first stage."""
    file = Path("params.yaml")
    file.write_text(file.read_text().replace("num_neighbours", "num_neighbors"))
    with pytest.raises(UserError, match=r"assess\.num_neighbors: no such key"):
        load_params("dataset")


@pytest.mark.parametrize("dataset", ["cifar10", "digits", "image_folder dataset.path=x"])
@pytest.mark.parametrize("profile", ["demo", "cpu", "gpu"])
def test_every_profile_fits_every_dataset(dataset: str, profile: str) -> None:
    """All combinations compose into valid params that name their profile."""
    values = compose_params([*f"dataset={dataset}".split(), f"profile={profile}"])
    assert (values["profile"], values["dataset"]["name"]) == (profile, dataset.split()[0])


def test_a_network_brings_its_rate() -> None:
    """`network=resnet18` is the plain network with its own learning rate; the judge of the GAN stays what it is."""
    plain, usual = (compose_params([f"network={name}"]) for name in ("resnet18", "convnet"))
    assert (plain["classifier"]["network"], usual["classifier"]["network"]) == ("resnet18", "convnet")
    assert plain["classifier"]["learning_rate"] < usual["classifier"]["learning_rate"]
    assert plain["gan"] == usual["gan"]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (["dataset=mnist"], "Could not find 'dataset/mnist'"),
        (["gan.stepz=3"], "gan.stepz: no such key; did you mean gan.steps?"),
        (["datset=digits"], "datset: no such key; did you mean dataset?"),
        (["dataset=image_folder"], "path is empty: name your folder"),
        (["gan.steps=many"], "gan.steps: should be a valid integer"),
        (["gan.steps"], "gan.steps"),
    ],
)
@pytest.mark.usefixtures("project")
def test_configure_refuses_in_one_line_and_keeps_the_old_file(choices: list[str], message: str) -> None:
    """Unknown groups, keys and values are named; params.yaml stays as it was."""
    before = Path("params.yaml").read_bytes()
    with pytest.raises(UserError) as error:
        write_params(Path("params.yaml"), choices)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert Path("params.yaml").read_bytes() == before


@pytest.mark.usefixtures("project")
def test_hand_edits_are_noted() -> None:
    """The header says what composed the file, paths with spaces included; edits are listed with both values."""
    file = Path("params.yaml")
    write_params(file, ["dataset=image_folder", "path=my (old) pictures, 2=1", "profile=cpu", "gan.steps=7"])
    assert hand_edits(file) == []
    values = yaml.safe_load(file.read_text())
    assert (values["gan"]["steps"], values["dataset"]["path"]) == (7, "my (old) pictures, 2=1")
    file.write_text(file.read_text().replace("steps: 7", "steps: 8"))
    assert hand_edits(file) == ["gan.steps: 7 → 8"]


def test_composing_twice_gives_equal_bytes(tmp_path: Path) -> None:
    """params.yaml is a function of the choices."""
    for name in ("a", "b"):
        write_params(tmp_path / name, ["profile=gpu"])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_every_value_is_documented() -> None:
    """Each field of each block says what it means."""
    for block in Block.__subclasses__():
        for name, field in block.model_fields.items():
            nested = hasattr(field.annotation, "model_fields")
            assert nested or field.description, f"{block.__name__}.{name} lacks a docstring"


def test_keys_are_completed() -> None:
    """The shell offers groups of conf/ and keys of params.yaml, each once."""
    assert complete_key("gan.ste") == ["gan.steps="]
    assert complete_key("dataset") == ["dataset=", *(f"dataset.{name}=" for name in DatasetParams.model_fields)]


def test_a_home_folder_may_be_written_with_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    """`configure path=~/pictures` means the user's home; params.yaml names it in full."""
    monkeypatch.setenv("HOME", "/home/me")
    composed = compose_params(["dataset=image_folder", "path=~/pictures"])
    assert composed["dataset"]["path"] == "/home/me/pictures"
