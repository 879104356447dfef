"""Reads params.yaml: the whole file is validated whichever block a stage asks for.

So a typo in the last stage's block stops the first stage, not the night's last hour.
"""

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.params.graph import check_graph
from pipeline.params.problems import describe
from pipeline.params.schema import Params
from pipeline.params.yaml12 import YAMLError, parse_yaml
from pipeline.runtime.errors import UserError

PARAMS_FILE = Path("params.yaml")
GRAPH_FILE = Path("dvc.yaml")


def load_params(*keys: str) -> Params:
    """The params named by `keys` (`gan`, `ablation.budget`, …), as declared under the stage's `params:` in dvc.yaml.

    The whole file is validated, but only the named values are handed out: reading another one is an
    AttributeError, so that no stage can use a value whose change would not re-run it.

    Raises:
        UserError: the file is missing or wrong anywhere, or DVC runs a stage that does not declare a key, or has not
            the stages that the params need.
    """
    params = load_all_params()
    if stage := os.environ.get("DVC_STAGE"):
        name = stage.split("@")[0]
        if lacking := sorted(set(keys) - declared_params(name)):
            raise UserError(f"{GRAPH_FILE}: stage {name} reads params {lacking}; add them under its `params:`")
        check_graph(GRAPH_FILE, params)
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


def read_yaml(path: Path) -> dict[str, Any]:
    """The YAML mapping in a file, as DVC reads it; every way in which it can be none is a UserError."""
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: not found; run in the repository's root, or write it with `synthmix configure`"
        ) from None
    except (YAMLError, ValueError) as error:  # ValueError: not UTF-8, the 31st of February, 10,000 digits
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
