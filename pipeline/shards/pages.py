"""Headers of a Parquet file's data pages, which pyarrow keeps to itself (parquet-format, `PageHeader`)."""

import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from pipeline.runtime.errors import UserError

LONGEST_HEADER = 512  # bytes; only statistics of whole images, which we do not write, would make it longer
DATA_PAGE = 0  # of enum PageType
PLAIN = 0  # of enum Encoding
PREFIX = 4  # bytes before the definition levels of a page, and before a PLAIN byte array: their length
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 12  # Thrift's compact types

Fields = dict[int, "int | Fields"]
"""Of a Thrift struct by their numbers; what is no number and no struct is passed over."""


class Page(NamedTuple):
    """A page of a column that is not repeated: its values lie in bytes `values` to `stop` of the file."""

    values: int
    stop: int
    num_values: int
    is_plain: bool
    """Whether they follow each other as they are, in a data page of version 1."""


def read_page(file: FileIO, offset: int, where: Path) -> Page:
    """The page whose header lies at `offset`.

    Raises:
        UserError: there is none.
    """
    header = os.pread(file.fileno(), LONGEST_HEADER, offset)
    data = iter(header)
    try:
        fields = _read_struct(data)
        length, about = fields[3], fields.get(5, {})
        assert isinstance(length, int)
        assert isinstance(about, dict)
        num_values = about.get(1, 0)
        assert isinstance(num_values, int)
        assert min(length, num_values) >= 0
    except (StopIteration, RuntimeError, KeyError, ValueError, AssertionError):
        raise UserError(f"{where}: no page of images at byte {offset}; write the shards again") from None
    start = offset + len(header) - len(bytes(data))
    is_plain = (fields.get(1), about.get(2)) == (DATA_PAGE, PLAIN)
    return Page(start + PREFIX + read_length(file, start), start + length, num_values, is_plain)


def read_length(file: FileIO, offset: int) -> int:
    """The number of bytes that PREFIX bytes at `offset` say; 0 where the file has ended."""
    return int.from_bytes(os.pread(file.fileno(), PREFIX, offset), "little")


def _read_struct(data: Iterator[int]) -> Fields:
    """A struct in Thrift's compact protocol: fields, each with its type and its number's distance to the last."""
    fields: Fields = {}
    number = 0
    while head := next(data):
        number = number + (head >> 4) if head >> 4 else _read_number(data)
        kind = head & 15
        if kind == STRUCT:
            fields[number] = _read_struct(data)
        elif kind in (I16, I32, I64):
            fields[number] = _read_number(data)
        elif kind not in (TRUE, FALSE):
            _skip(data, kind)
    return fields


def _read_number(data: Iterator[int]) -> int:
    """Zigzag: 0, -1, 1, -2 … are written as 0, 1, 2, 3."""
    value = _read_varint(data)
    return (value >> 1) ^ -(value & 1)


def _read_varint(data: Iterator[int]) -> int:
    value = shift = 0
    while (byte := next(data)) & 128:
        value, shift = value | (byte & 127) << shift, shift + 7
    return value | byte << shift


def _skip(data: Iterator[int], kind: int) -> None:
    """Passes over a value that says nothing of where images lie.

    Raises:
        ValueError: a type that no page header has.
    """
    sizes = {BYTE: 1, DOUBLE: 8}
    if kind != BINARY and kind not in sizes:
        raise ValueError(kind)
    for _ in range(sizes[kind] if kind in sizes else _read_varint(data)):
        next(data)
