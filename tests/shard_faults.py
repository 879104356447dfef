"""Writes shards while something goes wrong, in a process of its own: `python -m tests.shard_faults CASE FOLDER`.

Prints one JSON value; the tests say what it must be.
"""

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd  # noqa: F401 - pyarrow would import it in every child, for most of its time
import pyarrow.compute  # noqa: F401 - likewise

from pipeline.runtime.errors import UserError
from pipeline.shards import plan
from tests.shard_inputs import dataset, drawing, labelled, recording, tree, write

IMAGES = labelled(30)  # four shards
MOST_EVENTS = 200


def kill_everywhere(folder: Path) -> dict[str, Any]:
    """Kills a writer at its first draw, fsync or rename, another at its second, and so on; each is then resumed.

    Returns how many were killed and, for each that did not end up as the uninterrupted one, where it was killed.
    """
    assert in_child(partial(write, folder / "whole" / "data", IMAGES)) == 0
    differing: list[int] = []
    whole = tree(folder / "whole")
    for event in range(MOST_EVENTS):
        root = folder / f"killed-{event}"
        if in_child(partial(_write_until, root, event)) == 0:
            return {"killed": event, "differing": differing}
        assert in_child(partial(write, root / "data", IMAGES)) == 0
        if tree(root) != whole:
            differing.append(event)
    raise AssertionError(MOST_EVENTS)


def in_child(work: Callable[[], object]) -> int:
    """Does `work` in a fork of this process, which has no thread yet; its wait status."""
    if (child := os.fork()) == 0:
        try:
            work()
            os._exit(0)
        finally:  # an error must not go on in a second copy of this process
            traceback.print_exc()
            os._exit(1)
    return os.waitpid(child, 0)[1]


def _write_until(root: Path, event: int) -> None:
    """Writes; the process is gone, without any clean-up, before its draw, fsync or rename number `event`."""
    seen = 0

    def before(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any) -> Any:
            nonlocal seen
            if seen == event:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1
            return call(*args)

        return counted

    os.fsync, Path.replace = before(os.fsync), before(Path.replace)  # type: ignore[method-assign]
    write(root / "data", IMAGES, before(drawing(IMAGES)))


def refuse_disk(folder: Path) -> dict[str, Any]:
    """Writes to a disk that is full after a shard or two, goes on to a read-only one, then to one with room.

    Needs the right to mount: run it under `unshare -rm`. Returns both errors, the shards that were there
    after each, those that the last call drew, and whether all is as on a disk without faults.
    """
    disk, root = folder / "disk", folder / "disk" / "set"
    drawn: list[int] = []
    disk.mkdir()
    mount("-t", "tmpfs", "-o", "size=40k", "tmpfs", str(disk))
    found: dict[str, Any] = {"full": _error(root), "kept": sorted(path.name for path in (root / "data").iterdir())}
    mount("-o", "remount,ro", str(disk))
    found |= {"read_only": _error(root), "still": sorted(path.name for path in (root / "data").iterdir())}
    mount("-o", "remount,rw,size=16m", str(disk))
    write(root / "data", IMAGES, recording(IMAGES, drawn))
    return found | {"drawn": drawn, "equal": tree(dataset(root, IMAGES)) == tree(dataset(folder / "whole", IMAGES))}


def _error(root: Path) -> str:
    """The message that the user gets."""
    try:
        write(root / "data", IMAGES)
    except UserError as error:
        return str(error)
    raise AssertionError(root)


def mount(*arguments: str) -> None:
    """The command of that name."""
    subprocess.run(["mount", *arguments], check=True)


if __name__ == "__main__":
    os.fsync = lambda fd: None  # what was written outlives its process without; a thousand of them take minutes
    vars(plan).update(ROW_GROUP_ROWS=4, SHARD_ROWS=8)
    case = {"kill": kill_everywhere, "disk": refuse_disk}[sys.argv[1]]
    print(json.dumps(case(Path(sys.argv[2]))))  # noqa: T201 - for the test
