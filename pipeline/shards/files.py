"""Files that are whole or absent, whatever happens while they are written."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from pipeline.errors import UserError


def replace_file(path: Path, data: bytes | pa.Buffer, tmp: Path) -> None:
    """Writes `data` so that `path` holds either what it held before or all of it, even after a power cut.

    Args:
        path: in an existing folder.
        data: the whole content.
        tmp: existing folder on the same disk, for the unfinished file.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    part = tmp / f"{path.name}.part"
    with disk_errors(path):
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            _fsync_folder(path.parent)
        finally:
            part.unlink(missing_ok=True)  # a full disk gets its space back


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns what the disk refuses into a UserError that names `path`."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: cannot write ({error.strerror or error}); free space or make the folder writable, "
            "then run again: finished shards are kept"
        ) from None


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
