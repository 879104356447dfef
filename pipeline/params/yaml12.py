"""YAML 1.2, by the library with which DVC reads and writes params.yaml: both must see the same values.

YAML 1.1, PyYAML's, has other numbers and switches: there `2e-05`, as DVC writes 0.00002, is text, `017` is 15, and
`on` is true.
"""

from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node

__all__ = ["YAMLError", "dump_yaml", "parse_yaml"]


def parse_yaml(text: str) -> Any:
    """The values in `text`.

    Raises:
        YAMLError: it is not YAML, or holds a key twice, an alias, or a tag of Python's.
        ValueError: a date or number that Python cannot hold.
        RecursionError: it is nested too deeply.
    """
    reader = YAML(typ="safe", pure=True)
    reader.Composer, reader.Constructor = _Composer, _Constructor
    return reader.load(text)


def dump_yaml(values: dict[str, Any]) -> str:
    """`values` as text: a key a line, for diffs, and lists on one line, for the eye.

    Numbers have the form that YAML 1.1 and 1.2 share; text that either takes for something else is quoted.
    """
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, default_flow_style=False)


class _Composer(Composer):
    """Refuses aliases, by which a line becomes gigabytes."""

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        if self.parser.check_event(AliasEvent):
            raise YAMLError("an alias, such as *name; write the value out")
        node: Node | None = super().compose_node(parent, index)
        return node


class _Constructor(SafeConstructor):
    """Says of a key that is there twice only where."""

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise YAMLError(f"{twice} is there twice, {node.start_mark}")
        values: dict[Any, Any] = super().construct_mapping(node, deep)
        return values


class _Dumper(yaml.SafeDumper):
    """Block style, but for lists."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if _reads_as_text(text) else "'")


def _reads_as_text(text: str) -> bool:
    """Whether `text` without quotes is itself; where it is no plain scalar, the dumper quotes it anyway."""
    try:
        return bool(parse_yaml(text) == text)
    except (YAMLError, ValueError, RecursionError):
        return False


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(
    list, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)
)
