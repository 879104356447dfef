"""The companion of a stage: reads its messages from stdin and publishes to MLflow what its files hold.

A stdin that closes before the end of a run means that the stage was killed.
"""

import gc
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

from pipeline.params.load import load_all_params
from pipeline.tracking import registry, store, sync
from pipeline.tracking.champion import register_named
from pipeline.tracking.contents import RESULT, Contents, IsThere, Point, read_contents
from pipeline.tracking.execution import PARENT_STAGE, behind, cell_key, current_execution, dvc_name, git_tags
from pipeline.tracking.lock import Lock
from pipeline.tracking.messages import End, Message, Publish, Start, decode
from pipeline.tracking.store import Parent, Published

CLOCK_GRAIN = 100  # ms by which the time stamp of a file may lag behind the clock
NICENESS = 5  # the stage's own threads come first


class Writer:
    """The state between two messages: the run that is written to."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._params = load_all_params()
        execution = current_execution(self._params.model_dump())
        experiment = store.open_experiment(execution.dataset)
        self._parent: Parent = store.open_parent(experiment, execution, time=start.time, tags=git_tags())
        self._client = experiment.client
        self._published, self._resumed, self._lock = Published(), False, Lock(start.upstream)
        if start.stage == PARENT_STAGE:
            self._run_id = self._parent.run_id
            sync.complete(self._parent, sync.read_results(self._params, self._lock))
            self._client.update_run(self._run_id, "RUNNING")
            self._published = Published(store.published_points(self._client, self._run_id))
        else:
            self._run_id = self._replace_child()
        store.log_inputs(self._client, self._run_id, start.stage, self._lock.inputs(start.paths))

    def _replace_child(self) -> str:
        """Creates the child; an older run of the same cell goes."""
        stage, cell = self._start.stage, self._start.cell
        older = store.children(self._parent, dvc_name(stage, cell_key(stage, cell)))
        run_id = store.create_child(self._parent, stage, cell, time=self._start.time, tags=git_tags())
        for run in older:
            self._client.delete_run(run.info.run_id)
        self._resumed = bool(older) and older[0].info.status in store.UNSUCCESSFUL
        store.reopen(self._parent)
        return run_id

    def publish(self, message: Publish) -> None:
        """Adds what the stage's files hold by now; those that an earlier run left are passed over."""
        self._publish(message.time, self._is_new)

    def _is_new(self, path: Path) -> bool:
        return path.exists() and path.stat().st_mtime * 1000 > self._start.time - CLOCK_GRAIN

    def _publish(self, time: int, is_there: IsThere) -> Contents | None:
        key = cell_key(self._start.stage, self._start.cell)
        contents = read_contents(self._start.stage, key, self._start.paths, is_there)
        if contents:
            self._published = store.publish(self._client, self._run_id, contents, self._published, time)
        return contents

    def _register(self, contents: Contents) -> None:
        """Registers the stage's own network, or after evaluate those that the result names."""
        for network in contents.networks:
            registry.register(self._parent, self._run_id, network)
        if self._start.stage == PARENT_STAGE:
            lines = register_named(self._parent, self._start.paths["out"] / RESULT, self._lock)
            sys.stderr.write("".join(f"tracking: {line}\n" for line in lines))

    def end(self, message: End) -> None:
        """Publishes the whole of a success, logs what the stage took, and closes the run with the stage's status."""
        usage = dict(message.usage)
        if message.status == "FINISHED" and (contents := self._publish(message.time, Path.exists)):
            self._register(contents)
            images = contents.num_images or contents.num_steps * self._params.classifier.batch_size
            if images and not self._resumed:  # what resumed has made a part of its images earlier
                usage["images_per_second"] = images / usage["wall_seconds"]
        points = [Point(metric, value, 0) for metric, value in usage.items()]
        store.log_points(self._client, self._run_id, points, message.time)
        for key, value in message.tags.items():
            self._client.set_tag(self._run_id, key, value)
        self._client.set_terminated(self._run_id, message.status, message.time)
        if message.status in store.UNSUCCESSFUL:
            self._client.set_terminated(self._parent.run_id, message.status, message.time)


def write(start: Start, messages: Iterator[Message]) -> None:
    """Writes one run."""
    writer, last = Writer(start), start.time
    for message in messages:
        last = message.time
        if isinstance(message, Publish):
            writer.publish(message)
        elif isinstance(message, End):
            writer.end(message)
            return
    writer.end(End(status="KILLED", tags={}, usage={}, time=last))


def _messages() -> Iterator[Message]:
    """The lines of stdin, read ahead by a thread so that a slow server never fills the stage's pipe."""
    lines: SimpleQueue[bytes] = SimpleQueue()

    def read() -> None:
        for line in sys.stdin.buffer:
            lines.put(line)
        lines.put(b"")

    threading.Thread(target=read, daemon=True).start()
    while line := lines.get():
        yield decode(line)


def write_or_report(start: Start, messages: Iterator[Message]) -> None:
    """Writes one run; whatever fails is reported in one line, for the stage's result is safe."""
    try:
        write(start, messages)
    except Exception as error:  # noqa: BLE001 - promise: no fault of a tracking store touches a stage
        sys.stderr.write(behind(f"{type(error).__name__}: {error}".splitlines()[0]) + "\n")
        sys.stderr.flush()
        for message in messages:  # keep the pipe open: the stage goes on writing
            if isinstance(message, End):
                break


def main() -> None:
    """Writes the runs on stdin, one after the other."""
    gc.disable()  # a fifth of the time of mlflow's import, and of a short life
    os.nice(NICENESS)
    messages = _messages()
    for start in messages:
        assert isinstance(start, Start)
        write_or_report(start, messages)
        gc.enable()  # should more runs follow
    sys.stderr.flush()
    os._exit(0)  # taking mlflow's modules apart would cost the stage another second


if __name__ == "__main__":
    main()
