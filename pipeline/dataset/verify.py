"""Whether a dataset folder is what its manifest says: every file is read again."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.files import hash_file
from pipeline.runtime.errors import UserError, printable
from pipeline.shards.digest import ContentDigest
from pipeline.shards.manifest import (
    CARD_FILE,
    DATA_FOLDER,
    MANIFEST_FILE,
    TMP_FOLDER,
    Manifest,
    all_records,
    read_manifest,
)
from pipeline.shards.plan import ShardRecord
from pipeline.shards.reader import RESTORE, read_file_column, read_files, read_header, read_schema
from pipeline.shards.schema import image_schema


class FoundProblemsError(UserError):
    """A dataset that is not what it should be: one line a problem."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(problems[0])
        self.args = ("\n".join(map(printable, problems)),)


def verify_dataset(root: Path) -> str:
    """Compares hashes, counts, columns, labels and content with the manifest; says what was found to be sound.

    Raises:
        FoundProblemsError: something differs.
        UserError: there is no readable manifest.
    """
    if problems := find_problems(root):
        raise FoundProblemsError(problems)
    manifest = read_manifest(root)
    counts = [count for split in manifest.class_counts.values() for count in split]
    num_shards = sum(len(records) for records in manifest.splits.values())
    return (
        f"OK: {root}: {manifest.num_images} images, {len(manifest.class_names)} classes of {min(counts)} to "
        f"{max(counts)} images, {num_shards} shards, content sha256 {manifest.content_sha256}"
    )


def digest_shards(root: Path, manifest: Manifest) -> ContentDigest:
    """What the shards in a dataset folder hold.

    Raises:
        UserError: a shard is not readable.
    """
    digest = ContentDigest()
    for split in sorted(manifest.splits):
        for record in manifest.splits[split]:
            digest.add_shard(split, root / record.file)
    return digest


def find_problems(root: Path) -> list[str]:
    """Reads everything in a dataset folder again; one line for each thing that is not as the manifest says.

    Raises:
        UserError: there is no manifest.
    """
    manifest = read_manifest(root)
    problems = [*_folder_problems(root, manifest), *_count_problems(root, manifest)]
    for record in all_records(manifest.splits):
        problems.extend(_shard_problems(root / record.file, record, manifest))
    if problems:  # the content could only repeat them
        return problems
    digest, file = digest_shards(root, manifest), root / MANIFEST_FILE
    counts = {split: tuple(numbers) for split, numbers in digest.class_counts.items()}
    if counts != manifest.class_counts:
        problems.append(f"{file}: class_counts is {manifest.class_counts}, the shards have {counts}")
    if digest.sha256() != manifest.content_sha256:
        problems.append(f"{file}: content_sha256 is {manifest.content_sha256}, the shards give {digest.sha256()}")
    return problems


def _folder_problems(root: Path, manifest: Manifest) -> Iterator[str]:
    """Files that should not be there, and the card, which is written last."""
    known = {record.file for record in all_records(manifest.splits)}
    for path in sorted((root / DATA_FOLDER).glob("*")):
        if path.relative_to(root).as_posix() not in known:
            yield f"{path}: not in the manifest; move it away"
    if not (root / CARD_FILE).is_file():
        yield f"{root / CARD_FILE}: missing, so the dataset is not finished; write it again"
    if (root / TMP_FOLDER).exists():
        yield f"{root / TMP_FOLDER}: left by an unfinished write; write the dataset again"


def _count_problems(root: Path, manifest: Manifest) -> Iterator[str]:
    """Whether the manifest's numbers add up."""
    rows = sum(record.rows for record in all_records(manifest.splits))
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
        for column, wanted in manifest.row_constants.items():
            if set(read_file_column(path, column).tolist()) - {wanted}:
                yield f"{path}: column {column} is not the manifest's, {wanted}; {RESTORE}"
    except UserError as error:
        yield str(error)
