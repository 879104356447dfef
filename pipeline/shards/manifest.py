"""The manifest of a dataset folder: what it must hold, and whether it does."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.files import parse_json, to_json
from pipeline.runtime.atomic import remove_tmp, replace_file
from pipeline.runtime.errors import UserError, disk_errors
from pipeline.shards.content import Content
from pipeline.shards.job import ShardRecord
from pipeline.shards.reader import RESTORE, read_header
from pipeline.shards.schema import SHARD_NAME

DATA_FOLDER = "data"  # Hugging Face datasets finds any split's name there, and only there
MANIFEST_FILE = "manifest.json"
CARD_FILE = "README.md"
TMP_FOLDER = ".tmp"


@dataclass(frozen=True)
class Manifest:
    """What a dataset folder holds.

    Attributes:
        class_names: one name a class.
        num_images: in all splits together.
        splits: shards of each split in order; `file` is relative to the folder.
        class_counts: images of each class, for each split.
        content_sha256: see `Content.sha256`.
        recipe: what the images are a function of.
        environment: with which the files' bytes, not only their content, come out the same.
    """

    class_names: tuple[str, ...]
    num_images: int
    splits: dict[str, list[ShardRecord]]
    class_counts: dict[str, list[int]]
    content_sha256: str
    recipe: dict[str, Any]
    environment: dict[str, Any]


def write_manifest(
    root: Path,
    splits: dict[str, list[ShardRecord]],
    content: Content,
    *,
    recipe: dict[str, Any],
    environment: dict[str, Any],
) -> Manifest:
    """Writes `root`/manifest.json about the finished shards in `root`/data.

    Args:
        root: the dataset folder.
        splits: what `write_shards` returned for each split.
        content: what it gathered, split by split in the order of their names.
        recipe: what the images are a function of; for people to read.
        environment: versions and device; no host, path or time.

    Raises:
        UserError: a shard is not readable, or the folder cannot be written.
    """
    placed = {split: [_in_data_folder(record) for record in records] for split, records in splits.items()}
    manifest = Manifest(
        class_names=read_header(root / all_records(placed)[0].file).class_names,
        num_images=sum(record.rows for record in all_records(placed)),
        splits=placed,
        class_counts=content.class_counts,
        content_sha256=content.sha256(),
        recipe=recipe,
        environment=environment,
    )
    write_beside(root / MANIFEST_FILE, to_json(dataclasses.asdict(manifest)))
    return manifest


def read_manifest(root: Path) -> Manifest:
    """The manifest of a dataset folder.

    Raises:
        UserError: there is none, or it is not one.
    """
    path = root / MANIFEST_FILE
    try:
        manifest = _manifest(parse_json(path.read_bytes()))
    except FileNotFoundError:
        raise UserError(f"{path}: not found; the dataset is not finished, write it again") from None
    except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not a manifest ({error!r}); {RESTORE}") from None
    if wrong := next(_wrong_values(manifest), None):
        raise UserError(f"{path}: not a manifest ({wrong}); {RESTORE}")
    return manifest


def _manifest(values: dict[str, Any]) -> Manifest:
    splits = {split: [ShardRecord(**record) for record in records] for split, records in values["splits"].items()}
    return Manifest(**values | {"class_names": tuple(values["class_names"]), "splits": splits})


def _wrong_values(manifest: Manifest) -> Iterator[str]:
    """What is of another type than it must be, or leads out of the folder."""
    if not (manifest.class_names and all(isinstance(name, str) for name in manifest.class_names)):
        yield "class_names are no names"
    if not (manifest.splits and all(manifest.splits.values())):
        yield "a split has no shard"
    for record in all_records(manifest.splits):
        folder, _, name = str(record.file).rpartition("/")
        if folder != DATA_FOLDER or not SHARD_NAME.fullmatch(name):
            yield f"{record.file!r} is no shard in {DATA_FOLDER}"
        if not all(_is_count(value) for value in (record.rows, record.first_index, record.bytes)):
            yield f"{record.file}: its sizes are no numbers"
    counts: Any = manifest.class_counts
    if not isinstance(counts, dict) or set(counts) != set(manifest.splits):
        yield "class_counts are not those of the splits"
    elif not all(_are_counts(row, len(manifest.class_names)) for row in counts.values()):
        yield "class_counts are no numbers"
    if not (_is_count(manifest.num_images) and isinstance(manifest.content_sha256, str)):
        yield "num_images or content_sha256 is none"
    objects: tuple[object, ...] = manifest.recipe, manifest.environment
    if not all(isinstance(value, dict) for value in objects):
        yield "recipe or environment is no object"


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _are_counts(value: object, length: int) -> bool:
    return isinstance(value, list) and len(value) == length and all(map(_is_count, value))


def write_beside(path: Path, data: bytes) -> None:
    """Writes a file of the dataset folder at once, through a temporary folder that does not stay."""
    tmp = path.parent / TMP_FOLDER / path.name
    with disk_errors(path):
        tmp.mkdir(parents=True, exist_ok=True)
    replace_file(path, data, tmp)
    with disk_errors(path):
        remove_tmp(tmp)


def _in_data_folder(record: ShardRecord) -> ShardRecord:
    return dataclasses.replace(record, file=f"{DATA_FOLDER}/{record.file}")


def all_records(splits: dict[str, list[ShardRecord]]) -> list[ShardRecord]:
    """Shards in the order of the content digest: splits by name, then by number."""
    return [record for split in sorted(splits) for record in splits[split]]
