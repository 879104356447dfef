"""Runs in MLflow, written by a companion process so that no stage waits for them or fails by them.

mlflow takes two seconds to import and a server may take any time to answer. The stage therefore only says that it
begins, that its files have grown, and that it ends; `python -m pipeline.tracking.writer` at the other end of a pipe
imports mlflow while the stage computes, publishes what the files hold, and ends with it. A process that runs many
stages shares one companion between them.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path

from pipeline.params.load import load_all_params
from pipeline.runtime.errors import StoppedError, UserError
from pipeline.runtime.progress import named_bars
from pipeline.tracking.execution import Cell, behind, describe_place
from pipeline.tracking.messages import End, Message, Publish, Start, Status, encode
from pipeline.tracking.usage import Usage, describe_torch

UPSTREAM = "PIPELINE_UPSTREAM"  # variable with md5 by path, as JSON, of outs that dvc.lock may not have yet
PATIENCE = 60.0  # seconds that a finished stage waits for its last upload
Companion = subprocess.Popen[bytes]
_shared: ContextVar[list[Companion] | None] = ContextVar(
    "_shared", default=None
)  # by `shared_writer`; the last one writes


class TrackedRun:
    """The run of a stage at work; nothing it does can fail or delay the stage."""

    def __init__(self, send: Callable[[Message], None]) -> None:
        self._send = send

    def publish(self) -> None:
        """Brings the run up to what the stage's files hold by now: the rows of a history, pictures."""
        self._send(Publish(time=_now()))


@contextmanager
def tracked_run(stage: str, paths: Mapping[str, Path], *, cell: Cell | None = None) -> Iterator[TrackedRun]:
    """The MLflow run of `stage`; for `evaluate` the parent run that holds the whole execution.

    Bars in here bear its name. What the run holds is read from the stage's files, at each `publish` and once more when
    the stage has succeeded. A store out of reach raises nothing: one line on stderr says so.

    Args:
        stage: its name.
        paths: of its data and its files, under the names of the command's flags.
        cell: what identifies the run among those of its stage: `replicate`, and a cell's percent and control.

    Raises:
        UserError: PIPELINE_TRACKING is neither `on` nor `off`.
    """
    with named_bars(describe_place(stage, cell or {}, load_all_params())):
        if _is_on():
            yield from _track(stage, paths, cell or {})
        else:
            yield TrackedRun(_ignore)


def _track(stage: str, paths: Mapping[str, Path], cell: Cell) -> Iterator[TrackedRun]:
    """Yields the run once, and ends it as the block that it is given to ends."""
    writer = _get_writer()
    usage = Usage(own_process=_shared.get() is None)
    status: Status = "FAILED"
    try:
        upstream = json.loads(os.environ.get(UPSTREAM, "{}"))
        _send(writer, Start(stage=stage, cell=dict(cell), paths=dict(paths), upstream=upstream, time=_now()))
        yield TrackedRun(partial(_send, writer))
        status = "FINISHED"
    except (KeyboardInterrupt, StoppedError):
        status = "KILLED"
        raise
    finally:
        _send(writer, End(status=status, tags=describe_torch(), usage=usage.measure(), time=_now()))
        if _shared.get() is None:
            _finish(writer)


@contextmanager
def shared_writer() -> Iterator[None]:
    """Runs in here share one companion, which imports mlflow once and is waited for at the end alone."""
    writers: list[Companion] = []
    before = _shared.set(writers)
    try:
        yield
    finally:
        _shared.reset(before)
        for writer in writers:
            _finish(writer)


def _get_writer() -> Companion:
    """The companion of this run: the shared one, anew where it died, or one of its own."""
    writers = _shared.get()
    if writers is None:
        return _start_writer()
    if not writers or writers[-1].poll() is not None:
        writers.append(_start_writer())
    return writers[-1]


def _ignore(message: Message) -> None:
    """Takes what a run says where nobody tracks."""


def _is_on() -> bool:
    switch = os.environ.get("PIPELINE_TRACKING", "on")
    if switch not in ("on", "off"):
        raise UserError(f"PIPELINE_TRACKING is {switch!r}: set it to on or off")
    return switch == "on" and os.environ.get("RANK", "0") == "0"  # of several processes the first one logs


def _start_writer() -> Companion:
    """Starts the companion on this very code; in its own session, so that Ctrl-C does not end it before the run."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.tracking.writer"],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": path},
        start_new_session=True,
    )


def _send(writer: Companion, message: Message) -> None:
    assert writer.stdin is not None
    with suppress(BrokenPipeError):  # the companion died: _finish says so
        writer.stdin.write(encode(message))


def _finish(writer: Companion) -> None:
    """Waits for the companion; one that is stuck or died is given up with the one line."""
    assert writer.stdin is not None
    writer.stdin.close()
    try:
        died = writer.wait(PATIENCE) != 0
        reason = f"its writer ended with code {writer.returncode}"
    except subprocess.TimeoutExpired:
        writer.kill()
        died, reason = True, f"no answer for {PATIENCE:.0f} s"
    if died:
        sys.stderr.write(behind(reason) + "\n")


def _now() -> int:
    """Milliseconds since 1970, MLflow's unit."""
    return time.time_ns() // 1_000_000
