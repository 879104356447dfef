"""Write labelled images as Parquet shards that are whole or absent, and go on after a kill.

Shard i of a split always holds rows i * 16,384 onwards, in row groups of 1,024, each drawn by one call:
its bytes depend on the rows alone, never on what was interrupted before.
"""

import hashlib
import io
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow.parquet as pq

from pipeline.files import to_json
from pipeline.images import Indices, LabelledImages, Pixels
from pipeline.runtime.atomic import remove_tmp, replacing, write_bytes
from pipeline.runtime.background import BackgroundWorker
from pipeline.runtime.errors import disk_errors
from pipeline.shards.digest import ContentDigest
from pipeline.shards.plan import (
    PlannedShard,
    ShardRecord,
    SplitPlan,
    is_finished,
    plan_shards,
    read_shard_record,
    record_file,
    row_groups,
    start_plan,
)
from pipeline.shards.schema import image_schema, make_table

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
    plan = SplitPlan(split, len(images), images.class_names, seed, generator, digest, "stored_png")
    return _write(folder, plan, rows, ContentDigest())


def write_shards(
    folder: Path, plan: SplitPlan, draw: Callable[[int, int], tuple[Pixels, Indices]], digest: ContentDigest
) -> list[ShardRecord]:
    """Writes the drawn images of `plan` as shards; called again after a kill, redoes only what is missing.

    Finished shards and their records survive in `<folder>/../.tmp` until all are written. They are hashed
    again and kept if the plan is as before, and deleted otherwise. One writer a folder at a time.
    `draw` runs in this thread; where it raises, what it drew before is still stored.

    Args:
        folder: made if absent; holds the split's shards.
        plan: what to write.
        draw: (start, stop) => uint8 NHWC images and int64 labels of these rows, one row group at most.
        digest: gathers the rows; those that an earlier call wrote are read back.

    Raises:
        UserError: the disk is full or `folder` cannot be written; finished shards are kept.
    """

    def rows(start: int, stop: int) -> Rows:
        return *draw(start, stop), np.arange(start, stop, dtype=np.int64)

    return _write(folder, plan, rows, digest)


def _write(folder: Path, plan: SplitPlan, rows: Callable[[int, int], Rows], digest: ContentDigest) -> list[ShardRecord]:
    """Writes the shards of `plan` that are not there yet: rows are drawn here, all else happens in threads beside.

    Encoding, hashing the rows, and hashing and writing the files each have a thread; none is more than a few row
    groups behind, so that memory does not grow with the number of images.
    """
    tmp = folder.parent / ".tmp" / f"{folder.name}-{plan.split}"
    with disk_errors(folder):
        start_plan(folder, tmp, plan)
    shards = plan_shards(folder, plan)
    missing = [shard for shard in shards if not is_finished(shard, tmp)]

    def store(parts: Iterator[list[bytes] | None]) -> None:
        for shard in missing:
            _store_shard(shard, parts, tmp)

    def encode(groups: Iterator[Rows]) -> None:
        for shard in missing:
            _encode_shard(shard, groups, plan, storing.put)

    def gather(groups: Iterator[Rows]) -> None:
        for shard in shards:
            if shard in missing:
                for group in itertools.islice(groups, len(row_groups(shard))):
                    digest.add(plan.split, *group, num_classes=len(plan.class_names))
            else:
                digest.add_shard(plan.split, shard.path)

    with (
        BackgroundWorker(store, QUEUE_GROUPS) as storing,
        BackgroundWorker(encode, QUEUE_GROUPS) as encoding,
        BackgroundWorker(gather, QUEUE_GROUPS) as gathering,
    ):
        for shard in missing:
            for start, stop in row_groups(shard):
                group = rows(start, stop)
                encoding.put(group)
                gathering.put(group)
    records = [read_shard_record(shard, tmp) for shard in shards]
    with disk_errors(folder):
        remove_tmp(tmp)
    return records


def _encode_shard(
    shard: PlannedShard, groups: Iterator[Rows], plan: SplitPlan, put: Callable[[list[bytes] | None], None]
) -> None:
    """Row groups => the parts of a Parquet file, then None. One table a row group: chunks leave traces."""
    sink = Sink()
    columns = partial(
        make_table, seed=plan.seed, generator=plan.generator, encoding=plan.encoding, class_names=plan.class_names
    )
    head = next(groups)
    height, width, channels = head[0].shape[1:]
    schema = image_schema(plan.class_names, (height, width, channels))
    with pq.ParquetWriter(sink, schema, **PARQUET_OPTIONS) as writer:
        for group in itertools.chain([head], itertools.islice(groups, len(row_groups(shard)) - 1)):
            writer.write_table(columns(*group))
            put(sink.take())
    put(sink.take())
    put(None)


def _store_shard(shard: PlannedShard, parts: Iterator[list[bytes] | None], tmp: Path) -> None:
    """Writes one shard, then its record: a shard without a record counts as not written."""
    size, hasher = 0, hashlib.sha256()
    with replacing(shard.path, tmp) as file:
        for data in itertools.chain.from_iterable(iter(parts.__next__, None)):
            size += file.write(data)
            hasher.update(data)
    rows = shard.stop - shard.start
    record = ShardRecord(
        file=shard.path.name, rows=rows, first_index=shard.start, bytes=size, sha256=hasher.hexdigest()
    )
    write_bytes(record_file(shard, tmp), to_json(record.model_dump()), tmp)
