"""How every command starts and ends: its flags, the checks of the machine, and the one boundary for errors."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from pipeline.runtime.errors import ExhaustedError, StoppedError, UserError, disk_error, exit_foreign_python
from pipeline.runtime.signals import die_with_parent
from pipeline.runtime.user import complete_user

try:
    import typer

    from pipeline.runtime.resources import available_memory, in_words, need_address_space, need_memory
except ModuleNotFoundError as missing:
    exit_foreign_python(missing)

PathFlag = Annotated[Path, typer.Option(show_default=False)]
IntFlag = Annotated[int, typer.Option(show_default=False)]

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]  # click's UsageError, of which Typer has its own copy
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG)
# What torch says when its allocator on CPU, its allocator on a GPU or a mapping of a file gets nothing.
ALLOCATOR_MESSAGES = ("can't allocate memory", "out of memory", os.strerror(errno.ENOMEM))
# With less, libraries abort or hang where they cannot load or start a thread; Arrow's allocator alone maps 1 GiB.
LEAST_MEMORY, LEAST_ADDRESS_SPACE = 500_000_000, 2_000_000_000
LIBRARIES = 3_500_000_000  # of address space, torch's for CUDA included
SPIN_COUNT = "5000"


def run_stage(name: str) -> None:
    """Runs `main` of `stages.NAME` as a command line; the script calls this before it imports anything heavy.

    A killed dvc takes the stage with it, also while torch loads, and the machine is asked for memory before torch
    fails in its own words.
    """
    complete_user()
    shorten_spinning()
    die_with_parent()
    with error_boundary(name):
        refuse_orphan()
        need_room_to_start()
        run_command(_import_main(name))


def run_command(main: Callable[..., Any]) -> None:
    """Runs `main` as a command line: its keyword arguments are the flags."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    run_app(app)


def run_app(app: typer.Typer) -> None:
    """Runs a command line, inside `error_boundary`."""
    name = program_name()
    with error_boundary(name):
        sys.exit(app(prog_name=name, standalone_mode=False))


def program_name() -> str:
    """What runs: `train_gan`, `synthmix`."""
    file = Path(sys.argv[0])
    return "synthmix" if file.stem == "__main__" else file.stem


@contextmanager
def error_boundary(name: str) -> Iterator[None]:
    """Ends the process with one line where a user can act; any other exception is a fault of ours, with traceback.

    A UserError, a wrong flag, a full disk or memory that is used up exit with 2; work that was saved before it
    stopped exits with 128 + the signal.
    """
    try:
        yield
    except StoppedError as stopped:
        _end(str(stopped), stopped.exit_code)
    except ExhaustedError as error:
        _end(f"error: {name}: {error}", 2)
    except UserError as error:
        _end(f"error: {error}", 2)
    except USAGE_ERROR as error:
        _end(_describe_usage(error, name), 2)
    except typer.Abort:
        _end(f"{name}: aborted", 1)
    except (OSError, MemoryError, RuntimeError) as error:
        exhausted = as_exhausted(error)
        if exhausted is None:
            raise
        _end(f"error: {name}: {exhausted}", 2)


def as_exhausted(error: OSError | MemoryError | RuntimeError) -> ExhaustedError | None:
    """The disk or memory that is used up, where that is what a library says; None for every other failure."""
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return disk_error(Path(os.fsdecode(error.filename or Path.cwd())), error)
    if isinstance(error, OSError):
        lacks_memory = error.errno == errno.ENOMEM
    else:
        lacks_memory = isinstance(error, MemoryError) or any(words in str(error) for words in ALLOCATOR_MESSAGES)
    if not lacks_memory:
        return None
    message = " ".join(str(error).split())[:200] or "Python's own objects"
    return ExhaustedError(
        f"out of memory ({message}): {in_words(available_memory())} are free for this process; stop other programs, "
        "raise its limit, or lower sizes in params.yaml, then run again: what is finished is kept"
    )


def shorten_spinning() -> None:
    """Lets an OpenMP thread that waits spin only briefly, which torch reads when it is loaded.

    By default it spins on, and two jobs that share their cores all but stop each other (benchmarks/contention.py).
    """
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)


def refuse_orphan() -> None:
    """Ends a stage whose dvc died before the stage could ask to end with it: it is a child of another session by now.

    Raises:
        UserError: the parent is not the dvc that started this process.
    """
    if "DVC_STAGE" in os.environ and os.getsid(os.getppid()) != os.getsid(0):
        raise UserError("the dvc that started this stage is dead; run `dvc repro` again")


def need_room_to_start() -> None:
    """Refuses a machine or a limit so small that no library could say what it lacks.

    Raises:
        ExhaustedError: memory, or the address space that loading and running torch takes.
    """
    need_memory(LEAST_MEMORY, "any stage", "stop other programs, or take a larger machine")
    to_load = 0 if "torch" in sys.modules else LIBRARIES
    need_address_space(LEAST_ADDRESS_SPACE + to_load, "any stage", "raise this process's limit")


def _import_main(name: str) -> Callable[..., Any]:
    try:
        main: Callable[..., Any] = import_module(f"stages.{name}").main
    except ModuleNotFoundError as missing:
        if str(missing.name).startswith(("pipeline", "stages")):
            raise
        exit_foreign_python(missing)
    return main


def _describe_usage(error: Any, name: str) -> str:
    """What is wrong with a command line, on one line; the help where a group of commands was given none."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return str(error.format_message())
    command = error.ctx.command_path if error.ctx else name
    message = str(error.format_message()).strip()
    return f"error: {command}: {message[:1].lower()}{message[1:].rstrip('.')}; see: {command} --help"


def _end(line: str, code: int) -> None:
    print(line, file=sys.stderr)  # noqa: T201 - the one line that the user gets
    sys.exit(code)
