"""The truth, made once."""

import random
from pathlib import Path

import pytest

from tests.project import once_per_run
from tests.recovery.project import Truth, make_truth


@pytest.fixture(scope="session")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """A tiny project after one `dvc repro` from zero."""
    return Truth(once_per_run(tmp_path_factory, "truth", make_truth))


@pytest.fixture
def choose(request: pytest.FixtureRequest) -> random.Random:
    """Random moments, the same ones for a test each time."""
    return random.Random(request.node.nodeid)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where a copy of the truth is broken."""
    return tmp_path / "project"
