"""Labels that are texts: the order of their classes, and their numbers."""

from collections.abc import Collection, Sequence

import numpy as np

from pipeline.images import Indices
from pipeline.runtime.errors import UserError


def order_classes(key: str, origin: str, names: Collection[str]) -> tuple[str, ...]:
    """The classes of what `key` of params names, in the order of their labels: of numbers by size, else of letters.

    Raises:
        UserError: there are not two classes.
    """
    if len(set(names)) < 2:
        raise UserError(f"{key}: {origin} has one class only, {', '.join(names)}: two are the least")
    numeric = all(name.isdecimal() and name.isascii() for name in names)
    return tuple(sorted(set(names), key=(lambda name: (int(name), name)) if numeric else None))


def number_labels(labels: Sequence[str], class_names: Sequence[str]) -> Indices:
    """The place of each label among the class names, which hold it."""
    numbers = {name: number for number, name in enumerate(class_names)}
    return np.array([numbers[label] for label in labels], np.int64)
