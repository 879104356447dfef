"""Composes conf/ into params.yaml.

`synthmix configure dataset=cifar10 profile=cpu gan.steps=6000` picks a data set and a profile and sets
one value. The first line of params.yaml says what it was composed from. Edit the file by hand or with
`dvc exp run -S` as you like: that is noted (`--check`), not refused.
"""

import hashlib
import os
import re
import shlex
from pathlib import Path
from typing import Any

import typer
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.params.graph import fit_graph
from pipeline.params.load import GRAPH_FILE, PARAMS_FILE, load_all_params, parse_params, read_yaml
from pipeline.params.problems import dotted_keys, suggest
from pipeline.params.schema import Params
from pipeline.params.yaml12 import dump_yaml
from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.dvc import refuse_concurrent_dvc
from pipeline.runtime.errors import UserError

CONF = Path(__file__).resolve().parents[2] / "conf"
PATH_KEYS = {  # and where they belong
    "path": ("dataset", "path"),
    "dataset.path": ("dataset", "path"),
    "synthesize.path": ("synthesize", "path"),
    "gan.init_from": ("gan", "init_from"),
}
HEADER = "# composed by: synthmix configure"


def replace_params(choices: list[str]) -> None:
    """Writes params.yaml, and in dvc.yaml which stages there are; names the hand edits that this replaces.

    Raises:
        UserError: a dvc is at work here: its next stage would read other values than DVC notes for it.
    """
    refuse_concurrent_dvc(str(PARAMS_FILE))
    try:
        edits = hand_edits(PARAMS_FILE) if PARAMS_FILE.exists() else []
    except UserError as error:  # a broken file is what this command repairs
        edits = [str(error)]
    write_params(PARAMS_FILE, choices)
    if GRAPH_FILE.exists():
        fit_graph(GRAPH_FILE, load_all_params())
    if edits:
        typer.echo(
            "note: replaced what was edited by hand, or has changed in conf/ since: " + "; ".join(edits),
            err=True,
        )
    typer.echo(f"{PARAMS_FILE}: {shlex.join(choices) or 'the defaults of conf/'}")


def compose_params(choices: list[str]) -> dict[str, Any]:
    """The values that `choices` select, validated.

    Raises:
        UserError: an unknown group, key or value; the line names it.
    """
    pairs = [choice.partition("=") for choice in choices]
    # Past Hydra, which would read = , ( and ~ as syntax; DVC and git know no ~.
    paths = {PATH_KEYS[key]: value for key, equals, value in pairs if key in PATH_KEYS and equals}
    overrides = [choice for choice, (key, _, _) in zip(choices, pairs, strict=True) if key not in PATH_KEYS]
    _refuse_unknown_keys(overrides)
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            composed = OmegaConf.to_container(compose("config", overrides=overrides), resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(f"configure {shlex.join(choices)}: {_first_words(error)}") from None
    assert isinstance(composed, dict)
    values = {str(key): value for key, value in composed.items()}
    for (block, key), path in paths.items():
        values[block][key] = os.path.expanduser(path)  # noqa: PTH111 - Path's own raises where there is no such user
    own = values["dataset"]
    own["title"] = own["title"] or title_of(own["path"])
    return parse_params(values).model_dump()  # in the order of the declarations


def title_of(path: str) -> str:
    """What one's own images at `path` are called: by their folder or file, and four digits for where it lies."""
    whole = os.path.realpath(path)
    name = re.sub(r"[^A-Za-z0-9_]+", "-", Path(whole).stem).strip("-") or "images"
    return f"{name}-{hashlib.sha256(os.fsencode(whole)).hexdigest()[:4]}"


def write_params(file: Path, choices: list[str]) -> None:
    """Composes and writes `file` atomically; on an error the old file stays."""
    write_bytes(file, params_text(compose_params(choices), choices).encode())


def params_text(values: dict[str, Any], choices: list[str]) -> str:
    """`values` as a params.yaml whose header says that they were composed from `choices`."""
    return f"{HEADER} {shlex.join(choices)}".rstrip() + f"\n{dump_yaml(values)}"


def read_choices(file: Path) -> list[str]:
    """What the header of `file` says that it was composed from; empty where it says nothing."""
    header = file.read_text(encoding="utf-8").split("\n", 1)[0]
    return shlex.split(header[len(HEADER) :]) if header.startswith(HEADER) else []


def hand_edits(file: Path) -> list[str]:
    """Differences `key: composed → now` between `file` and what its header composes; empty if there are none."""
    now = _flatten(read_yaml(file))
    header = file.read_text(encoding="utf-8").split("\n", 1)[0]
    if not header.startswith(HEADER):
        return [f"{file}: no header of configure; written by hand"]
    try:
        composed = _flatten(compose_params(shlex.split(header[len(HEADER) :])))
    except ValueError:  # a UserError, or quotes that do not close
        return [f"{file}: its header does not compose any more"]
    return [
        f"{key}: {composed.get(key, 'absent')} → {now.get(key, 'absent')}"
        for key in sorted(composed | now)
        if composed.get(key) != now.get(key)
    ]


def known_keys() -> list[str]:
    """What may stand before the = of a choice: groups of conf/ and keys of params.yaml."""
    groups = sorted(folder.name for folder in CONF.iterdir() if folder.is_dir())
    return list(dict.fromkeys([*groups, *dotted_keys(Params)]))


def _refuse_unknown_keys(overrides: list[str]) -> None:
    """Raises UserError for the first override of what is not there."""
    known = known_keys()
    for override in overrides:
        key = override.partition("=")[0].lstrip("+~")
        if key not in known:
            raise UserError(f"configure: {key}: no such key{suggest(key, known)}")


def _first_words(error: Exception) -> str:
    """What Hydra found wrong, without its advice for users of Hydra."""
    text = " ".join(str(error).split())
    for advice in ("Config search path", "To append to your config", "See https"):
        text = text.split(advice)[0]
    return text.strip()


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
