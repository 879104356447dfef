"""Files and folders that are whole or absent, whatever happens while they are written."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pipeline.runtime.errors import UserError, disk_errors
from pipeline.runtime.locks import lock


@contextmanager
def replacing(path: Path, tmp: Path | None = None, size: int | None = None) -> Iterator[BinaryIO]:
    """A file to write; at the end of the block `path` holds all of it, or after an error what it held before.

    Holds after a power cut too, and processes that write one `path` take turns.

    Args:
        path: its folder is made if absent.
        tmp: existing folder on the same disk for the unfinished file; None hides it beside `path`.
        size: bytes that will be written, where they are known, for the error.

    Raises:
        ExhaustedError: the disk is full or refuses.
    """
    part = tmp / f"{path.name}.part" if tmp else path.with_name(f".{path.name}.part")
    with disk_errors(path, size):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _open_alone(part) as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)  # a full disk gets its space back
                raise
        _fsync_folder(path.parent)


def write_bytes(path: Path, data: bytes | memoryview, tmp: Path | None = None) -> None:
    """Writes `data`, the whole content of `path`; see `replacing`."""
    with replacing(path, tmp, len(data)) as file:
        file.write(data)


@contextmanager
def creating(out: Path) -> Iterator[Path]:
    """A free path beside `out` for a new file or folder, which becomes `out` unless the block ends in an error.

    Raises:
        UserError: `out` is there already, the disk is full or the folder cannot be written.
    """
    if out.exists():
        raise UserError(f"{out}: is there already; move it away or name another place")
    part = out.with_name(f".{out.name}.part")
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove(part)  # of an export that was killed
        try:
            yield part
            part.rename(out)
        finally:
            _remove(part)


def remove_tmp(tmp: Path) -> None:
    """Deletes `tmp`, and the `.tmp` above it once that is empty."""
    shutil.rmtree(tmp)
    if not any(tmp.parent.iterdir()):
        tmp.parent.rmdir()


def _open_alone(file: Path) -> BinaryIO:
    """`file`, empty and locked until it is closed."""
    while True:
        stream = file.open("ab")
        lock(stream)
        with suppress(FileNotFoundError):
            if os.path.samestat(file.stat(), os.fstat(stream.fileno())):
                stream.truncate(0)
                return stream
        stream.close()  # while this waited, the file got its final name: another one is needed


def _remove(path: Path) -> None:
    """Deletes a file, a folder or nothing."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _fsync_folder(folder: Path) -> None:
    """Makes a rename in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
