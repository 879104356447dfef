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
from pipeline.tracking.contents import Contents, IsThere, Point, read_contents
from pipeline.tracking.execution import PARENT_STAGE, behind, cell_key, current_execution, dvc_name
from pipeline.tracking.store import Parent, Published

Message = dict[str, Any]
CLOCK_GRAIN = 0.1  # s by which the time stamp of a file may lag behind the clock
NICENESS = 5  # the stage's own threads come first


class Writer:
    """The state between two messages: the run that is written to."""

    def __init__(self, start: Message) -> None:
        self.stage: str = start["stage"]
        self.params = load_all_params()
        params = self.params.model_dump()
        self.key = cell_key(self.stage, start["cell"])
        self.paths = {flag: Path(path) for flag, path in start.get("paths", {}).items()}
        self.started = start["time"] / 1000 - CLOCK_GRAIN
        self.published = Published()
        execution = current_execution(params)
        experiment = store.open_experiment(execution.dataset)
        self.parent: Parent = store.open_parent(experiment, execution, time=start["time"])
        self.interrupted: str | None = None
        if self.stage == PARENT_STAGE:
            self.run_id = self.parent.run_id
            backfill.complete(self.parent, params)
            store.log_inputs(self.parent, self.run_id, self.stage)
            metrics = self.parent.client.get_run(self.run_id).data.metrics
            self.published = Published(frozenset(store.points_of(self.parent.client, self.run_id, metrics)))
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

    def publish(self, message: Message) -> None:
        """Adds what the stage's files hold by now; files of an earlier run of the stage are passed over."""
        self._publish(message["time"], self._is_new)

    def _is_new(self, path: Path) -> bool:
        return path.exists() and path.stat().st_mtime > self.started

    def _publish(self, time: int, is_there: IsThere) -> Contents | None:
        contents = read_contents(self.stage, self.key, self.paths, is_there) if self.paths else None
        if contents:
            self.published = store.publish(self.parent.client, self.run_id, contents, self.published, time)
        return contents

    def _publish_all(self, message: Message) -> None:
        contents = self._publish(message["time"], Path.exists)
        usage = dict(message["usage"])
        if contents and contents.network:
            kind, alias, folder = contents.network
            registry.register(self.parent, self.run_id, kind, folder, alias)
        if contents and not self.interrupted:  # a stage that resumed did a part of its images earlier
            images = contents.num_images or contents.num_steps * self.params.classifier.batch_size
            usage |= {"images_per_second": images / usage["wall_seconds"]} if images else {}
        points = [Point(metric, value, 0) for metric, value in usage.items()]
        store.log_points(self.parent.client, self.run_id, points, message["time"])

    def end(self, message: Message) -> None:
        """Closes the run with the stage's status."""
        if message["status"] == "FINISHED" and self.paths:
            self._publish_all(message)
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
