"""Runs a command of ours with a fault planted in it: `python -m tests.recovery.launch FAULT MODULE FLAGS…`.

FAULT is JSON: `{"signal": 9, "at": 12}` sends itself the signal before its 12th change of the disk (a file opened
for writing, renamed or deleted below the working folder); `{"memory": 1000000}` lets it have so many bytes more than
it has once everything is imported; `{"fsync": 0.3}` makes every fsync take so many seconds longer; `{"count": FILE}`
writes the number of changes to FILE.
"""

import importlib
import json
import os
import resource
import runpy
import sys
import time
from pathlib import Path
from typing import Any

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate")
FOLDER = os.getcwd() + os.sep  # noqa: PTH109 - compared in an audit hook, which must be quick and import nothing


class Changes:
    """Counts changes of the disk below the working folder, and obeys `signal` and `at`."""

    def __init__(self, fault: dict[str, Any]) -> None:
        self.seen = 0
        self._signal, self._at = fault.get("signal"), fault.get("at")

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Python's audit hook."""
        writes = event == "open" and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
        if not (writes or event in CHANGES) or isinstance(arguments[0], int):
            return
        if os.path.abspath(os.fsdecode(arguments[0])).startswith(FOLDER):  # noqa: PTH100 - as above
            self.seen += 1
            if self.seen - 1 == self._at:
                os.kill(os.getpid(), self._signal or 0)


def limit_memory(extra: int) -> None:
    """Lets this process have `extra` bytes more than it has."""
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + extra, resource.RLIM_INFINITY))


def slow_fsync(seconds: float) -> None:
    """A disk that takes its time."""
    fsync = os.fsync

    def slow(handle: int) -> None:
        time.sleep(seconds)
        fsync(handle)

    os.fsync = slow  # type: ignore[assignment]


def main() -> None:
    """Plants the fault and becomes the command."""
    fault: dict[str, Any] = json.loads(sys.argv.pop(1))
    module = sys.argv.pop(1)
    if "memory" in fault:
        importlib.import_module(module)
        limit_memory(fault["memory"])
    if "fsync" in fault:
        slow_fsync(fault["fsync"])
    changes = Changes(fault)
    sys.addaudithook(changes.hook)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        if "count" in fault:
            Path(fault["count"]).write_text(str(changes.seen), encoding="ascii")


if __name__ == "__main__":
    main()
