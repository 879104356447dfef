"""Tiny real parts that the tests share."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny arrays: threads would only wait for each other
os.environ.setdefault("GOMP_SPINCOUNT", "5000")

from pipeline.images import LabelledImages
from pipeline.params.compose import compose_params
from pipeline.params.load import parse_params
from pipeline.params.schema import Params
from pipeline.shards import plan
from pipeline.tracking import store
from tests import bad_files
from tests.project import TINY, copy_project, make_reproduced, once_per_run
from tests.shard_inputs import dataset, labelled
from tests.tracking_inputs import GRID, ROOT, answers, wait_for

settings.register_profile("no_deadline", deadline=None)  # a busy machine is no failure
settings.load_profile("no_deadline")


@pytest.fixture(scope="session")
def tiny_values() -> dict[str, Any]:
    """Values of params.yaml for a run of seconds; each test changes its own copy."""
    return compose_params(TINY)


@pytest.fixture(scope="session")
def tiny(tiny_values: dict[str, Any]) -> Params:
    """The same, typed."""
    return parse_params(tiny_values)


@pytest.fixture(scope="session")
def patches() -> LabelledImages:
    """60 grey 16x16 images of three classes that a small network can tell apart: bright top, middle or bottom."""
    generator = np.random.Generator(np.random.Philox(7))
    images = generator.integers(0, 60, (60, 16, 16, 1)).astype(np.uint8)
    labels = np.arange(60) % 3
    for image, label in zip(images, labels, strict=True):
        image[5 * label : 5 * label + 5] += 180
    return LabelledImages(images, labels, ("top", "middle", "bottom"))


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that the fan-out ran from zero, tracked in SQLite; for reading only."""
    return once_per_run(tmp_path_factory, "reproduced", make_reproduced)


@pytest.fixture
def project(reproduced: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    return copy_project(reproduced, tmp_path / "project")


@pytest.fixture(scope="session")
def stages_done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs and outputs of every stage, without DVC; for reading only."""
    return once_per_run(tmp_path_factory, "stages_done", bad_files.build)


@pytest.fixture
def workdir(stages_done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it as the working folder."""
    folder = shutil.copytree(stages_done, tmp_path / "copy")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PIPELINE_TRACKING", "off")
    monkeypatch.setenv("PIPELINE_DEVICE", "cpu")
    for name in ("DVC_ROOT", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def check_refusal(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> bad_files.Check:
    """Checks that a reader, a stage or a command refuses what it finds: `check_refusal(work, *words of its line)`."""
    return partial(bad_files.check_refusal, monkeypatch, capfd)


@pytest.fixture
def short_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four rows a group, eight a shard: many shards from few images."""
    monkeypatch.setattr(plan, "ROW_GROUP_ROWS", 4)
    monkeypatch.setattr(plan, "SHARD_ROWS", 8)


@pytest.fixture
def images() -> LabelledImages:
    """What `root` holds."""
    return labelled(40)


@pytest.fixture
def root(tmp_path: Path, images: LabelledImages, short_shards: None) -> Path:
    """A finished dataset of five shards."""
    return dataset(tmp_path / "set", images)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs: making one takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store.import_mlflow()
        store.connect()
    return folder / "mlflow.db"


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path, tiny_values: dict[str, Any]) -> Path:
    """The working folder: params.yaml, dvc.yaml, an empty store."""
    for variable in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "RANK", "PIPELINE_TRACKING"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_store, tmp_path)
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    params = tiny_values | {"ablation": tiny_values["ablation"] | GRID}
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    return tmp_path


@pytest.fixture
def server(repo: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["subprocess.Popen[bytes]"]:
    """A real MLflow server on a free port of this machine, as MLFLOW_TRACKING_URI."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    place = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", f"sqlite:///{repo}/mlflow.db", "--artifacts-destination", f"{repo}/artifacts"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *place, *stores],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    try:
        wait_for(lambda: answers(f"{address}/health"))
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def own_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of the user's in the test's folder, where Python finds them."""
    from tests.own_programs import PROGRAMS  # it takes what the tests of cells have, and those this file

    for name, text in PROGRAMS.items():
        (tmp_path / name).write_text(text)
        monkeypatch.delitem(sys.modules, Path(name).stem, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
