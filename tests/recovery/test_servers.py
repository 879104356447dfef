"""Tracking fails in every way that a server can: the stage finishes, one line says so, and `sync` catches up."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recovery import servers
from tests.recovery.project import Outcome, Truth

pytestmark = [pytest.mark.recovery, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SQLite file of the server."""
    return tmp_path_factory.mktemp("server") / "mlflow.db"


@pytest.fixture(scope="module")
def server(store: Path) -> Iterator[tuple[str, int]]:
    """A real MLflow server."""
    with servers.mlflow_server(store.parent) as address:
        yield address


@pytest.mark.parametrize("fault", ["away", "error", "slow", "dies", "answer lost"])
def test_a_server_that_fails(
    truth: Truth, scratch: Path, choose: random.Random, server: tuple[str, int], store: Path, fault: str
) -> None:
    """No result is lost, no run is there twice, and after one `sync` a second one finds nothing to do."""
    outcome = servers.tracking_down(truth, scratch, choose, fault=fault, server=server, store=store)
    assert outcome == Outcome("", equal=True)
