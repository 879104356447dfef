"""A finished tiny project, ways to spoil its files, and what a stage says of them."""

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import __main__ as synthmix
from pipeline.params.compose import write_params
from pipeline.params.load import load_all_params
from pipeline.runtime.entry import run_command
from pipeline.runtime.errors import UserError
from stages import (
    assess,
    collect,
    evaluate,
    prepare,
    synthesize,
    train_baseline,
    train_classifier,
    train_control,
    train_gan,
)
from tests.evaluation_files import write_inputs
from tests.project import TINY

Spoil = Callable[[], object]
"""Damages files of the working folder."""
Work = str | Callable[[], object]
"""What must refuse them: a reader, a stage by its name, or the arguments of `synthmix`."""
Check = Callable[..., None]
"""`check_refusal`, with the fixtures that it needs."""

STAGES = {
    module.__name__.split(".")[1]: module
    for module in (
        assess,
        collect,
        evaluate,
        prepare,
        synthesize,
        train_baseline,
        train_classifier,
        train_control,
        train_gan,
    )
}
REPLICATE = "--prepared data/prepared/0 --test data/prepared/test --replicate 0 --results results"
FLAGS = {
    "prepare": "--out data/prepared",
    "train_gan": "--train data/prepared/0/train --select data/prepared/0/select --replicate 0 --out models/gan/0 "
    "--history results/h.csv --samples results/s.png --evolution results/e.png",
    "synthesize": "--generator models/gan/0 --dataset data/prepared/0/dataset.json --replicate 0 "
    "--out data/synthetic/0",
    "train_baseline": f"{REPLICATE} --real-percent 100 --out models/train_baseline/100-0",
    "train_control": f"{REPLICATE} --control placebo --synthetic-percent 50 --out models/train_control/placebo-50-0",
    "assess": "--train data/prepared/0/train --select data/prepared/0/select --synthetic data/synthetic/0/data "
    "--generator models/gan/0 --judge models/train_baseline/100-0 --replicate 0 --out data/scores/0 "
    "--metrics results/assess/0.json",
    "train_classifier": f"{REPLICATE} --synthetic data/synthetic/0/data --scores data/scores/0 --synthetic-percent 50 "
    "--out models/train_classifier/50-0",
    "collect": "--results results --models models --scores data/scores --out data/collected",
    "evaluate": "--results in/results --collected in/data/collected --prepared in/data/prepared --out results",
}


def build(folder: Path) -> None:
    """Runs the stages up to one mixed cell in `folder`, and lays what evaluate reads below `in`."""
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PIPELINE_TRACKING", "off")
        patch.setenv("PIPELINE_DEVICE", "cpu")
        write_params(Path("params.yaml"), [*TINY, "dataset.train_size=40", "dataset.val_size=20",
                                           "dataset.test_size=20", "synthesize.num_images=40"])  # fmt: skip
        for stage in ("prepare", "train_gan", "synthesize", "train_baseline", "assess", "train_classifier"):
            code = run(stage, patch)
            assert code == 0, (stage, code)
        write_inputs(Path("in"), load_all_params(), lambda percent: 0.0, tuple("0123456789"))


def run(command: str, patch: pytest.MonkeyPatch) -> int:
    """Exit code of a stage by its name, or of `synthmix COMMAND`, run in this process in the working folder."""
    stage = STAGES.get(command)
    patch.setattr(sys, "argv", [f"stages/{command}.py", *FLAGS[command].split()] if stage else ["", *command.split()])
    try:
        run_command(stage.main) if stage else synthmix.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def digest(folder: Path) -> str:
    """sha256 over every path, link and content below `folder`."""
    hasher = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        hasher.update(os.fsencode(path.relative_to(folder)) + b"\0")
        hasher.update(os.fsencode(path.readlink()) if path.is_symlink() else b"")
        hasher.update(path.read_bytes() if path.is_file() else b"")
    return hasher.hexdigest()


def check_refusal(patch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], work: Work, *told: str) -> None:
    """`work` ends in one line that holds all of `told`, a stage or command with exit code 2; no file has changed."""
    capfd.readouterr()
    before = digest(Path.cwd())
    if isinstance(work, str):
        code, written = run(work, patch), capfd.readouterr().err
        *bars, said = written.removesuffix("\n").split("\n")
        assert all(re.fullmatch(r"judge: [\d.]+ % on val", bar) for bar in bars), written  # the GAN's, trained before
        assert (code, said[:7]) == (2, "error: "), written
    else:
        with pytest.raises(UserError) as refused:
            work()
        said = str(refused.value)
    assert said.isprintable(), said
    assert all(part in said for part in told), said
    assert digest(Path.cwd()) == before


def changed(values: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    """A deep copy of `values` with one dotted key set, or removed where `value` is Ellipsis."""
    result = deepcopy(values)
    *path, last = key.split(".")
    block = result
    for part in path:
        block = block[part]
    if value is ...:
        del block[last]
    else:
        block[last] = value
    return result


def set_param(key: str, value: object) -> None:
    """Writes a value into params.yaml; Ellipsis removes the key."""
    values = changed(yaml.safe_load(Path("params.yaml").read_text()), key, value)
    Path("params.yaml").write_text(yaml.safe_dump(values, allow_unicode=True))


def change_json(file: str, **values: Any) -> None:
    """Sets keys of a JSON file; Ellipsis removes one."""
    content = json.loads(Path(file).read_text()) | values
    Path(file).write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))


def flip_byte(file: str, place: float) -> None:
    """Turns the bits of the byte at this share of the file."""
    data = bytearray(Path(file).read_bytes())
    data[int(place * len(data))] ^= 255
    Path(file).write_bytes(data)


def cut(file: str, share: float) -> None:
    """Keeps this share of a file."""
    data = Path(file).read_bytes()
    Path(file).write_bytes(data[: int(share * len(data))])


def make_folder(file: str) -> None:
    """A folder where a file should be."""
    Path(file).unlink()
    Path(file).mkdir()


def link_to_itself(file: str) -> None:
    """A link that leads nowhere, for ever."""
    Path(file).unlink()
    Path(file).symlink_to(Path(file).name)


def set_params(**values: object) -> None:
    """Several of them; `__` stands for the dot."""
    for key, value in values.items():
        set_param(key.replace("__", "."), value)
