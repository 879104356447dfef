"""The manifest of a dataset folder: what it must hold, and whether it does."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.files import hash_file, to_json
from pipeline.shards.files import disk_errors, remove_tmp, replace_file
from pipeline.shards.reader import RESTORE, read_file_column, read_files, read_header, read_schema
from pipeline.shards.schema import image_schema
from pipeline.shards.writer import ShardRecord

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
        content_sha256: see `content_digest`.
        recipe: what the images are a function of.
        environment: with which the files' bytes, not only their content, come out the same.
    """

    class_names: tuple[str, ...]
    num_images: int
    splits: dict[str, list[ShardRecord]]
    content_sha256: str
    recipe: dict[str, Any]
    environment: dict[str, Any]


def write_manifest(
    root: Path, splits: dict[str, list[ShardRecord]], *, recipe: dict[str, Any], environment: dict[str, Any]
) -> Manifest:
    """Reads the finished shards in `root`/data back and writes `root`/manifest.json.

    Args:
        root: the dataset folder.
        splits: what `write_shards` returned for each split.
        recipe: what the images are a function of; for people to read.
        environment: versions and device; no host, path or time.

    Raises:
        UserError: a shard is not readable, or the folder cannot be written.
    """
    placed = {split: [_in_data_folder(record) for record in records] for split, records in splits.items()}
    files = [root / record.file for record in _all_records(placed)]
    manifest = Manifest(
        class_names=read_header(files[0]).class_names,
        num_images=sum(record.rows for record in _all_records(placed)),
        splits=placed,
        content_sha256=content_digest(files),
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
        values = json.loads(path.read_bytes())
        splits = {split: [ShardRecord(**record) for record in records] for split, records in values["splits"].items()}
        return Manifest(**values | {"class_names": tuple(values["class_names"]), "splits": splits})
    except FileNotFoundError:
        raise UserError(f"{path}: not found; the dataset is not finished, write it again") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not a manifest ({error!r}); {RESTORE}") from None


def content_digest(files: list[Path]) -> str:
    """sha256 over the sha256 of all labels, all index (int64, little-endian) and all pixels (uint8 NHWC).

    Rows are in the order of `files`. The same images give the same digest whatever pyarrow's version or the
    encoding of the images, which the files' own sha256 do not.
    """
    labels, index, pixels = (hashlib.sha256() for _ in range(3))
    for file in files:
        images = read_files([file])
        labels.update(images.labels.astype("<i8").tobytes())
        index.update(read_file_column(file, "index").astype("<i8").tobytes())
        pixels.update(images.images.data)
    return hashlib.sha256(labels.digest() + index.digest() + pixels.digest()).hexdigest()


def find_problems(root: Path) -> list[str]:
    """Reads everything in a dataset folder again; one line for each thing that is not as the manifest says.

    Raises:
        UserError: there is no manifest.
    """
    manifest = read_manifest(root)
    problems = [*_folder_problems(root, manifest), *_count_problems(root, manifest)]
    for record in _all_records(manifest.splits):
        problems.extend(_shard_problems(root / record.file, record, manifest))
    if problems:  # the digest could only repeat them
        return problems
    found = content_digest([root / record.file for record in _all_records(manifest.splits)])
    if found != manifest.content_sha256:
        return [f"{root / MANIFEST_FILE}: content_sha256 is {manifest.content_sha256}, the shards give {found}"]
    return []


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


def _all_records(splits: dict[str, list[ShardRecord]]) -> list[ShardRecord]:
    """Shards in the order of the content digest: splits by name, then by number."""
    return [record for split in sorted(splits) for record in splits[split]]


def _folder_problems(root: Path, manifest: Manifest) -> Iterator[str]:
    """Files that should not be there, and the card, which is written last."""
    known = {record.file for record in _all_records(manifest.splits)}
    for path in sorted((root / DATA_FOLDER).glob("*")):
        if path.relative_to(root).as_posix() not in known:
            yield f"{path}: not in the manifest; move it away"
    if not (root / CARD_FILE).is_file():
        yield f"{root / CARD_FILE}: missing, so the dataset is not finished; write it again"
    if (root / TMP_FOLDER).exists():
        yield f"{root / TMP_FOLDER}: left by an unfinished write; write the dataset again"


def _count_problems(root: Path, manifest: Manifest) -> Iterator[str]:
    """Whether the manifest's numbers add up."""
    rows = sum(record.rows for record in _all_records(manifest.splits))
    if rows != manifest.num_images:
        yield f"{root / MANIFEST_FILE}: num_images is {manifest.num_images}, its shards have {rows} rows"
    for records in manifest.splits.values():
        start = 0
        for record in records:
            if record.first_index != start:
                yield f"{root / MANIFEST_FILE}: {record.file} begins at {record.first_index}, not {start}"
            start += record.rows


def _shard_problems(path: Path, record: ShardRecord, manifest: Manifest) -> Iterator[str]:
    """What is wrong with one shard; stops at the first thing that explains the rest."""
    if not path.is_file():
        yield f"{path}: missing; {RESTORE}"
    elif path.stat().st_size != record.bytes:
        yield f"{path}: has {path.stat().st_size} bytes, the manifest says {record.bytes}; {RESTORE}"
    elif (found := hash_file(path)) != record.sha256:
        yield f"{path}: its sha256 is {found}, the manifest says {record.sha256}; {RESTORE}"
    else:
        yield from _content_problems(path, record, manifest)


def _content_problems(path: Path, record: ShardRecord, manifest: Manifest) -> Iterator[str]:
    """What is wrong with the rows of a shard whose bytes are those of the manifest."""
    try:
        header = read_header(path)
        if header.rows != record.rows:
            yield f"{path}: has {header.rows} rows, the manifest says {record.rows}; {RESTORE}"
        if not read_schema(path).equals(image_schema(manifest.class_names, header.shape), check_metadata=True):
            yield f"{path}: its columns or class names are not those of the dataset; {RESTORE}"
        read_files([path])  # decodes every image and checks every label
    except UserError as error:
        yield str(error)
