"""What is checked before a command begins: one line, exit code 2, nothing written."""

import socket
import sys
from pathlib import Path

import pytest

from pipeline.runtime.dvc import need_repository
from pipeline.runtime.errors import UserError
from pipeline.tracking.commands import serve
from tests.project import ROOT, run


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("run", "no git repository, which DVC needs: run `git init`, then the same command"),
        ("demo", "no dvc.yaml here; run this in the root of the repository"),
    ],
)
def test_in_another_folder_nothing_is_written(command: str, said: str, tmp_path: Path) -> None:
    """DVC would stop after params.yaml was replaced."""
    done = run(tmp_path, sys.executable, "-m", "pipeline", command, PYTHONPATH=str(ROOT))
    assert (done.returncode, done.stdout) == (2, f"error: {tmp_path}: {said}\n")
    assert not list(tmp_path.iterdir())


def test_dvc_can_be_set_to_do_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`core.no_scm` in DVC's configuration."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    need_repository()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = false\n")
    with pytest.raises(UserError, match="git init"):
        need_repository()


@pytest.mark.usefixtures("repo")
def test_a_port_that_is_taken_is_one_line() -> None:
    """Before MLflow starts, which would end with a traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"track ui: port {port} of 127.0.0.1: Address already in use; name anoth"):
            serve(port)
