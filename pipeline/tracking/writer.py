"""The companion of a stage: reads JSON lines from stdin and writes them to MLflow.

Lines: one `start`, any `log`, `artifact` and `register`, one `end`; then perhaps the next run's `start`. A stdin
that closes before `end` means that the stage was killed.
"""

import gc
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from pipeline.params.load import load_all_params
from pipeline.tracking import backfill, registry, store
from pipeline.tracking.execution import PARENT_STAGE, behind, cell_key, current_execution, dvc_name
from pipeline.tracking.store import Parent, Point

Message = dict[str, Any]
NICENESS = 5  # the stage's own threads come first


class Writer:
    """The state between two messages: the run that is written to."""

    def __init__(self, start: Message) -> None:
        self.stage: str = start["stage"]
        params = load_all_params().model_dump()
        execution = current_execution(params)
        experiment = store.open_experiment(execution.dataset)
        self.parent: Parent = store.open_parent(experiment, execution, time=start["time"])
        self.interrupted: str | None = None
        if self.stage == PARENT_STAGE:
            self.run_id = self.parent.run_id
            backfill.complete(self.parent, params)
            store.log_inputs(self.parent, self.run_id, self.stage)
        else:
            self.run_id = self._replace_child(start)

    def _replace_child(self, start: Message) -> str:
        """Creates the child; an older run of the same cell goes, its curve kept if it was cut off."""
        older = store.children(self.parent, dvc_name(self.stage, cell_key(self.stage, start["cell"])))
        run_id = store.create_child(self.parent, self.stage, start["cell"], time=start["time"])
        for run in older:
            self.parent.client.delete_run(run.info.run_id)
        if older and older[0].info.status != "FINISHED":
            self.interrupted = older[0].info.run_id
        return run_id

    def log(self, message: Message) -> None:
        """Logs one batch of metrics."""
        points = [Point(name, value, message["step"]) for name, value in message["metrics"].items()]
        if self.interrupted:
            self._carry_over(message["step"], message["time"])
        log = store.log_new_points if self.stage == PARENT_STAGE else store.log_points
        log(self.parent.client, self.run_id, points, message["time"])

    def _carry_over(self, step: int, time: int) -> None:
        """A resumed stage begins at `step`: what its killed run logged before belongs to the same curve."""
        assert self.interrupted
        client, run_id = self.parent.client, self.interrupted
        points = store.points_of(client, run_id, client.get_run(run_id).data.metrics)
        store.log_points(client, self.run_id, [p for p in points if p.step < step], time)
        self.interrupted = None

    def artifact(self, message: Message) -> None:
        """Uploads a file."""
        store.log_file(self.parent.client, self.run_id, Path(message["path"]))

    def register(self, message: Message) -> None:
        """Registers a network."""
        registry.register(self.parent, self.run_id, message["name"], Path(message["path"]), message["alias"])

    def end(self, message: Message) -> None:
        """Closes the run with the stage's status."""
        for key, value in message.get("tags", {}).items():
            self.parent.client.set_tag(self.run_id, key, value)
        self.parent.client.set_terminated(self.run_id, message["status"], message.get("time"))


def write(start: Message, messages: Iterator[Message]) -> None:
    """Writes one run."""
    writer = Writer(start)
    for message in messages:
        getattr(writer, message["do"])(message)
        if message["do"] == "end":
            return
    writer.end({"status": "KILLED"})


def _messages() -> Iterator[Message]:
    """The lines of stdin, read ahead by a thread so that a slow server never fills the stage's pipe."""
    lines: SimpleQueue[bytes] = SimpleQueue()

    def read() -> None:
        for line in sys.stdin.buffer:
            lines.put(line)
        lines.put(b"")

    threading.Thread(target=read, daemon=True).start()
    while line := lines.get():
        yield json.loads(line)


def write_or_tell(start: Message, messages: Iterator[Message]) -> None:
    """Writes one run; whatever fails is told in one line, for the stage's result is safe."""
    try:
        write(start, messages)
    except Exception as error:  # noqa: BLE001 - promise: no fault of a tracking store touches a stage
        sys.stderr.write(behind(_reason(error)) + "\n")
        sys.stderr.flush()
        for message in messages:  # keep the pipe open: the stage goes on writing
            if message["do"] == "end":
                break


def main() -> None:
    """Writes the runs on stdin, one after the other."""
    gc.disable()  # a fifth of the time of mlflow's import, and of a short life
    os.nice(NICENESS)
    messages = _messages()
    for start in messages:
        write_or_tell(start, messages)
        gc.enable()  # should more runs follow
    sys.stderr.flush()
    os._exit(0)  # taking mlflow's modules apart would cost the stage another second


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


if __name__ == "__main__":
    main()
