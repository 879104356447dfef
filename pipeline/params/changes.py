"""What a setting of a sweep changes: values and lists by their dotted keys."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from pydantic import BaseModel


def is_swept(params: BaseModel, key: str) -> bool:
    """Whether a setting may change what `params` has at the dotted `key`: a value or a list, but no replicates.

    Those are what varies the draws, and pair the cells of a setting.
    """
    value: Any = params
    for part in key.split("."):
        value = getattr(value, part) if part in getattr(type(value), "model_fields", {}) else None
    fixed = key in ("profile", "dataset.seed", "ablation.replicates") or key.startswith("sweep.")
    return isinstance(value, bool | int | float | str | list) and not fixed


def with_changes(values: dict[str, Any], changes: Mapping[str, object]) -> dict[str, Any]:
    """A copy of nested `values` with others at some dotted keys."""
    values = deepcopy(values)
    for key, value in changes.items():
        *blocks, field = key.split(".")
        block = values
        for name in blocks:
            block = block[name]
        block[field] = value
    return values
