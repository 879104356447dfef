"""Anybody's Parquet files of encoded images and labels, as Hugging Face `datasets` lays them out."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.files import parse_json
from pipeline.runtime.errors import UserError
from pipeline.shards.schema import FEATURES_KEY

IMAGE_COLUMNS, LABEL_COLUMNS = ("image", "img"), ("label", "labels", "class")


class Columns(NamedTuple):
    """Where a file holds what."""

    image: str
    """A struct with the field `bytes`, or encoded bytes themselves."""
    label: str
    """Text, or integers."""
    class_names: tuple[str, ...]
    """Those of the integers, from the metadata; empty where it names none."""


class Group(NamedTuple):
    """A row group of a file."""

    file: Path
    number: int
    first_row: int
    """Of the file."""
    rows: int


class EncodedImages:
    """The rows of several files, one after the other; a row group is in memory at a time.

    Raises:
        UserError: a file is no Parquet file, or lacks images or labels.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._columns = {file: _find_columns(file) for file in files}
        self._groups = [group for file in files for group in _row_groups(file)]
        self._starts = np.cumsum([0, *(group.rows for group in self._groups)], dtype=np.int64)
        self._read = lru_cache(maxsize=1)(_read_group)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def name(self, row: int) -> str:
        """File and row, as messages name them."""
        group, offset = self._find(row)
        return f"{group.file}: row {group.first_row + offset}"

    def open(self, row: int) -> io.BytesIO:
        """The encoded image of a row; of no bytes where the row has none."""
        group, offset = self._find(row)
        value = self._read(group, self._columns[group.file].image)[offset].as_py()
        return io.BytesIO((value["bytes"] if isinstance(value, dict) else value) or b"")

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that the metadata of the first file names."""
        return next(iter(self._columns.values())).class_names

    def labels(self) -> list[str]:
        """The class of every row, by its name, or its number where it has none.

        Raises:
            UserError: a row has no class.
        """
        return [label for file, columns in self._columns.items() for label in _read_labels(file, columns)]

    def _find(self, row: int) -> tuple[Group, int]:
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._groups[number], row - int(self._starts[number])


def _find_columns(file: Path) -> Columns:
    with _errors(file):
        schema = pq.read_schema(file)
    image, label = _first(schema, IMAGE_COLUMNS, file), _first(schema, LABEL_COLUMNS, file)
    kind = schema.field(image).type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)):
        raise UserError(f"{file}: column {image} is {kind}: expected encoded images, as struct<bytes, path> or binary")
    return Columns(image, label, _class_names(schema, label))


def _first(schema: pa.Schema, names: Sequence[str], file: Path) -> str:
    found = [name for name in names if schema.get_field_index(name) >= 0]
    if not found:
        raise UserError(f"{file}: has no column {' or '.join(names)} (it has {', '.join(schema.names)}): rename one")
    return found[0]


def _class_names(schema: pa.Schema, label: str) -> tuple[str, ...]:
    try:
        names = parse_json((schema.metadata or {})[FEATURES_KEY])["info"]["features"][label]["names"]
    except (KeyError, TypeError, ValueError):
        return ()
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()


def _row_groups(file: Path) -> list[Group]:
    with _errors(file), pq.ParquetFile(file) as opened:
        sizes = [opened.metadata.row_group(number).num_rows for number in range(opened.num_row_groups)]
    firsts = np.cumsum([0, *sizes]).tolist()
    return [Group(file, number, firsts[number], size) for number, size in enumerate(sizes)]


def _read_group(group: Group, column: str) -> pa.ChunkedArray:
    with _errors(group.file), pq.ParquetFile(group.file, memory_map=True) as opened:
        return opened.read_row_group(group.number, columns=[column], use_threads=False).column(column)


def _read_labels(file: Path, columns: Columns) -> list[str]:
    with _errors(file):
        values = pq.read_table(file, columns=[columns.label], use_threads=False).column(0).to_pylist()
    return [_class_of(value, columns.class_names, f"{file}: row {row}") for row, value in enumerate(values)]


def _class_of(value: object, class_names: tuple[str, ...], where: str) -> str:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and 0 <= value < (len(class_names) or 10**9):
        return class_names[value] if class_names else str(value)
    raise UserError(f"{where}: its label is {value}, which names no class: remove the row, or label it")


@contextmanager
def _errors(file: Path) -> Iterator[None]:
    """Turns what pyarrow finds wrong with a file into a UserError that names it."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: not a readable Parquet file ({' '.join(str(error).split())})") from None
