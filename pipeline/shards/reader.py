"""Read shards of labelled images: ours by strided copies, what others encoded again by a decoder."""

import errno
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.images import ImageSet, Indices, LabelledImages, Pixels
from pipeline.runtime.errors import ExhaustedError, UserError
from pipeline.runtime.resources import available_memory, in_words, need_memory
from pipeline.shards.png import Shape, decode_png, read_shape
from pipeline.shards.schema import (
    ROW_GROUP_ROWS,
    SHARD_NAME,
    read_class_names,
    shard_name,
    stored_shape,
)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text, as we write it or as polars does."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


COLUMN_TYPES = dict.fromkeys(("label", "index", "seed"), pa.types.is_integer) | {"generator": is_text}
RESTORE = "restore it (`dvc checkout`) or write the shards again"


@dataclass(frozen=True)
class Header:
    """What a shard says of itself: rows, class names, and height, width, channels of its images."""

    rows: int
    class_names: tuple[str, ...]
    shape: Shape


def read_images(folder: Path) -> LabelledImages:
    """All images of the one split in `folder`, in the order of its shards.

    Raises:
        UserError: a shard is missing, unreadable, or unlike the first one; names the file and the row.
    """
    return read_files(shard_files(folder))


def read_alike(*folders: Path) -> list[LabelledImages]:
    """The images of several splits of one data set; none is empty.

    Raises:
        UserError: as `read_images` does, or a folder is empty or unlike the first one.
    """
    splits = [read_images(folder) for folder in folders]
    check_alike(folders, splits)
    return splits


def check_alike(folders: Sequence[Path], splits: Sequence[ImageSet]) -> None:
    """Refuses splits that are empty, or not of one data set; `folders` are where they lie."""
    first = splits[0]
    for folder, images in zip(folders, splits, strict=True):
        if not len(images):
            raise UserError(f"{folder}: holds no image; {RESTORE}")
        if (images.class_names, images.images.shape[1:]) != (first.class_names, first.images.shape[1:]):
            raise UserError(f"{folder}: its classes or image size differ from those of {folders[0]}; run: dvc repro")


def read_column(folder: Path, name: str) -> NDArray[Any]:
    """One of the columns label, index, seed (int64) and generator (text) of all rows in `folder`.

    Raises:
        UserError: a shard is missing, unreadable or lacks the column.
    """
    return np.concatenate([read_file_column(file, name) for file in shard_files(folder)])


def read_file_column(file: Path, name: str) -> NDArray[Any]:
    """`read_column` of one shard."""
    with parquet_errors(file), pq.ParquetFile(file) as shard:
        _require(shard.schema_arrow, name, file)
        read = shard.read(columns=[name], use_threads=False).column(name)
        if read.null_count or not COLUMN_TYPES[name](read.type):
            raise UserError(f"{file}: column {name} lacks values, or has the type {read.type}; {RESTORE}")
        column: NDArray[Any] = read.to_numpy()
    return column


def shard_files(folder: Path) -> list[Path]:
    """The shards in `folder`, sorted and complete.

    Raises:
        UserError: there are none, one is missing, or they are of more than one split.
    """
    files = sorted(path for path in folder.glob("*.parquet") if not path.name.startswith("."))
    if not files:
        raise UserError(f"{folder}: holds no Parquet shards; write them first (`dvc repro`)")
    sets = {(match["split"], int(match["count"])) for match in map(_parse_name, files)}
    if len(sets) > 1:
        raise UserError(
            f"{folder}: holds {len(sets)} sets of shards ({files[0].name} ... {files[-1].name}); keep one a folder"
        )
    split, count = sets.pop()
    for number in range(count):
        name = shard_name(split, number, count)
        if folder / name not in files:
            raise UserError(f"{folder}: shard {name} is missing; {RESTORE}")
    return files


