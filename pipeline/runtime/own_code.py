"""Functions of the user's that params name as `module:function`."""

import importlib
from collections.abc import Callable
from typing import Any

from pipeline.runtime.errors import UserError


def find_function(name: str, key: str) -> Callable[..., Any]:
    """The function that `name` means, imported from the repository's root or from what is installed.

    Args:
        name: `module:function`.
        key: of params.yaml, that says so.

    Raises:
        UserError: the module or the function is not there.
    """
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, SyntaxError, ValueError) as error:
        raise UserError(f"params.yaml: {key} is '{name}': {error}; write it as module:function") from None
    if not callable(found):
        raise UserError(f"params.yaml: {key} is '{name}', which is no function")
    chosen: Callable[..., Any] = found
    return chosen
