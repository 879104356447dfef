"""Cells on Ray, through real DVC: what a serial run leaves, whatever the cluster loses."""

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pipeline.orchestration.ray_engine import travels
from tests.project import ENVIRONMENT, FAN_OUT, copy_project, run

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ON_RAY = (*FAN_OUT, "--engine", "ray")


@pytest.fixture
def fresh(reproduced: Path, tmp_path: Path) -> Path:
    """A copy of the finished project in which no cell has run, and no cache knows of one."""
    project = copy_project(reproduced, tmp_path / "project", "runs", "models", "synthetic", "scores", "results")
    lock = project / "dvc.lock"
    lock.write_text(re.split(r"(?m)^(?=  train_gan)", lock.read_text())[0])
    return project


def locked(project: Path) -> bytes:
    """dvc.lock, which holds the digest of every out."""
    return (project / "dvc.lock").read_bytes()


def of_ray(session: str = "") -> list[psutil.Process]:
    """Ray's processes, and the folder of their session is named by their command lines; tasks are its children."""
    found = [process for process in psutil.process_iter() if "/ray/" in " ".join(_words(process))]
    return [process for process in found if session in " ".join(_words(process))]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_what_travels_with_a_task() -> None:
    """Data, params and the user's own modules do; code goes once for all, full paths are every node's own."""
    paths = ["data/prepared/0", "params.yaml", "pipelines.py", "stages/assess.py", "pipeline/gan", "/sets/mine"]
    assert [path for path in paths if travels(path)] == ["data/prepared/0", "params.yaml", "pipelines.py"]


def test_it_leaves_what_the_local_engine_leaves(reproduced: Path, fresh: Path) -> None:
    """On a cluster that it starts: dvc.lock is equal to the byte, and neither a process nor a token stays."""
    environment = {"PYTHONPATH": str(fresh), "HOME": str(fresh.parent / "home")}
    before = {process.pid for process in of_ray()}
    done = run(fresh, *ON_RAY, **environment)
    assert done.returncode == 0, done.stdout
    assert locked(fresh) == locked(reproduced)
    assert not (fresh.parent / "home/.ray").exists()
    wait_for(lambda: {process.pid for process in of_ray()} <= before)


def test_what_the_cluster_lacks_is_one_line(fresh: Path) -> None:
    """A GPU, a token, a head that answers."""
    alone = {"PYTHONPATH": str(fresh), "HOME": str(fresh.parent / "home")}
    no_gpu = run(fresh, *ON_RAY, "--gpus", "0.5", CUDA_VISIBLE_DEVICES="", **alone)
    no_token = run(fresh, *ON_RAY, RAY_ADDRESS="127.0.0.1:9", **alone)
    assert (no_gpu.returncode, no_token.returncode) == (2, 2)
    assert "error: --gpus 0.5: the cluster has 0 GPUs; " in no_gpu.stdout.splitlines()[-1]
    assert re.fullmatch(r"error: RAY_ADDRESS 127.0.0.1:9: the cluster wants a token: .*\n", no_token.stdout)


def test_killed_it_leaves_no_cluster(fresh: Path) -> None:
    """kill -9 of the command: the cluster that it started ends with it, agents included; the next run goes on."""
    environment = {"PYTHONPATH": str(fresh), "HOME": str(fresh.parent / "home")}
    before = {process.pid for process in of_ray()}
    process = subprocess.Popen(ON_RAY, cwd=fresh, env=ENVIRONMENT | environment)
    wait_for(lambda: len(list((fresh / "models/gan").glob("*/generator.json"))) >= 1)
    ray = [process for process in of_ray() if process.pid not in before]
    addresses = {socket.laddr.ip for process in ray for socket in process.net_connections("tcp") if not socket.raddr}
    assert not addresses <= {"127.0.0.1", "::1"}  # else docs/security.md has better news to tell
    process.kill()
    process.wait()
    wait_for(lambda: {process.pid for process in of_ray()} <= before)
    again = run(fresh, *ON_RAY, "train_gan@0", "train_gan@1", **environment)
    assert again.returncode == 0, again.stdout


class TwoNodes:
    """A head without processor cores and two nodes of one core each, on loopback."""

    def __init__(self, folder: Path) -> None:
        self.token = secrets.token_hex(32)
        self.environment = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "HOME": str(folder),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self.port = 20_000 + os.getpid() % 10_000
        self._ray("start", "--head", f"--port={self.port}", "--num-cpus=0", "--include-dashboard=false")
        for _ in range(2):
            self._ray("start", f"--address={self.address}", "--num-cpus=1")

    @property
    def address(self) -> str:
        """RAY_ADDRESS."""
        return f"127.0.0.1:{self.port}"

    def _ray(self, *words: str) -> None:
        command = [str(Path(sys.executable).with_name("ray")), *words]
        done = subprocess.run(command, env=ENVIRONMENT | self.environment, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def raylets(self) -> list[psutil.Process]:
        """One a node, the head's first."""
        found = [process for process in of_ray() if Path(_words(process)[0]).name == "raylet"]
        mine = [process for process in found if f":{self.port}" in " ".join(_words(process))]  # Ray names the host anew
        return sorted(mine, key=psutil.Process.create_time)

    def stop(self) -> None:
        """Kills all that was given its token."""
        for process in psutil.process_iter():
            with suppress(psutil.Error):  # it may have ended, or be another user's
                if process.environ().get("RAY_AUTH_TOKEN") == self.token:
                    process.kill()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[TwoNodes]:
    """Two nodes."""
    home = tmp_path / "home"
    home.mkdir()
    nodes = TwoNodes(home)
    yield nodes
    nodes.stop()


def test_a_lost_worker_and_a_lost_node_cost_only_time(reproduced: Path, fresh: Path, cluster: TwoNodes) -> None:
    """kill -9 of a worker amid its GAN, then of a whole node: dvc.lock is equal to the byte in the end."""
    environment = ENVIRONMENT | cluster.environment | {"PYTHONPATH": str(fresh), "RAY_ADDRESS": cluster.address}
    with subprocess.Popen(ON_RAY, cwd=fresh, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        _, first, second = cluster.raylets()
        wait_for(lambda: attempts(first))
        attempts(first)[0].send_signal(signal.SIGKILL)
        wait_for(lambda: len(list((fresh / "results/cells").glob("*.json"))) >= 2)
        for process in [*second.children(recursive=True), second]:
            process.kill()
        output = run.communicate()[0].decode()
    assert run.returncode == 0, output
    assert locked(fresh) == locked(reproduced)


def attempts(raylet: psutil.Process) -> list[psutil.Process]:
    """Workers of a node that run a task of ours, which Ray shows as their name."""
    return [child for child in raylet.children() if re.search(r"ray::.*@", " ".join(_words(child)))]


def wait_for(there: Callable[[], object]) -> None:
    """Waits until something is so, two minutes at most."""
    deadline = time.monotonic() + 120
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.1)
