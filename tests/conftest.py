"""Tiny real parts that the tests share."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
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
from tests.shard_inputs import dataset, labelled
from tests.tracking_inputs import GRID, ROOT, answers, wait_for

TINY = [
    "dataset=digits", "profile=demo",
    "dataset.train_size=100", "dataset.val_size=50", "dataset.test_size=50",
    "gan.steps=8", "gan.batch_size=16", "gan.probe_every=3", "gan.r3.width=8", "gan.dcgan.width=8",
    "gan.hinge_sn.width=8", "gan.judge.steps=6", "gan.health.cas_every=3", "gan.health.num_images=50",
    # Eight steps teach a generator little: it must pass no floor.
    "gan.health.min_gan_test=0", "gan.health.min_diversity=0", "gan.health.max_coverage_drop=1.0",
    "synthesize.num_images=300", "classifier.width=8", "classifier.steps=12", "classifier.batch_size=32",
    "ablation.synthetic_percent=[50,100]", "ablation.real_percent=[50,100,200]", "ablation.seeds=[0,1]",
]  # fmt: skip

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
    """A project after one `dvc repro` from zero, tracked in SQLite."""
    from tests.project import make_project, run  # here, because it imports from this module

    folder = make_project(tmp_path_factory.mktemp("project"))
    done = run(folder, "dvc", "repro", PIPELINE_TRACKING="on")
    assert done.returncode == 0, done.stdout
    return folder


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
