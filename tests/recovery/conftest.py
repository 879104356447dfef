"""The truth, made once."""

import random
from pathlib import Path

import pytest

from tests.recovery.project import Truth


@pytest.fixture(scope="session")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """A tiny project after one `dvc repro` from zero."""
    return Truth(tmp_path_factory.mktemp("truth") / "project")


@pytest.fixture
def choose(request: pytest.FixtureRequest) -> random.Random:
    """Random moments, the same ones for a test each time."""
    return random.Random(request.node.nodeid)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where a copy of the truth is broken."""
    return tmp_path / "project"
