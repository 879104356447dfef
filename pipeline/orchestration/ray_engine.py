"""`synthmix run --engine ray`: cells on the nodes of a Ray cluster, or of one that Ray starts on this machine.

Only this process touches the project: what a cell reads goes out through Ray's object store, once a node, what it
wrote comes back as bytes. A task whose worker or node is lost is run again elsewhere, in a fresh folder.
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.orchestration import ray_attempt
from pipeline.orchestration.times import Took
from pipeline.orchestration.workers import Engine, Pool, Task, TaskResult
from pipeline.runtime.errors import UserError

ATTEMPTS = 3  # of a task that loses its worker or its node
CODE = ("pipeline", "stages", "dvc.yaml")
TOKEN = Path("~/.ray/auth_token")  # where Ray looks for one
TOKEN_VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
MISSING = 'ray: not installed; run: pip install -c constraints.txt -e ".[ray]"'


class RayPool:
    """Tasks of one processor core and `num_gpus` GPUs each, wherever the cluster has room."""

    def __init__(self, ray: Any, size: int, num_gpus: float) -> None:
        self.size = size
        self._ray = ray
        self._attempt = ray.remote(num_cpus=1, num_gpus=num_gpus, max_retries=ATTEMPTS - 1)(ray_attempt.attempt)
        self._code = ray.put(ray_attempt.pack(Path(), CODE))
        self._contents: dict[tuple[str, str], Any] = {}
        self._running: dict[Any, Task] = {}

    def submit(self, task: Task) -> None:
        """Starts `task` where there is room; what it reads is put into the object store unless it is there."""
        inputs = [self._put(path, digest) for path, digest in task.reads.items() if travels(path)]
        environment = dict(task.environment) | {"PIPELINE_TRACKING": "off"}  # `sync` publishes the files
        ref = self._attempt.options(name=task.name).remote(self._code, task.command, environment, task.writes, *inputs)
        self._running[ref] = task

    def wait(self) -> list[TaskResult]:
        """Results of tasks that have ended, with what they wrote in its place."""
        ended, _ = self._ray.wait(list(self._running), num_returns=1)
        return [self._result(ref, self._running.pop(ref)) for ref in ended]

    def rest(self) -> None:
        """Nothing: Ray ends idle workers by itself."""

    def cancel(self) -> None:
        """Ends the tasks that run."""
        for ref in self._running:
            self._ray.cancel(ref, force=True)

    def _put(self, path: str, digest: str) -> Any:
        key = path, digest
        if key not in self._contents:
            self._contents[key] = self._ray.put(ray_attempt.pack(Path(), [path]))
        return self._contents[key]

    def _result(self, ref: Any, task: Task) -> TaskResult:
        try:
            code, output, wall, processor, written = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            reason = f"{error}".strip().splitlines()[0]
            return TaskResult(task, 1, f"lost in {ATTEMPTS} attempts ({type(error).__name__}: {reason})", Took())
        ray_attempt.unpack(written, Path())
        return TaskResult(task, code, output, Took(wall, processor))


def travels(path: str) -> bool:
    """Whether a dep is sent with its task: code is sent once for all, and a full path is one of every node's own."""
    return not Path(path).is_absolute() and Path(path).parts[0] not in CODE


def on_ray(num_gpus: float) -> Engine:
    """The engine whose tasks take `num_gpus` GPUs each, a part of one allowed."""
    return partial(_open_pool, num_gpus=num_gpus)


@contextmanager
def _open_pool(num_workers: int, num_gpus: float) -> Iterator[Pool]:
    ray, address = _import_ray(), os.environ.get("RAY_ADDRESS")
    with _joined(ray, address) if address else _started(ray, num_workers):
        pool = RayPool(ray, _room(ray.cluster_resources(), num_gpus), num_gpus)
        try:
            yield pool
        finally:
            pool.cancel()


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ModuleNotFoundError:
        raise UserError(MISSING) from None
    ray.cloudpickle.register_pickle_by_value(ray_attempt)
    return ray


@contextmanager
def _joined(ray: Any, address: str) -> Iterator[None]:
    """Works on a cluster that is there.

    Raises:
        UserError: it is not, or wants a token that this machine does not have.
    """
    if os.environ.get("RAY_AUTH_MODE") != "disabled" and not _has_token():
        raise UserError(
            f"RAY_ADDRESS {address}: the cluster wants a token: set RAY_AUTH_TOKEN to the head's, or copy its "
            f"{TOKEN} (a cluster without tokens: RAY_AUTH_MODE=disabled)"
        )
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(f"{error}".split())[:200]
        raise UserError(f"RAY_ADDRESS {address}: no cluster that takes us ({reason}); see: ray status") from None
    try:
        yield
    finally:
        ray.shutdown()


def _has_token() -> bool:
    return any(os.environ.get(name) for name in TOKEN_VARIABLES) or TOKEN.expanduser().is_file()


@contextmanager
def _started(ray: Any, num_workers: int) -> Iterator[None]:
    """Starts a cluster on this machine, which ends with the block, and with this process whatever ends it."""
    if not _has_token():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # of this run alone; Ray would leave one in the home
    context = ray.init(
        address="local", num_cpus=num_workers, include_dashboard=False, log_to_driver=False, logging_level="error",
        _node_ip_address="127.0.0.1",
    )  # fmt: skip
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "pipeline.orchestration.ray_reaper", context.address_info["session_dir"]],
            stdin=subprocess.PIPE,  # closes with us
            start_new_session=True,
        ):
            yield
            ray.shutdown()
    finally:
        ray.shutdown()


def _room(resources: dict[str, float], num_gpus: float) -> int:
    """How many tasks the cluster runs at once.

    Raises:
        UserError: none, because no node has a GPU.
    """
    if num_gpus > resources.get("GPU", 0):
        there = f"{resources.get('GPU', 0):g}"
        raise UserError(f"--gpus {num_gpus:g}: the cluster has {there} GPUs; leave it out, or add a node that has one")
    cores = int(resources.get("CPU", 0))
    return min(cores, int(resources["GPU"] / num_gpus)) if num_gpus else cores
