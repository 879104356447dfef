"""params.yaml that is wrong in type, range, key or sense, or asks for more than a machine has."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation.grid import read_grid
from pipeline.params.load import load_all_params, parse_params, read_yaml
from pipeline.params.schema import Params
from pipeline.runtime import resources
from pipeline.runtime.errors import UserError
from tests.bad_files import Check, Spoil, Work, change_json, changed, make_folder, set_param, set_params

PARAMS = Path("params.yaml")


def write(text: str | bytes) -> None:
    """Replaces params.yaml."""
    PARAMS.write_bytes(text if isinstance(text, bytes) else text.encode())


def append(text: str) -> None:
    """Adds lines to params.yaml."""
    PARAMS.write_text(PARAMS.read_text() + text)


def laughs() -> None:
    """A kilobyte of YAML that means gigabytes."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    write("\n".join(lines))


def read_cells() -> None:
    """As evaluate does."""
    read_grid(load_all_params(), Path("in/results/cells"))


CASES: dict[str, tuple[Work, Spoil, tuple[str, ...]]] = {
    "file: missing": (load_all_params, PARAMS.unlink, ("params.yaml: not found", "synthmix configure")),
    "file: a folder": (load_all_params, lambda: make_folder("params.yaml"), ("params.yaml: cannot be read",)),
    "file: empty": (load_all_params, lambda: write(""), ("params.yaml: expected blocks",)),
    "file: a list": (load_all_params, lambda: write("- 1"), ("params.yaml: expected blocks",)),
    "file: broken": (load_all_params, lambda: write("a: [1"), ("params.yaml: not YAML",)),
    "file: binary": (load_all_params, lambda: write(b"\xff\xfe\x00"), ("params.yaml: not YAML",)),
    "file: code": (
        load_all_params, lambda: write("a: !!python/object/apply:os.system ['true']"), ("params.yaml: not YAML",)),
    "file: laughs": (load_all_params, laughs, ("params.yaml: not YAML", "alias")),
    "file: nested": (load_all_params, lambda: write("[" * 20_000), ("params.yaml: not YAML",)),
    "file: a number of 10,000 digits": (
        load_all_params, lambda: write("a: " + "9" * 10_000), ("params.yaml: not YAML",)),
    "file: the 31st of February": (load_all_params, lambda: write("a: 2024-02-31"), ("params.yaml: not YAML",)),
    "file: a key twice": (
        load_all_params, lambda: append("profile: other\n"), ("params.yaml", "profile is there twice")),
    "file: keys are numbers": (load_all_params, lambda: append("1: 2\n"), ("params.yaml",)),
    "key: unknown": (load_all_params, lambda: set_param("gan.stepz", 5), ("gan.stepz: no such key",)),
    "key: control characters": (load_all_params, lambda: set_param("gan.\x1b[31m\nx", 5), ("no such key", "\\x1b")),
    "key: missing": (load_all_params, lambda: set_param("classifier.width", ...), ("classifier.width: missing",)),
    "type: text": (load_all_params, lambda: set_param("gan.steps", "many"), ("gan.steps", "'many'")),
    "type: a fraction": (load_all_params, lambda: set_param("gan.steps", 1.5), ("gan.steps",)),
    "type: a list of megabytes": (
        load_all_params, lambda: set_param("gan.steps", ["x" * 10_000] * 100), ("gan.steps",)),
    "range: 10^12 steps": (load_all_params, lambda: set_param("gan.steps", 10**12), ("gan.steps", "1000000000")),
    "range: 10^12 images": (load_all_params, lambda: set_param("synthesize.num_images", 10**12), ("num_images",)),
    "range: 10^12 channels": (load_all_params, lambda: set_param("gan.r3.width", 10**12), ("gan.r3.width", "65536")),
    "range: 10^12 real images": (
        load_all_params, lambda: set_param("dataset.train_size", 10**12), ("dataset.train_size",)),
    "range: z far out": (load_all_params, lambda: set_param("synthesize.latent_std", 1e300), ("latent_std",)),
    "range: infinite rate": (
        load_all_params, lambda: set_param("gan.r3.learning_rate", float("inf")), ("learning_rate",)),
    "sense: a percent that is no synthetic one": (
        load_all_params, lambda: set_param("ablation.synthetic_percent", [0, 50]), ("ablation.synthetic_percent.0",)),
    "sense: more than all": (
        load_all_params, lambda: set_param("ablation.synthetic_percent", [50, 101]), ("synthetic_percent.1",)),
    "sense: a percent twice": (
        load_all_params, lambda: set_param("ablation.synthetic_percent", [50, 50]), ("synthetic_percent", "twice")),
    "sense: no baseline": (load_all_params, lambda: set_param("ablation.real_percent", [50]), ("lacks 100",)),
    "sense: shares and a factor": (
        load_all_params, lambda: set_params(dataset__class_shares=[2.0] * 10, dataset__imbalance_factor=10.0),
        ("class_shares and imbalance_factor are both given",)),
    "sense: shares without classes": (
        load_all_params, lambda: set_param("synthesize.class_balance", "shares"), ("class_shares",)),
    "sense: shares of other classes": (
        "synthesize", lambda: set_params(synthesize__class_balance="shares", synthesize__class_shares=[1, 2]),
        ("2 numbers for 10 classes",)),
    "sense: fewer images than classes": (
        "synthesize", lambda: set_param("synthesize.num_images", 5), ("synthesize.num_images is 5",)),
    "sense: fewer real images than classes": (
        "prepare", lambda: set_param("dataset.val_size", 5), ("dataset.val_size is 5", "10 classes")),
    "sense: more real images than there are": (
        "prepare", lambda: set_param("dataset.train_size", 10**9), ("class '", "train 100000000", "lower dataset")),
    "sense: more test images than there are": (
        "prepare", lambda: set_param("dataset.test_size", 10**9), ("class '", "test 100000000", "lower dataset")),
    "sense: more of the learning curve": (
        "prepare", lambda: set_params(ablation__real_percent=[100, 1000], dataset__train_size=500),
        ("ablation.real_percent [1000]", "name at most")),
    "sense: own networks that are not there": (
        "train_gan", lambda: set_param("gan.networks", "no_such_module:build"), ("gan.networks", "module:function")),
    "room: 10^9 synthetic images": (
        "synthesize", lambda: set_param("synthesize.num_images", 10**9),
        ("synthesize.num_images 1000000000", "needs 3", "GB of disk space", "are free", "lower it")),
    "room: 10^9 images a batch": (
        "train_gan", lambda: set_param("gan.batch_size", 10**9), ("gan.batch_size", "TB of memory", "are free")),
    "room: 10^9 images of a small CAS": (
        "train_gan", lambda: set_param("gan.health.cas_images", 10**9), ("cas_images", "of memory", "are free")),
    "room: a wide generator": (
        "train_gan", lambda: set_param("gan.r3.width", 65536), ("gan.r3.width 65536", "of memory", "are free")),
    "room: long latents": (
        "train_gan", lambda: set_params(gan__r3__width=16384, gan__r3__latent_dim=65536),
        ("latent_dim 65536", "of memory", "are free")),
    "room: a wide judge": (
        "train_gan", lambda: set_param("gan.judge.width", 65536), ("width 65536", "of memory", "are free")),
    "room: a wide classifier": (
        "train_baseline", lambda: set_param("classifier.width", 65536), ("width 65536", "of memory", "are free")),
    "room: 10^9 images a batch of a cell": (
        "train_classifier", lambda: set_param("classifier.batch_size", 10**9), ("batch_size", "of memory", "are free")),
    "profile: cells of another": (
        read_cells, lambda: set_param("dataset.train_size", 50),
        ("in/results/cells/train_baseline", "num_real", "dvc repro train_baseline@")),
    "profile: cells of another mode": (
        read_cells, lambda: set_param("ablation.mode", "replace"), ("in/results/cells/train_classifier", "mode")),
    "profile: cells of another grid": (
        read_cells, lambda: set_param("ablation.replicates", [0, 1, 7]), ("in/results/cells lacks", "run: ")),
    "profile: cells of other steps": (
        read_cells, lambda: set_param("classifier.steps", 77), ("in/results/cells", "steps", "dvc repro")),
    "profile: generator of another": (
        "synthesize", lambda: change_json("data/prepared/0/dataset.json", class_names=["cat", "dog"]), ("dvc repro",)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_params_are_one_line(
    case: str, workdir: Path, monkeypatch: pytest.MonkeyPatch, check_refusal: Check
) -> None:
    """Typos, types, ranges, contradictions, sizes beyond the machine, another profile's files: one line, exit 2."""
    work, damage, told = CASES[case]
    monkeypatch.setattr(resources, "available_memory", lambda: 8 * 10**9)
    monkeypatch.setattr(resources, "free_bytes", lambda folder: 10**11)
    damage()
    check_refusal(work, *told)


def test_memory_and_disk_are_measured() -> None:
    """What is free is a number of this machine, limits of the process included."""
    assert 10**6 < resources.available_memory() < 10**14
    resources.need_memory(1, "nothing", "be glad")
    resources.need_disk(1, Path("/none/of/these"), "nothing", "be glad")
    with pytest.raises(UserError, match=r"x: needs 9.223 EB of disk space at least, .*B are free: .*lower it$"):
        resources.need_disk(2**63, Path("/none/of/these"), "x", "lower it")


# ---- any bytes, any values ----------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3)

                             | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
        max_leaves=8)  # fmt: skip


def keys_of(values: dict[str, Any], prefix: str = "") -> list[str]:
    """Every dotted key."""
    below = [keys_of(value, f"{prefix}{key}.") for key, value in values.items() if isinstance(value, dict)]
    return [f"{prefix}{key}" for key in values] + [key for keys in below for key in keys]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_value_under_any_key_is_params_or_one_line(data: st.DataObject, tiny_values: dict[str, Any]) -> None:
    """Whatever stands under a key: typed params that hold that very value, or one line."""
    key, value = data.draw(st.sampled_from(keys_of(tiny_values))), data.draw(VALUES)
    try:
        params: Any = parse_params(changed(tiny_values, key, value))
    except UserError as error:
        assert len(str(error)) < 2000  # noqa: PT017 (params are an answer too)
        return
    assert isinstance(params, Params)
    dumped: Any = params.model_dump()
    for part in key.split("."):
        dumped = dumped[part]
    assert dumped == value


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_damage_to_the_file_is_params_or_one_line(
    data: st.DataObject, tiny_values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Bytes changed, cut out or put in anywhere in params.yaml: values or one line."""
    text = bytearray(yaml.safe_dump(tiny_values).encode())
    place, size = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 30))
    text[place : place + size] = data.draw(st.binary(max_size=20))
    file = tmp_path_factory.getbasetemp() / "params.yaml"
    file.write_bytes(text)
    try:
        parse_params(read_yaml(file))
    except UserError as error:
        assert str(error).isprintable()  # noqa: PT017 (params are an answer too)
