"""What a call of the writer is to write, what an earlier one left of it, and what is still to be done."""

import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pipeline.files import hash_file, to_json
from pipeline.runtime.atomic import replace_file
from pipeline.shards.schema import ROW_GROUP_ROWS, SHARD_NAME, SHARD_ROWS, Encoding, describe_format, shard_name

JOB_FILE = "job.json"


@dataclass(frozen=True)
class Job:
    """What is to be written; with the constants of `_job_text`, everything that a shard's bytes depend on."""

    split: str
    num_images: int
    class_names: tuple[str, ...]
    seed: int
    generator: str
    recipe_digest: str
    encoding: Encoding


@dataclass(frozen=True)
class ShardRecord:
    """A finished shard: its name, rows, position of its first row in the split, size in bytes and sha256."""

    file: str
    rows: int
    first_index: int
    bytes: int
    sha256: str


class Shard(NamedTuple):
    """A shard to be: rows start ... stop of its split."""

    path: Path
    start: int
    stop: int


def start_job(folder: Path, tmp: Path, job: Job) -> None:
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
    """`job` and what else is in a shard's bytes: its layout, and the versions of what wrote it."""
    layout = {"row_group_rows": ROW_GROUP_ROWS, "shard_rows": SHARD_ROWS}
    return to_json(dataclasses.asdict(job) | layout | describe_format(job.encoding))


def _shards_of(folder: Path, split: str) -> list[Path]:
    """Files in `folder` named as shards of `split`, sorted."""
    named = ((SHARD_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted(path for match, path in named if match and match["split"] == split)


def plan_shards(folder: Path, job: Job) -> list[Shard]:
    """All shards of `job`, those that exist included."""
    count = max(1, -(-job.num_images // SHARD_ROWS))  # a split without images is one shard without rows
    names = [shard_name(job.split, number, count) for number in range(count)]
    starts = [number * SHARD_ROWS for number in range(count)]
    return [
        Shard(folder / name, start, min(start + SHARD_ROWS, job.num_images))
        for name, start in zip(names, starts, strict=True)
    ]


def is_finished(shard: Shard, tmp: Path) -> bool:
    """Whether an earlier call finished this shard and its bytes are still those of its record."""
    if not (record_file(shard, tmp).is_file() and shard.path.is_file()):
        return False
    try:
        record = read_record(shard, tmp)
    except (TypeError, ValueError):  # damaged: it is written again with its shard
        return False
    return shard.path.stat().st_size == record.bytes and hash_file(shard.path) == record.sha256


def record_file(shard: Shard, tmp: Path) -> Path:
    """Where the record of a finished shard is kept until all are written."""
    return tmp / f"{shard.path.name}.json"


def read_record(shard: Shard, tmp: Path) -> ShardRecord:
    """What that file says."""
    return ShardRecord(**json.loads(record_file(shard, tmp).read_bytes()))


def row_groups(shard: Shard) -> list[tuple[int, int]]:
    """First row and the one after the last of each row group; a shard without rows has an empty one."""
    starts = range(shard.start, max(shard.stop, shard.start + 1), ROW_GROUP_ROWS)
    return [(start, min(start + ROW_GROUP_ROWS, shard.stop)) for start in starts]
