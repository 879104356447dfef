"""Wrong params in words: the key, what is wrong with it, what to write or what was meant."""

import reprlib
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails


def describe(error: ValidationError, block: type[BaseModel], *, most: int = 5) -> str:
    """The first problems of values that are no `block`, on one line."""
    keys = list(dotted_keys(block))
    return "; ".join(_describe_one(item, keys) for item in error.errors(include_url=False)[:most])


def dotted_keys(block: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key of `block` and of the blocks in it: `gan`, `gan.steps`, and so on."""
    for name, field in block.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from dotted_keys(field.annotation, f"{prefix}{name}.")


def suggest(word: str, known: Iterable[str]) -> str:
    """What was meant by `word`, as the end of a message; empty where nothing known is like it."""
    like = get_close_matches(word, list(known), n=1, cutoff=0.7)
    return f"; did you mean {like[0]}?" if like else ""


def _describe_one(item: ErrorDetails, keys: list[str]) -> str:
    key = ".".join(map(str, item["loc"])) or "params"
    message = item["msg"].removeprefix("Value error, ").replace("Input should", "should")
    value = item.get("input")
    if item["type"] == "extra_forbidden":
        return f"{key}: no such key{suggest(key, keys)}"
    if item["type"] == "missing":
        return f"{key}: missing"
    if item["type"] == "value_error":
        return f"{key}: {message}"
    if item["type"] == "int_type" and isinstance(value, float) and value.is_integer():
        return f"{key}: {value} is no whole number to YAML; write {int(value)}"
    if isinstance(value, str) and len(value) < 40 and _is_number(value):
        return f"{key}: '{value}' is text to YAML; write {yaml.safe_dump(float(value)).split()[0]}"
    return f"{key}: {message}" if ", not " in message else f"{key}: {message}, not {reprlib.repr(value)}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
