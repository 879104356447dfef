"""Where a stage runs: its entry point, device, determinism, and its end when the parent dies."""

import ctypes
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.errors import ExhaustedError, StoppedError, UserError, disk_errors
from pipeline.room import available_memory, in_words, need_address_space, need_memory

if TYPE_CHECKING:  # stages without a network start without torch
    import torch

PathFlag = Annotated[Path, typer.Option(show_default=False)]
IntFlag = Annotated[int, typer.Option(show_default=False)]

PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>
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
    die_with_parent()
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
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


def die_with_parent() -> None:
    """Asks Linux to end this process when its parent ends, so that a killed `dvc` leaves no orphan at work."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def hold_signals() -> Iterator[Callable[[], int]]:
    """Holds SIGTERM and SIGINT back; the callable gives the first one's number, or 0.

    Work that can save its state asks at every step (pre-emptible machines send SIGTERM, dvc's death does too).
    A second signal has its usual effect at once.
    """
    received: list[int] = []
    held = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in held}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def receive(number: int, _: object) -> None:
        received.append(number)
        restore()

    for number in held:
        signal.signal(number, receive)
    try:
        yield lambda: received[0] if received else 0
    finally:
        restore()


def pick_device() -> "torch.device":
    """The device named by PIPELINE_DEVICE (auto, cpu or cuda), made deterministic.

    Raises:
        UserError: an unknown name, or cuda where there is none.
    """
    import torch

    wanted = os.environ.get("PIPELINE_DEVICE", "auto")
    if wanted not in ("auto", "cpu", "cuda"):
        raise UserError(f"PIPELINE_DEVICE is '{wanted}'; set it to auto, cpu or cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("PIPELINE_DEVICE is cuda, but torch sees no GPU; set it to auto or cpu")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False
    torch.set_deterministic_debug_mode("warn")  # as use_deterministic_algorithms, without its 2 s import of a compiler
    # Filling costs a tenth of a training step, and no operation of ours reads memory that it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property of the module
    return torch.device(wanted)


def describe_environment(device: "torch.device") -> dict[str, str | int]:
    """What, besides the inputs, the bits of a network's output depend on: device model, versions, threads."""
    import torch

    if device.type == "cuda":
        return {"device": torch.cuda.get_device_name(device), "torch": torch.__version__}
    return {"device": "cpu", "torch": torch.__version__, "threads": torch.get_num_threads()}
