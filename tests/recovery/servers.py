"""An MLflow server behind a wire that can be made to fail, and what a stage makes of it."""

import http.client
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.recovery.kills import CELLS
from tests.recovery.project import Outcome, Truth, contents, remove, run

FAULTS = ("away", "error", "silent", "slow", "very slow", "dies", "answer lost", "error in the middle")
DELAY = {"slow": 0.3, "very slow": 7.0}  # seconds that each request takes; our patience with one is 5
HEALTHY_REQUESTS = {"dies": 40, "answer lost": 40, "error in the middle": 40}  # at most, before it goes wrong
TRACKED = (CELLS[0], "train_gan@1", "evaluate")  # a child run, one that registers a model, the parent
LONGEST = 100.0  # seconds that a stage may take; it waits 60 for its last upload
SILENCE = 30.0
TURN = threading.Lock()  # the server has one experiment


class Wire(ThreadingHTTPServer):
    """Passes requests on to a server, unless `fault` says otherwise once `healthy` requests are through."""

    daemon_threads = True

    def __init__(self, target: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target, self.fault, self.healthy = target, "", 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """Where stages find it."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Wire

    def handle_any(self) -> None:
        """One request."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.healthy -= 1
        fault = self.server.fault if self.server.healthy < 0 else ""
        if fault in ("away", "dies"):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if fault == "silent":
            time.sleep(SILENCE)
            self.close_connection = True
            return
        time.sleep(DELAY.get(fault, 0.0))
        if fault.startswith("error"):
            self._answer(500, b'{"error_code": "INTERNAL_ERROR", "message": "planted"}', "application/json")
            return
        status, content, kind = self._pass_on(body)
        if fault == "answer lost" and self.command == "POST":
            self.server.fault = ""  # once
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._answer(status, content, kind)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - http.server's names

    def _pass_on(self, body: bytes) -> tuple[int, bytes, str]:
        upstream = http.client.HTTPConnection(*self.server.target, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        upstream.request(self.command, self.path, body, headers)
        response = upstream.getresponse()
        content = response.read()
        upstream.close()
        return response.status, content, response.headers.get("Content-Type", "")

    def _answer(self, status: int, content: bytes, kind: str) -> None:
        with suppress(OSError):  # the client lost its patience
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def mlflow_server(folder: Path) -> Iterator[tuple[str, int]]:
    """A real server with its store in `folder`, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        target: tuple[str, int] = probe.getsockname()
    stores = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/artifacts"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--host", target[0], "--port", str(target[1]), "--workers", "1",
         *stores],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd=folder,
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
    )  # fmt: skip
    try:
        _wait_for_health(target)
        yield target
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for_health(target: tuple[str, int]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(f"http://{target[0]}:{target[1]}/health", timeout=2):
            return
        time.sleep(0.2)
    raise AssertionError("no MLflow server")


def tracking_down(
    truth: Truth, scratch: Path, choose: random.Random, *, fault: str, server: tuple[str, int], store: Path
) -> Outcome:
    """A stage tracked through a wire that fails; then `sync`, twice, through one that does not.

    Args:
        truth: the uninterrupted project.
        scratch: where the copy lies.
        choose: which stage, and when it begins to fail.
        fault: one of FAULTS.
        server: of `mlflow_server`.
        store: its SQLite file.
    """
    with TURN:
        set_aside(server, f"{fault}-{choose.getrandbits(32)}")
        return _tracking_down(truth, scratch, choose, fault, server, store)


def _tracking_down(
    truth: Truth, scratch: Path, choose: random.Random, fault: str, server: tuple[str, int], store: Path
) -> Outcome:
    project, wire, name = truth.copy(scratch), Wire(server), f"{fault}-{choose.random()}"
    job = truth.jobs[choose.choice(TRACKED)]
    remove(project, job.outs)
    tracked = {"PIPELINE_TRACKING": "on", "MLFLOW_TRACKING_URI": wire.address, "DVC_EXP_NAME": name,
               "DVC_ROOT": str(project)}  # fmt: skip
    wire.fault, wire.healthy = fault, choose.randrange(HEALTHY_REQUESTS.get(fault, 1))
    begin = time.monotonic()
    done = run(project, *job.command, **tracked)
    seconds = time.monotonic() - begin
    equal = contents(project, job.outs) == contents(truth.root, job.outs)
    wire.fault = ""
    syncs = [run(project, "python", "-m", "pipeline", "track", "sync", **tracked) for _ in range(2)]
    wire.shutdown()
    wire.server_close()
    faults = [f"code {done.returncode}: {done.stdout}"] * (done.returncode != 0 or "Traceback" in done.stdout)
    faults += [f"took {seconds:.0f} s"] * (seconds > LONGEST)
    faults += [f"not told: {done.stdout}"] * (fault in ALWAYS_TOLD and done.stdout.count("is behind") != 1)
    faults += [sync.stdout for sync in syncs if sync.returncode != 0]
    faults += [f"not in step: {syncs[1].stdout}"] * ("tracking: 0 runs added" not in syncs[1].stdout)
    wanted = {cell: ["FINISHED"] for cell in [*truth.tracked, "parent"]}
    runs = runs_of(store, name)
    faults += [f"runs: {runs}"] * ({cell: state for cell, state in runs.items() if cell in wanted} != wanted)
    faults += ["twice"] * any(len(states) > 1 for states in runs.values())
    return Outcome("; ".join(faults), equal)


def set_aside(server: tuple[str, int], name: str) -> None:
    """Renames the experiment of an earlier fault, whose runs are of the same results and would do for this one."""
    api = "/api/2.0/mlflow/experiments"
    status, found = ask(server, "GET", f"{api}/get-by-name?experiment_name=digits")
    if status == HTTPStatus.OK:
        identity = found["experiment"]["experiment_id"]
        ask(server, "POST", f"{api}/update", {"experiment_id": identity, "new_name": f"before {name}"})


def ask(server: tuple[str, int], method: str, path: str, body: object = None) -> tuple[int, Any]:
    """Status and JSON of one request."""
    connection = http.client.HTTPConnection(*server, timeout=60)
    connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


ALWAYS_TOLD = ("away", "error", "silent", "very slow")


def runs_of(store: Path, execution: str) -> dict[str, list[str]]:
    """States of the runs that nobody deleted, of each stage and cell of an execution and its parent."""
    query = (
        "select what.value, runs.status from tags what join tags whose using (run_uuid) join runs using (run_uuid) "
        "where runs.lifecycle_stage = 'active' and what.key in ('dvc.stage', 'pipeline.role') "
        "and whose.key = 'pipeline.execution' and whose.value = ?"
    )
    found: dict[str, list[str]] = {}
    with sqlite3.connect(store) as connection:
        for what, status in connection.execute(query, (execution,)):
            found.setdefault(what, []).append(status)
    return found
