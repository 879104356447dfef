"""Write labelled images as Parquet shards that are whole or absent, and go on after a kill.

Shard i of a split always holds rows i * 16,384 onwards, in row groups of 1,024, each drawn by one call:
its bytes depend on the rows alone, never on what was interrupted before.
"""

import dataclasses
import hashlib
import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow.parquet as pq

from pipeline.files import to_json
from pipeline.images import Indices, LabelledImages, Pixels
from pipeline.runtime.atomic import remove_tmp, replace_file, replacing
from pipeline.runtime.background import Lane
from pipeline.runtime.errors import disk_errors
from pipeline.shards.content import Content
from pipeline.shards.job import (
    Job,
    Shard,
    ShardRecord,
    is_finished,
    plan_shards,
    read_record,
    record_file,
    row_groups,
    start_job,
)
from pipeline.shards.schema import Encoding, image_schema, make_table

QUEUE_GROUPS = 4  # waiting between two threads

# Stored PNGs neither compress nor repeat, and compressed bytes would differ between builds of the codec.
PARQUET_OPTIONS: dict[str, Any] = {
    "compression": "none",
    "use_dictionary": ["label", "seed", "generator"],
    "column_encoding": {"index": "DELTA_BINARY_PACKED"},
    "write_statistics": ["index", "label"],
}

Rows: TypeAlias = tuple[Pixels, Indices, Indices]
"""uint8 NHWC, int64 labels, int64 index."""


class Sink(io.RawIOBase):
    """What pyarrow writes into: keeps the bytes until they are taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """Keeps a copy."""
        self._parts.append(bytes(data))
        return len(self._parts[-1])

    def take(self) -> list[bytes]:
        """What was written since the last call."""
        parts, self._parts = self._parts, []
        return parts


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
    return _write(
        folder, Job(split, len(images), images.class_names, seed, generator, digest, "stored_png"), rows, Content()
    )


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
    encoding: Encoding,
    content: Content,
) -> list[ShardRecord]:
    """Writes `num_images` drawn images as shards; called again after a kill, redoes only what is missing.

    Finished shards and their records survive in `<folder>/../.tmp` until all are written. They are hashed
    again and kept if every argument is as before, and deleted otherwise. One writer a folder at a time.
    `draw` runs in this thread; where it raises, what it drew before is still stored.

    Args:
        folder: made if absent; holds the split's shards.
        split: first part of the shards' names.
        num_images: rows in all.
        class_names: one name a class.
        seed: drew the latents.
        generator: names what made the images.
        draw: (start, stop) => uint8 NHWC images and int64 labels of these rows, one row group at most.
        recipe_digest: stands for everything that `draw` depends on.
        encoding: of the images.
        content: gathers the rows; those that an earlier call wrote are read back.

    Raises:
        UserError: the disk is full or `folder` cannot be written; finished shards are kept.
    """

    def rows(start: int, stop: int) -> Rows:
        return *draw(start, stop), np.arange(start, stop, dtype=np.int64)

    job = Job(split, num_images, tuple(class_names), seed, generator, recipe_digest, encoding)
    return _write(folder, job, rows, content)


def _write(folder: Path, job: Job, rows: Callable[[int, int], Rows], content: Content) -> list[ShardRecord]:
    """Writes the shards of `job` that are not there yet: rows are drawn here, all else happens in lanes beside.

    Encoding, hashing the rows, and hashing and writing the files each have a thread; none is more than a few row
    groups behind, so that memory does not grow with the number of images.
    """
    tmp = folder.parent / ".tmp" / f"{folder.name}-{job.split}"
    with disk_errors(folder):
        start_job(folder, tmp, job)
    shards = plan_shards(folder, job)
    missing = [shard for shard in shards if not is_finished(shard, tmp)]

    def store(parts: Iterator[list[bytes] | None]) -> None:
        for shard in missing:
            _store_shard(shard, parts, tmp)

    def encode(groups: Iterator[Rows]) -> None:
        for shard in missing:
            _encode_shard(shard, groups, job, storing.put)

    def gather(groups: Iterator[Rows]) -> None:
        for shard in shards:
            if shard in missing:
                for group in itertools.islice(groups, len(row_groups(shard))):
                    content.add(job.split, *group, num_classes=len(job.class_names))
            else:
                content.add_shard(job.split, shard.path)

    with (
        Lane(store, QUEUE_GROUPS) as storing,
        Lane(encode, QUEUE_GROUPS) as encoding,
        Lane(gather, QUEUE_GROUPS) as gathering,
    ):
        for shard in missing:
            for start, stop in row_groups(shard):
                group = rows(start, stop)
                encoding.put(group)
                gathering.put(group)
    records = [read_record(shard, tmp) for shard in shards]
    with disk_errors(folder):
        remove_tmp(tmp)
    return records


def _encode_shard(shard: Shard, groups: Iterator[Rows], job: Job, put: Callable[[list[bytes] | None], None]) -> None:
    """Row groups => the parts of a Parquet file, then None. One table a row group: chunks leave traces."""
    sink, columns = Sink(), partial(make_table, seed=job.seed, generator=job.generator, encoding=job.encoding,
                                    class_names=job.class_names)  # fmt: skip
    head = next(groups)
    height, width, channels = head[0].shape[1:]
    schema = image_schema(job.class_names, (height, width, channels))
    with pq.ParquetWriter(sink, schema, **PARQUET_OPTIONS) as writer:
        for group in itertools.chain([head], itertools.islice(groups, len(row_groups(shard)) - 1)):
            writer.write_table(columns(*group))
            put(sink.take())
    put(sink.take())
    put(None)


def _store_shard(shard: Shard, parts: Iterator[list[bytes] | None], tmp: Path) -> None:
    """Writes one shard, then its record: a shard without a record counts as not written."""
    size, hasher = 0, hashlib.sha256()
    with replacing(shard.path, tmp) as file:
        for data in itertools.chain.from_iterable(iter(parts.__next__, None)):
            size += file.write(data)
            hasher.update(data)
    rows = shard.stop - shard.start
    record = ShardRecord(shard.path.name, rows, shard.start, size, hasher.hexdigest())
    replace_file(record_file(shard, tmp), to_json(dataclasses.asdict(record)), tmp)
