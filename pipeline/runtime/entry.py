"""Where a stage runs: its entry point, device, determinism, and its end when the parent dies."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.runtime.errors import ExhaustedError, StoppedError, UserError, disk_errors
from pipeline.runtime.resources import available_memory, in_words, need_address_space, need_memory
from pipeline.runtime.signals import die_with_parent

if TYPE_CHECKING:  # stages without a network start without torch
    pass

PathFlag = Annotated[Path, typer.Option(show_default=False)]
IntFlag = Annotated[int, typer.Option(show_default=False)]

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG)
# Of torch on CPU and on a GPU, of Python, of the operating system.
MEMORY_WORDS = ("can't allocate memory", "out of memory", "can't start new thread", os.strerror(errno.ENOMEM))
# With less, libraries abort or hang where they cannot load or start a thread; Arrow's allocator alone maps 1 GiB.
LEAST_MEMORY, LEAST_ADDRESS_SPACE = 500_000_000, 2_000_000_000
LIBRARIES = 3_500_000_000  # of address space, torch's for CUDA included
SCARCE = 64_000_000  # with less left, an import or a library's call that fails has failed for want of memory


def run_stage(main: Callable[..., Any]) -> None:
    """`run_program` of a stage, which does not start where its libraries could not say what they lack."""
    with one_line(program_name()):
        need_room_to_start(LEAST_ADDRESS_SPACE)
    run_program(main)


def run_program(main: Callable[..., Any]) -> None:
    """Runs `main` as a command line: its keyword arguments are the flags; ends as `one_line` says."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    run_app(app)


def run_app(app: typer.Typer) -> None:
    """Runs a command of several sub-commands; ends as `one_line` says."""
    die_with_parent()
    with one_line(program_name()), exhaustion():
        app()


def program_name() -> str:
    """What runs: `train_gan`, `sweep`."""
    file = Path(sys.argv[0])
    return file.parent.name if file.stem == "__main__" else file.stem


@contextmanager
def one_line(name: str) -> Iterator[None]:
    """A UserError ends in one line and exit code 2, and so do a disk or memory that is used up, with the stage's name.

    Any other exception keeps its traceback. A stage that saves before it stops exits with 128 + the signal, as Typer
    does after Ctrl-C.
    """
    try:
        yield
    except UserError as error:
        named = f"{name}: " if isinstance(error, ExhaustedError) else ""
        print(f"error: {named}{error}", file=sys.stderr)  # noqa: T201 - the one line that the user gets
        sys.exit(2)
    except StoppedError as stopped:
        print(stopped, file=sys.stderr)  # noqa: T201 - as above
        sys.exit(stopped.exit_code)


def need_room_to_start(address_space: int) -> None:
    """Refuses a machine or a limit so small that no library could say what it lacks."""
    need_memory(LEAST_MEMORY, "any stage", "stop other programs, or take a larger machine")
    need_address_space(address_space, "any stage", "raise this process's limit")


@contextmanager
def exhaustion() -> Iterator[None]:
    """Turns what any library raises where disk or memory is used up into an ExhaustedError."""
    try:
        yield
    except (OSError, MemoryError, RuntimeError, SystemError, ImportError) as error:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            with disk_errors(Path(os.fsdecode(error.filename or Path.cwd()))):
                raise
        text, free = str(error), available_memory()
        named = isinstance(error, MemoryError) or any(word in text for word in MEMORY_WORDS)
        if not named and (isinstance(error, OSError) or free >= SCARCE):
            raise
        told = " ".join(text.split())[:200] or "Python's own objects"
        raise ExhaustedError(
            f"out of memory ({told}): {in_words(free)} are free for this process; stop other programs, "
            "raise its limit, or lower sizes in params.yaml, then run again: what is finished is kept"
        ) from None
