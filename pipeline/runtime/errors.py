"""What ends a stage in one line: a user's mistake, a machine that is used up, or a wish to stop."""

from __future__ import annotations  # also an older python than ours must get as far as `exit_foreign_python`

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn


def printable(text: str) -> str:
    """`text` on one line, with an escape for every character that would break the line or steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class UserError(ValueError):
    """A user's mistake, described in one line: what is wrong, where (file, row, key), and what to do.

    Entry points print the line and exit with code 2; every other exception is a fault of ours and keeps
    its traceback. What stands in it may come from data, so it is made `printable`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class ExhaustedError(UserError):
    """Disk or memory that is used up, or a disk that refuses: what was needed, what is there."""


class StoppedError(Exception):
    """Someone asked the stage to stop, and its work is saved; the entry point exits as the signal's default would."""

    def __init__(self, signal_number: int, where: str) -> None:
        super().__init__(f"{where}: stopped by signal {signal_number}, its work is saved; the same command goes on")
        self.exit_code = 128 + signal_number


def exit_foreign_python(missing: ModuleNotFoundError) -> NoReturn:
    """Ends a command that a python without our packages runs: dvc.yaml says `python`, and PATH decides which."""
    print(  # noqa: T201 - the one line that the user gets
        f"error: {sys.executable} lacks the package {missing.name}: "
        "run `make setup`, then put .venv/bin first on PATH: . .venv/bin/activate",
        file=sys.stderr,
    )
    sys.exit(2)


@contextmanager
def disk_errors(path: Path, need: int | None = None) -> Iterator[None]:
    """Turns what the disk refuses into an ExhaustedError about `path`, whose size is `need` bytes where known."""
    try:
        yield
    except OSError as error:
        raise disk_error(path, error, need) from None


def disk_error(path: Path, error: OSError, need: int | None = None) -> ExhaustedError:
    """What the disk refused, with what is free on it."""
    size = "" if need is None else f"needs {need:,} bytes, "
    return ExhaustedError(
        f"{path}: cannot write ({error.strerror or error}): {size}{free_bytes(path):,} bytes are free there; "
        "free space or make the folder writable, then run again: what is finished is kept"
    )


def free_bytes(path: Path) -> int:
    """What the disk that holds `path`, or will hold it, has left for this user."""
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free
