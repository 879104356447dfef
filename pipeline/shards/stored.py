"""Images read from shards as they are asked for: for sets that are larger than the memory.

In our shards the image column is neither compressed nor repeated (Parquet's PLAIN encoding), and each image is a stored
PNG of the one length that its shape has. So the place of every image follows from the headers of the pages alone. A
batch is one read an image, answered by the file system's cache; what was read is checked as `read_images` checks it.
"""

import math
import os
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.images import ImageSet, Indices, Pixels
from pipeline.runtime.errors import UserError
from pipeline.runtime.resources import available_memory
from pipeline.shards.pages import PREFIX, read_length, read_page
from pipeline.shards.png import Shape, decode_png, stored_size
from pipeline.shards.reader import (
    RESTORE,
    check_alike,
    parquet_errors,
    read_files,
    read_headers,
    read_labels,
    shard_files,
)

RESIDENT_SHARE = 0.2  # of the free memory: a training holds its images up to three times while it puts them together
READ_ROWS = 64  # images at a time, so that what was read is still in the processor's cache when it is copied


def open_alike(*folders: Path) -> list[ImageSet]:
    """The images of several splits of one data set, none of which is empty.

    They are read into memory where all together take at most RESIDENT_SHARE of what is free, else as they are asked
    for. Rows and their order are the same.

    Raises:
        UserError: as `read_alike` does.
    """
    files = [shard_files(folder) for folder in folders]
    size = sum(math.prod(header.shape) * header.rows for part in files for header in read_headers(part))
    read = read_files if size <= RESIDENT_SHARE * available_memory() else open_files
    splits: list[ImageSet] = [read(part) for part in files]
    check_alike(folders, splits)
    return splits


def open_files(files: Sequence[Path]) -> ImageSet:
    """All images of `files`, in that order, of which none is read yet.

    Images that are not stored PNGs have no place that is known beforehand: they are read into memory.

    Raises:
        UserError: a file is unreadable or unlike the first one.
    """
    headers = read_headers(files)
    class_names, shape = headers[0].class_names, headers[0].shape
    shards: list[Placed] = []
    for file, header in zip(files, headers, strict=True):
        if (placed := place_images(file, shape)) is None:
            return read_files(files)
        if len(placed.offsets) != header.rows:
            raise UserError(f"{file}: says it has {header.rows} rows, holds {len(placed.offsets)} images; {RESTORE}")
        shards.append(placed)
    labels = np.concatenate([read_labels(file, len(class_names)) for file in files])
    return ImageSet(StoredRows(shards, shape), labels, class_names)


@dataclass(frozen=True)
class Placed:
    """Where the images of a shard lie.

    Attributes:
        file: the shard.
        offsets: int64, position of each row's PNG in it, in bytes.
    """

    file: Path
    offsets: NDArray[np.int64]


class StoredRows:
    """uint8 NHWC images that are read from shards of stored PNGs.

    The files stay open as they are, even where they are replaced.
    """

    def __init__(self, shards: Sequence[Placed], shape: Shape) -> None:
        self._files = [shard.file for shard in shards]
        self._opened = [FileIO(shard.file) for shard in shards]
        weakref.finalize(self, _close, self._opened)
        self._offsets = np.concatenate([shard.offsets for shard in shards])
        self._starts = np.cumsum([0, *(len(shard.offsets) for shard in shards)])
        self._shape = shape

    @property
    def shape(self) -> tuple[int, ...]:
        """N, H, W, C."""
        return (len(self._offsets), *self._shape)

    def __getitem__(self, rows: slice | Indices, /) -> Pixels:
        wanted = np.arange(len(self._offsets), dtype=np.int64)[rows] if isinstance(rows, slice) else rows
        pixels = np.empty((len(wanted), *self._shape), np.uint8)
        for first in range(0, len(wanted), READ_ROWS):
            self._read(wanted[first : first + READ_ROWS], pixels[first : first + READ_ROWS])
        return pixels

    def _read(self, rows: Indices, out: Pixels) -> None:
        """The images at `rows`, in any order and any of them twice => `out`."""
        size = stored_size(self._shape)
        encoded = np.zeros((len(rows), size), np.uint8)
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        for place, row, shard in zip(encoded, rows.tolist(), shards.tolist(), strict=True):
            with parquet_errors(self._files[shard]):
                os.preadv(self._opened[shard].fileno(), [place.data], self._offsets[row])
        ends = np.arange(len(rows) + 1, dtype=np.int64) * size
        try:
            decode_png(encoded.reshape(-1), ends, out, "", 0)
        except UserError:  # it names the row of the batch: once more, to name file and row
            for i, shard in enumerate(shards.tolist()):
                row = int(rows[i] - self._starts[shard])
                decode_png(encoded[i], ends[:2], out[i : i + 1], str(self._files[shard]), row)


def _close(files: Sequence[FileIO]) -> None:
    for file in files:
        file.close()


def place_images(file: Path, shape: Shape) -> Placed | None:
    """Where the images of a shard lie; None where they cannot be stored PNGs of `shape`.

    Raises:
        UserError: it has not the pages that its footer promises.
    """
    size, offsets = stored_size(shape), [np.empty(0, np.int64)]
    with parquet_errors(file), pq.ParquetFile(file) as shard, FileIO(file) as data:
        number = [shard.metadata.schema.column(i).path for i in range(len(shard.schema))].index("image.bytes")
        for group in range(shard.num_row_groups):
            column = shard.metadata.row_group(group).column(number)
            at, stop = column.data_page_offset, column.data_page_offset + column.total_compressed_size
            if column.compression != "UNCOMPRESSED" or column.has_dictionary_page:
                return None
            while at < stop:
                page = read_page(data, at, file)
                whole = page.num_values * (PREFIX + size) == page.stop - page.values  # no image is missing
                if not (page.is_plain and whole and read_length(data, page.values) == size):
                    return None
                offsets.append(page.values + PREFIX + (PREFIX + size) * np.arange(page.num_values, dtype=np.int64))
                at = page.stop
    return Placed(file, np.concatenate(offsets))