def read_files(files: Sequence[Path]) -> LabelledImages:
    """All images of `files`, in that order; classes and size of the images are those of the first.

    Raises:
        UserError: a file is unreadable or unlike the first one; names the file and the row.
    """
    headers = read_headers(files)
    expected = headers[0]
    num_images = sum(header.rows for header in headers)
    what = f"{files[0].parent}: {num_images} images of {'x'.join(map(str, expected.shape))}"
    need_memory(num_images * math.prod(expected.shape), what, "make fewer, or take a larger machine")
    images = np.empty((num_images, *expected.shape), np.uint8)
    labels = np.empty(num_images, np.int64)
    start = 0
    for file, header in zip(files, headers, strict=True):
        stop = start + header.rows
        _read_into(file, images[start:stop], labels[start:stop], len(expected.class_names))
        start = stop
    return LabelledImages(images, labels, expected.class_names)


def read_headers(files: Sequence[Path]) -> list[Header]:
    """Those of all `files`, with the same classes and size of the images.

    Raises:
        UserError: a file is unreadable or unlike the first one.
    """
    headers = [read_header(file) for file in files]
    expected = headers[0]
    for file, header in zip(files, headers, strict=True):
        if (header.class_names, header.shape) != (expected.class_names, expected.shape):
            raise UserError(
                f"{file}: its classes or image size differ from {files[0].name}; keep one data set a folder"
            )
    return headers


def read_labels(file: Path, num_classes: int) -> Indices:
    """The labels of a shard, int64, each of them a class.

    Raises:
        UserError: the file is unreadable, or a label is no class.
    """
    with parquet_errors(file), pq.ParquetFile(file) as shard:
        column = shard.read(columns=["label"], use_threads=False).column("label").combine_chunks()
        return _checked_labels(column, num_classes, str(file), 0)


def group_sizes(file: Path) -> list[int]:
    """Rows of each row group of a shard.

    Raises:
        UserError: not a readable Parquet file.
    """
    with parquet_errors(file), pq.ParquetFile(file) as shard:
        return [shard.metadata.row_group(group).num_rows for group in range(shard.num_row_groups)]


def read_group(file: Path, group: int, header: Header) -> tuple[Pixels, Indices]:
    """The images (uint8 NHWC) and labels (int64) of one row group, without reading the rest of the shard.

    Raises:
        UserError: the file is unreadable, or a row of it is.
    """
    with parquet_errors(file), pq.ParquetFile(file, memory_map=True) as shard:
        first = sum(shard.metadata.row_group(i).num_rows for i in range(group))
        table = shard.read_row_group(group, columns=["image.bytes", "label"], use_threads=False).combine_chunks()
        images = np.empty((table.num_rows, *header.shape), np.uint8)
        labels = np.empty(table.num_rows, np.int64)
        for batch in table.to_batches():
            _decode(batch.column("image"), images, str(file), first)
            labels[...] = _checked_labels(batch.column("label"), len(header.class_names), str(file), first)
    return images, labels


def read_header(file: Path) -> Header:
    """Rows, classes and image size of a shard.

    Raises:
        UserError: not a readable Parquet file, or not one of labelled images.
    """
    with parquet_errors(file), pq.ParquetFile(file) as shard:
        schema, rows = shard.schema_arrow, _count_rows(shard.metadata, file)
        _check_types(schema, file)
        class_names = read_class_names(schema, str(file))
        if shape := stored_shape(schema):
            return Header(rows, class_names, shape)
        if rows == 0:
            raise UserError(f"{file}: holds no rows and does not say its images' size; delete it")
        head = next(shard.iter_batches(1, columns=["image.bytes"], use_threads=False))
        image = head.column(0).field(0)[0].as_py()
        if image is None:
            raise UserError(f"{file}: row 0: holds no image bytes; write the file again")
        return Header(rows, class_names, read_shape(image, f"{file}: row 0"))


def _count_rows(footer: pq.FileMetaData, file: Path) -> int:
    """Rows of a file; a corrupted count must not become an allocation."""
    in_groups = sum(footer.row_group(i).num_rows for i in range(footer.num_row_groups))
    if not 0 <= footer.num_rows == in_groups:
        raise UserError(f"{file}: says it has {footer.num_rows} rows, its groups {in_groups}; {RESTORE}")
    return int(footer.num_rows)


def read_schema(file: Path) -> pa.Schema:
    """The Arrow schema of a shard, with its metadata.

    Raises:
        UserError: not a readable Parquet file.
    """
    with parquet_errors(file):
        return pq.read_schema(file)


