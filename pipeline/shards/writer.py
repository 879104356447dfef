"""Write labelled images as Parquet shards that are whole or absent, and go on after a kill.

Shard i of a split always holds rows i * 16,384 onwards, in row groups of 1,024, each drawn by one call:
its bytes depend on the rows alone, never on what was interrupted before.
"""

import dataclasses
import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.files import hash_file, to_json
from pipeline.images import Indices, LabelledImages, Pixels
from pipeline.shards.files import disk_errors, remove_tmp, replace_file
from pipeline.shards.schema import ROW_GROUP_ROWS, SHARD_NAME, SHARD_ROWS, make_table, shard_name

JOB_FILE = "job.json"

# Stored PNGs neither compress nor repeat, and compressed bytes would differ between builds of the codec.
PARQUET_OPTIONS: dict[str, Any] = {
    "compression": "none",
    "use_dictionary": ["label", "seed", "generator"],
    "column_encoding": {"index": "DELTA_BINARY_PACKED"},
    "write_statistics": ["index", "label"],
}

Rows: TypeAlias = tuple[Pixels, Indices, Indices]
"""uint8 NHWC, int64 labels, int64 index."""


@dataclass(frozen=True)
class Job:
    """What is to be written; with the constants of `_job_text`, everything that a shard's bytes depend on."""

    split: str
    num_images: int
    class_names: tuple[str, ...]
    seed: int
    generator: str
    recipe_digest: str


@dataclass(frozen=True)
class ShardRecord:
    """A finished shard: its name, rows, position of its first row in the split, size in bytes and sha256."""

    file: str
    rows: int
    first_index: int
    bytes: int
    sha256: str


def write_split(
    folder: Path, split: str, images: LabelledImages, *, index: Indices, seed: int, generator: str
) -> list[ShardRecord]:
    """Writes images in memory as the shards of `split`; see `write_shards`.

    Args:
        folder: made if absent; holds the split's shards.
        split: first part of the shards' names.
        images: in the order of the rows.
        index: int64, shape N: each image's number, as the column `index` will have it.
        seed: drew the split.
        generator: names the source.
    """
    assert index.shape == (len(images),)

    def rows(start: int, stop: int) -> Rows:
        return images.images[start:stop], images.labels[start:stop], index[start:stop]

    digest = hashlib.sha256(images.digest().encode() + np.ascontiguousarray(index).tobytes()).hexdigest()
    return _write(folder, Job(split, len(images), images.class_names, seed, generator, digest), rows)


def write_shards(
    folder: Path,
    split: str,
    *,
    num_images: int,
    class_names: Sequence[str],
    seed: int,
    generator: str,
    draw: Callable[[int, int], tuple[Pixels, Indices]],
    recipe_digest: str,
) -> list[ShardRecord]:
    """Writes `num_images` drawn images as shards; called again after a kill, redoes only what is missing.

    Finished shards and their records survive in `<folder>/../.tmp` until all are written. They are hashed
    again and kept if every argument is as before, and deleted otherwise. One writer a folder at a time.

    Args:
        folder: made if absent; holds the split's shards.
        split: first part of the shards' names.
        num_images: rows in all.
        class_names: one name a class.
        seed: drew the latents.
        generator: names what made the images.
        draw: (start, stop) => uint8 NHWC images and int64 labels of these rows, one row group at most.
        recipe_digest: stands for everything that `draw` depends on.

    Raises:
        UserError: the disk is full or `folder` cannot be written; finished shards are kept.
    """

    def rows(start: int, stop: int) -> Rows:
        return *draw(start, stop), np.arange(start, stop, dtype=np.int64)

    return _write(folder, Job(split, num_images, tuple(class_names), seed, generator, recipe_digest), rows)


def _write(folder: Path, job: Job, rows: Callable[[int, int], Rows]) -> list[ShardRecord]:
    """Writes the shards of `job` that are not there yet."""
    tmp = folder.parent / ".tmp" / f"{folder.name}-{job.split}"
    with disk_errors(folder):
        _start(folder, tmp, job)
    count = max(1, -(-job.num_images // SHARD_ROWS))  # a split without images is one shard without rows
    records = []
    for number in range(count):
        path = folder / shard_name(job.split, number, count)
        record = _finished(path, tmp) or _write_shard(path, tmp, job, number * SHARD_ROWS, rows)
        records.append(record)
    with disk_errors(folder):
        remove_tmp(tmp)
    return records


def _start(folder: Path, tmp: Path, job: Job) -> None:
    """Makes the folders; removes unfinished files and, if `job` is not what was begun, finished ones."""
    folder.mkdir(parents=True, exist_ok=True)
    tmp.mkdir(parents=True, exist_ok=True)
    begun, text = tmp / JOB_FILE, _job_text(job)
    if not begun.is_file() or begun.read_bytes() != text:
        shutil.rmtree(tmp)
        for old in _shards_of(folder, job.split):
            old.unlink()
        tmp.mkdir()
        replace_file(begun, text, tmp)
    for part in tmp.glob("*.part"):
        part.unlink()


def _job_text(job: Job) -> bytes:
    """`job` and what else is in a shard's bytes: its layout, and pyarrow's version in the footer."""
    layout = {"row_group_rows": ROW_GROUP_ROWS, "shard_rows": SHARD_ROWS, "pyarrow": pa.__version__}
    return to_json(dataclasses.asdict(job) | layout)


def _shards_of(folder: Path, split: str) -> list[Path]:
    """Files in `folder` named as shards of `split`, sorted."""
    named = ((SHARD_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted(path for match, path in named if match and match["split"] == split)


def _finished(path: Path, tmp: Path) -> ShardRecord | None:
    """The record of a shard that an earlier call finished and whose bytes are still those."""
    recorded = tmp / f"{path.name}.json"
    if not (recorded.is_file() and path.is_file()):
        return None
    record = ShardRecord(**json.loads(recorded.read_bytes()))
    whole = path.stat().st_size == record.bytes and hash_file(path) == record.sha256
    return record if whole else None


def _write_shard(path: Path, tmp: Path, job: Job, first: int, rows: Callable[[int, int], Rows]) -> ShardRecord:
    """Draws and writes one shard, then its record: a shard without a record counts as not written."""
    stop = min(first + SHARD_ROWS, job.num_images)
    data = _encode_shard(job, first, stop, rows)
    replace_file(path, data, tmp)
    record = ShardRecord(path.name, stop - first, first, len(data), hashlib.sha256(data).hexdigest())
    replace_file(tmp / f"{path.name}.json", to_json(dataclasses.asdict(record)), tmp)
    return record


def _encode_shard(job: Job, first: int, stop: int, rows: Callable[[int, int], Rows]) -> pa.Buffer:
    """The bytes of a Parquet file with rows first ... stop, one table a row group: chunks leave traces."""

    def table(start: int) -> pa.Table:
        images, labels, index = rows(start, min(start + ROW_GROUP_ROWS, stop))
        return make_table(images, labels, index, seed=job.seed, generator=job.generator, class_names=job.class_names)

    starts = range(first, max(stop, first + 1), ROW_GROUP_ROWS)
    tables = map(table, starts)
    head = next(tables)
    sink = pa.BufferOutputStream()  # in memory, so that only replace_file meets the disk
    with pq.ParquetWriter(sink, head.schema, **PARQUET_OPTIONS) as writer:
        for group in itertools.chain([head], tables):
            writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
    return sink.getvalue()
