"""Files that are whole or absent, whatever happens while they are written."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pipeline.runtime.errors import UserError, disk_errors


@contextmanager
def replacing(path: Path, tmp: Path) -> Iterator[BinaryIO]:
    """A file to write; at the end of the block `path` holds all of it, or after an error what it held before.

    Holds even after a power cut.

    Args:
        path: in an existing folder.
        tmp: existing folder on the same disk, for the unfinished file.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    part = tmp / f"{path.name}.part"
    with disk_errors(path):
        try:
            with part.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            _fsync_folder(path.parent)
        finally:
            part.unlink(missing_ok=True)  # a full disk gets its space back


def replace_file(path: Path, data: bytes, tmp: Path) -> None:
    """Writes `data`, the whole content of `path`; see `replacing`."""
    with replacing(path, tmp) as file:
        file.write(data)


@contextmanager
def creating(out: Path) -> Iterator[Path]:
    """A free place beside `out` for a file or folder, which becomes `out` unless the block ends in an error.

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


def _remove(path: Path) -> None:
    """Deletes a file, a folder or nothing."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_tmp(tmp: Path) -> None:
    """Deletes `tmp`, and the `.tmp` above it once that is empty."""
    shutil.rmtree(tmp)
    if not any(tmp.parent.iterdir()):
        tmp.parent.rmdir()


def _fsync_folder(folder: Path) -> None:
    """Makes a rename in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(file: Path, data: bytes) -> None:
    """Makes `data` the whole content of `file`, which at any moment holds what it held before or all of `data`.

    Raises:
        ExhaustedError: the disk is full or refuses.
    """
    temporary = file.with_name(f".{file.name}.tmp")
    with disk_errors(file, len(data)):
        file.parent.mkdir(parents=True, exist_ok=True)
        with _open_alone(temporary) as stream:
            try:
                stream.write(data)
                stream.flush()
                temporary.replace(file)
            except OSError:
                temporary.unlink(missing_ok=True)  # a full disk gets its space back
                raise


def _open_alone(file: Path) -> BinaryIO:
    """`file`, empty and locked until it is closed: two processes that write one file take turns."""
    while True:
        stream = file.open("ab")
        fcntl.flock(stream, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(file.stat(), os.fstat(stream.fileno())):
                stream.truncate(0)
                return stream
        stream.close()  # while this waited, the file got its final name: another one is needed
