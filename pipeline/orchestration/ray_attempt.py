"""What a Ray worker does with a task: unpack what it reads, run it, pack what it wrote.

Ray sends `attempt` by value, so a node needs the packages that the project depends on and no copy of the project:
imports of ours stand inside the functions, and run on the code that came with the task.
"""

import atexit
import io
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

Answer = tuple[int, str, float, float, bytes]  # exit code, output, wall and processor time in seconds, what was written


def pack(root: Path, paths: Iterable[str]) -> bytes:
    """A tar of those of `paths`, relative to `root`, that are there; compiled modules are left out."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in paths:
            if (root / path).exists():
                archive.add(root / path, path, filter=lambda file: None if "__pycache__" in file.name else file)
    return buffer.getvalue()


def unpack(content: bytes, root: Path) -> None:
    """Writes the files of a tar of `pack` below `root`."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(root, filter="data")


def attempt(
    code: bytes, command: str, environment: Mapping[str, str], writes: tuple[str, ...], *inputs: bytes
) -> Answer:
    """Runs one command line in a folder of its own, which is gone afterwards.

    Args:
        code: a tar of the project's code, the same one for all tasks that a process runs.
        command: `exec python -m MODULE FLAGS`.
        environment: variables for it.
        writes: its outs.
        inputs: a tar each of what it reads.
    """
    home = Path.cwd()
    _use_code(code)
    from pipeline.orchestration.times import time_here
    from pipeline.orchestration.workers import run_task

    with tempfile.TemporaryDirectory(prefix="synthmix-") as scratch:
        for content in (code, *inputs):
            unpack(content, Path(scratch))
        os.chdir(scratch)
        try:
            with _output_in(Path("output.log")) as log, time_here() as took:
                exit_code = run_task(command, environment)
            return exit_code, log.read_text(errors="replace"), took.wall, took.processor, pack(Path(), writes)
        finally:
            os.chdir(home)


def _use_code(code: bytes) -> None:
    """Puts the code that came with the task before any other that the node may have, once a process."""
    if "SYNTHMIX_CODE" in os.environ:
        return
    folder = os.environ["SYNTHMIX_CODE"] = tempfile.mkdtemp(prefix="synthmix-code-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    unpack(code, Path(folder))
    sys.path[:0] = [folder, ""]  # then the user's own modules in the task's folder
    from pipeline.runtime import progress

    progress.SECONDS_BETWEEN_LINES = float("inf")  # one progress over all cells is shown instead


@contextmanager
def _output_in(log: Path) -> Iterator[Path]:
    """Sends what the block writes to stdout and stderr, programs that it starts included, to a file."""
    before = os.dup(1), os.dup(2)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield log
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, old in enumerate(before, start=1):
            os.dup2(old, stream)
            os.close(old)