def _read_into(file: Path, images: Pixels, labels: Indices, num_classes: int) -> None:
    """Decodes the rows of `file`, a row group's worth at a time, so that the buffers stay in the cache."""
    stop = 0
    # A finished shard is replaced, never written to, so mapping it is safe and saves a copy.
    with parquet_errors(file), pq.ParquetFile(file, memory_map=True) as shard:
        columns = ["image.bytes", "label"]
        for batch in shard.iter_batches(ROW_GROUP_ROWS, columns=columns, use_threads=False):
            row, stop = stop, stop + batch.num_rows
            if stop <= len(labels):
                _decode(batch.column("image"), images[row:stop], str(file), row)
                labels[row:stop] = _checked_labels(batch.column("label"), num_classes, str(file), row)
    if stop != len(labels):  # the rest of `images` is not initialised
        raise UserError(f"{file}: says it has {len(labels)} rows, holds {stop}; {RESTORE}")


def _decode(column: pa.StructArray, out: Pixels, where: str, first_row: int) -> None:
    """The image column of a batch => `out`."""
    encoded = column.field(0)
    if encoded.type != pa.binary():  # polars writes 64-bit offsets
        encoded = encoded.cast(pa.binary())
    if column.null_count or encoded.null_count:
        missing = np.asarray(column.is_null()) | np.asarray(encoded.is_null())
        raise UserError(f"{where}: row {first_row + int(missing.argmax())}: holds no image bytes; write the file again")
    _, offsets, data = encoded.buffers()
    ends = np.frombuffer(offsets, np.int32)[encoded.offset : encoded.offset + len(encoded) + 1]
    decode_png(np.frombuffer(data, np.uint8), ends.astype(np.int64), out, where, first_row)


def _checked_labels(column: pa.Array, num_classes: int, where: str, first_row: int) -> Indices:
    """Labels of a batch, each of them a class."""
    labels = np.asarray(column.fill_null(-1), np.int64)
    wrong = (labels < 0) | (labels >= num_classes)
    if wrong.any():
        row = int(wrong.argmax())
        raise UserError(
            f"{where}: row {first_row + row}: label {column[row]} is none of the {num_classes} classes; "
            "write the file again"
        )
    return labels


def _check_types(schema: pa.Schema, file: Path) -> None:
    """Refuses what the decoder could not take: another file's columns."""
    for name in ("image", "label"):
        _require(schema, name, file)
    image, label = schema.field("image").type, schema.field("label").type
    if not (pa.types.is_struct(image) and image.get_field_index("bytes") >= 0 and pa.types.is_integer(label)):
        raise UserError(
            f"{file}: columns image and label are {image} and {label}; expected "
            "struct<bytes: binary, path: string> and int64"
        )


def _require(schema: pa.Schema, name: str, file: Path) -> None:
    if schema.get_field_index(name) < 0:
        raise UserError(f"{file}: lacks column {name} (it has {', '.join(schema.names)}); write it again")


def _parse_name(path: Path) -> Any:
    match = SHARD_NAME.fullmatch(path.name)
    if not match:
        raise UserError(f"{path}: not named as a shard (`<split>-00000-of-00001.parquet`); move it away")
    return match


@contextmanager
def parquet_errors(file: Path) -> Iterator[None]:
    """Turns what pyarrow finds wrong with a file into a UserError that names it."""
    try:
        yield
    except UserError:  # is a ValueError, as pyarrow's own errors are
        raise
    except MemoryError as error:
        raise too_large(file, error) from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last from corrupted column names
        if os.strerror(errno.ENOMEM) in str(error):
            raise too_large(file, error) from None
        raise UserError(f"{file}: not a readable Parquet file ({' '.join(str(error).split())}); {RESTORE}") from None


def too_large(file: Path, error: Exception) -> ExhaustedError:
    """The error where memory does not suffice for a file: the machine is too small, or the file is corrupted."""
    free = in_words(available_memory())
    return ExhaustedError(
        f"{file}: not a readable Parquet file here ({error}): {free} of memory are free; "
        f"free more, or if the file is corrupted {RESTORE}"
    )
