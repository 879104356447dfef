"""Reads params.yaml: the whole file is validated whichever block a stage asks for.

So a typo in the last stage's block stops the first stage, not the night's last hour.
"""

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline.params.problems import describe
from pipeline.params.schema import Params
from pipeline.runtime.errors import UserError

PARAMS_FILE = Path("params.yaml")
GRAPH_FILE = Path("dvc.yaml")


def load_params(*keys: str) -> Params:
    """The params named by `keys` (`gan`, `ablation.budget`, …), as declared under the stage's `params:` in dvc.yaml.

    The whole file is validated, but only the named values are handed out: reading another one is an
    AttributeError, so that no stage can use a value whose change would not re-run it.

    Raises:
        UserError: the file is missing or wrong anywhere, or DVC runs a stage that does not declare a key.
    """
    params = load_all_params()
    if stage := os.environ.get("DVC_STAGE"):
        name = stage.split("@")[0]
        if lacking := sorted(set(keys) - declared_params(name)):
            raise UserError(f"{GRAPH_FILE}: stage {name} reads params {lacking}; add them under its `params:`")
    return _only(params, keys)


def load_all_params() -> Params:
    """All values of params.yaml, validated: for what describes a run and is no part of its result."""
    return parse_params(read_yaml(PARAMS_FILE))


def declared_params(stage: str) -> set[str]:
    """What `stage` declares under `params:` in dvc.yaml."""
    return {str(key) for key in read_yaml(GRAPH_FILE)["stages"][stage].get("params", [])}


def _only(params: Params, keys: tuple[str, ...]) -> Params:
    """A copy that lacks every value but those of `keys`."""
    blocks: dict[str, Any] = {}
    for key in keys:
        block, _, field = key.replace("${gan.recipe}", params.gan.recipe).partition(".")  # as DVC resolves it
        value = getattr(params, block)
        blocks[block] = value if not field else blocks.get(block, {}) | {field: getattr(value, field)}
    return Params.model_construct(
        **{
            name: type(getattr(params, name)).model_construct(**value) if isinstance(value, dict) else value
            for name, value in blocks.items()
        }
    )


class _Loader(yaml.SafeLoader):
    """Refuses what PyYAML takes silently: a key that is there twice, and aliases, by which a line becomes gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias, such as *name; write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.YAMLError(f"{twice[0]} is there twice{node.start_mark}")
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Parses a YAML mapping; `2e-4` stays text, as PyYAML reads it, and is refused by the strict types."""
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        raise UserError(
            f"{path}: not found; run in the repository's root, or write it with `synthmix configure`"
        ) from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, the 31st of February, 10,000 digits
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise UserError(f"{path}: not YAML for us: nested too deeply") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected blocks such as `dataset:`, found {type(values).__name__}")
    return values


def parse_params(values: dict[str, Any]) -> Params:
    """Validates `values`.

    Raises:
        UserError: one line that names the wrong keys.
    """
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{PARAMS_FILE}: {describe(error, Params)}") from None
