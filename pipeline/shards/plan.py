"""What a call of the writer is to write, what an earlier one left of it, and what is still to be done."""

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from pipeline.files import Record, hash_file, read_record, to_json
from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.errors import UserError
from pipeline.shards.schema import ROW_GROUP_ROWS, SHARD_NAME, SHARD_ROWS, Encoding, describe_format, shard_name

Count = Annotated[int, Field(ge=0)]

PLAN_FILE = "plan.json"


@dataclass(frozen=True)
class SplitPlan:
    """What is to be written; with the constants of `_plan_text`, everything that a shard's bytes depend on.

    Attributes:
        split: first part of the shards' names.
        num_images: rows in all.
        class_names: one name a class.
        seed: drew the latents, or the split.
        generator: names what made the images.
        recipe_digest: stands for everything that the rows depend on.
        encoding: of the images.
    """

    split: str
    num_images: int
    class_names: tuple[str, ...]
    seed: int
    generator: str
    recipe_digest: str
    encoding: Encoding


class ShardRecord(Record):
    """A finished shard."""

    file: str
    """Its name; in a manifest, its path in the dataset folder."""
    rows: Count
    """Images in it."""
    first_index: Count
    """Position of its first row in the split."""
    bytes: Count
    """Its size."""
    sha256: str
    """Of the whole file."""


class PlannedShard(NamedTuple):
    """A shard to be: rows start ... stop of its split."""

    path: Path
    start: int
    stop: int


def start_plan(folder: Path, tmp: Path, plan: SplitPlan) -> None:
    """Makes the folders; removes unfinished files and, if `plan` is not what was begun, finished ones."""
    folder.mkdir(parents=True, exist_ok=True)
    tmp.mkdir(parents=True, exist_ok=True)
    begun, text = tmp / PLAN_FILE, _plan_text(plan)
    if not begun.is_file() or begun.read_bytes() != text:
        shutil.rmtree(tmp)
        for old in _shards_of(folder, plan.split):
            old.unlink()
        tmp.mkdir()
        write_bytes(begun, text, tmp)
    for part in tmp.glob("*.part"):
        part.unlink()


def _plan_text(plan: SplitPlan) -> bytes:
    """`plan` and what else is in a shard's bytes: its layout, and the versions of what wrote it."""
    layout = {"row_group_rows": ROW_GROUP_ROWS, "shard_rows": SHARD_ROWS}
    return to_json(dataclasses.asdict(plan) | layout | describe_format(plan.encoding))


def _shards_of(folder: Path, split: str) -> list[Path]:
    """Files in `folder` named as shards of `split`, sorted."""
    named = ((SHARD_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted(path for match, path in named if match and match["split"] == split)


def plan_shards(folder: Path, plan: SplitPlan) -> list[PlannedShard]:
    """All shards of `plan`, those that exist included."""
    count = max(1, -(-plan.num_images // SHARD_ROWS))  # a split without images is one shard without rows
    names = [shard_name(plan.split, number, count) for number in range(count)]
    starts = [number * SHARD_ROWS for number in range(count)]
    return [
        PlannedShard(folder / name, start, min(start + SHARD_ROWS, plan.num_images))
        for name, start in zip(names, starts, strict=True)
    ]


def is_finished(shard: PlannedShard, tmp: Path) -> bool:
    """Whether an earlier call finished this shard and its bytes are still those of its record."""
    if not (record_file(shard, tmp).is_file() and shard.path.is_file()):
        return False
    try:
        record = read_shard_record(shard, tmp)
    except UserError:  # corrupted: it is written again with its shard
        return False
    return shard.path.stat().st_size == record.bytes and hash_file(shard.path) == record.sha256


def record_file(shard: PlannedShard, tmp: Path) -> Path:
    """Where the record of a finished shard is kept until all are written."""
    return tmp / f"{shard.path.name}.json"


def read_shard_record(shard: PlannedShard, tmp: Path) -> ShardRecord:
    """What that file says.

    Raises:
        UserError: it is missing or corrupted.
    """
    return read_record(record_file(shard, tmp), ShardRecord, again="the same command")


def row_groups(shard: PlannedShard) -> list[tuple[int, int]]:
    """First row and the one after the last of each row group; a shard without rows has an empty one."""
    starts = range(shard.start, max(shard.stop, shard.start + 1), ROW_GROUP_ROWS)
    return [(start, min(start + ROW_GROUP_ROWS, shard.stop)) for start in starts]
