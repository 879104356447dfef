"""Tiny real parts that the tests share."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny arrays: threads would only wait for each other
os.environ.setdefault("GOMP_SPINCOUNT", "5000")

from pipeline.config import Params, parse_params
from pipeline.configure import compose_params
from pipeline.images import LabelledImages
from pipeline.shards import writer
from tests.shard_inputs import dataset, labelled

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


@pytest.fixture
def short_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four rows a group, eight a shard: many shards from few images."""
    monkeypatch.setattr(writer, "ROW_GROUP_ROWS", 4)
    monkeypatch.setattr(writer, "SHARD_ROWS", 8)


@pytest.fixture
def images() -> LabelledImages:
    """What `root` holds."""
    return labelled(40)


@pytest.fixture
def root(tmp_path: Path, images: LabelledImages, short_shards: None) -> Path:
    """A finished dataset of five shards."""
    return dataset(tmp_path / "set", images)
