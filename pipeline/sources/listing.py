"""Which files lie below a folder: each is found once or named, through links too, whatever the locale."""

import logging
import os
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import NoReturn

from pipeline.runtime.errors import UserError, printable

DATASET_KEY, SET_KEY = "dataset.path", "synthesize.path"  # of params, as errors name them
AGAIN = "after a change there, run this stage with dvc repro --force"
WANTED, UNIMPORTANT = "wanted", ""
Identity = tuple[int, int]


def list_files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Every file below `folder` of these suffixes, in the order of the bytes of their relative paths.

    Linked folders are searched as others are, each folder once. What is left out is counted in a warning, and so are
    linked folders, which DVC does not watch.

    Raises:
        UserError: a folder cannot be read.
    """
    try:
        found, left_out, num_links = _search(folder, suffixes)
    except OSError as error:
        reason = f"cannot be read ({error.strerror}); make it readable, or remove it"
        raise UserError(f"{error.filename}: {reason}") from None
    if left_out:
        kinds = printable(", ".join(f"{count} {kind}" for kind, count in sorted(left_out.items())))
        logging.getLogger(__name__).warning("%s: left out %s", printable(str(folder)), kinds)
    if num_links + folder.is_symlink():
        logging.getLogger(__name__).warning(
            "%s: DVC does not look behind linked folders: %s", printable(f"{folder}"), AGAIN
        )
    return sorted(found, key=lambda path: os.fsencode(path.relative_to(folder).as_posix()))


def read_entries(folder: Path, key: str) -> list[Path]:
    """What lies in `folder`, which `key` of params names, but for what is hidden.

    Raises:
        UserError: it is no folder, or cannot be read.
    """
    try:
        entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{key}: {folder} is not a folder that can be read ({reason})") from None
    return sorted(entries, key=lambda path: os.fsencode(path.name))


def _search(folder: Path, suffixes: Collection[str]) -> tuple[list[Path], Counter[str], int]:
    """The files, how many of each kind are left out, and how many linked folders were searched.

    Raises:
        OSError: a folder cannot be read.
    """
    found: list[Path] = []
    num_links = 0
    left_out: Counter[str] = Counter()
    above = {_identity(path) for path in {*folder.absolute().parents, *folder.resolve().parents}}
    seen = above | {_identity(folder)}
    for name, folders, files in os.walk(folder, onerror=_fail, followlinks=True):
        here = Path(name)
        folders[:] = [child for child in sorted(folders) if _is_new(here / child, above, seen, left_out)]
        num_links += sum((here / child).is_symlink() for child in folders)
        kinds = {file: _kind(here / file, suffixes) for file in files}
        found += [here / file for file, kind in kinds.items() if kind == WANTED]
        left_out.update(kind for kind in kinds.values() if kind not in (WANTED, UNIMPORTANT))
    return found, left_out, num_links


def _identity(path: Path) -> Identity:
    status = path.stat()
    return status.st_dev, status.st_ino


def _is_new(folder: Path, above: set[Identity], seen: set[Identity], left_out: Counter[str]) -> bool:
    """Whether to search a folder, which then is no longer new."""
    if folder.name.startswith("."):
        left_out["hidden folder"] += 1
        return False
    identity = _identity(folder)
    if identity in above:
        left_out["link to a folder that holds it"] += 1
    if identity in seen:
        return False
    seen.add(identity)
    return True


def _kind(file: Path, suffixes: Collection[str]) -> str:
    """WANTED, or why the file is left out; UNIMPORTANT where nobody would look for it."""
    is_wanted = file.suffix.lower() in suffixes
    if file.name.startswith("."):
        return "hidden file" if is_wanted else UNIMPORTANT
    leads_nowhere = file.is_symlink() and not file.exists()
    if is_wanted and (file.is_file() or leads_nowhere):  # the latter is an error of who reads it
        return WANTED
    if file.is_file():
        return file.suffix or "without suffix"
    return "link that leads nowhere" if leads_nowhere else "that is no file"


def _fail(error: OSError) -> NoReturn:
    raise error
