"""Several clones of one repository with a DVC remote between them: what one pushed, another goes on from."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.project import copy_project, run

COMMIT = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qam", "as it is")
REPRO = ("dvc", "repro", "--pull", "--allow-missing")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def do(folder: Path, *commands: tuple[str, ...]) -> str:
    """What the last of `commands` says, which all succeed."""
    said = ""
    for command in commands:
        done = run(folder, *command)
        assert done.returncode == 0, (command, done.stdout)
        said = done.stdout
    return said


def set_margin(folder: Path, points: float) -> None:
    """Changes a value of params.yaml that evaluate alone reads."""
    values = yaml.safe_load((folder / "params.yaml").read_text())
    values["ablation"]["margin_points"] = points
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))


def stages_run(said: str) -> list[str]:
    """The stages that DVC ran."""
    return re.findall(r"Running stage '(\S+)'", said)


@pytest.fixture
def first(reproduced: Path, tmp_path: Path) -> Path:
    """A finished clone whose results are committed."""
    folder = copy_project(reproduced, tmp_path / "first", "mlruns", "mlflow.db*")
    do(folder, ("git", "add", "-A"), COMMIT)
    return folder


@pytest.fixture
def second(first: Path, tmp_path: Path) -> Path:
    """A fresh clone of it that holds no data, once the first one has pushed its own."""
    do(first, ("dvc", "remote", "add", "-q", "-d", "storage", str(tmp_path / "remote")), COMMIT, ("dvc", "push", "-q"))
    do(tmp_path, ("git", "clone", "-q", "first", "second"))
    return tmp_path / "second"


def test_a_second_clone_evaluates_what_the_first_trained(first: Path, second: Path) -> None:
    """Nothing is trained, the whole grid is read, and dvc.lock is what the first clone makes of the same change."""
    set_margin(second, 3.0)
    assert stages_run(do(second, REPRO)) == ["evaluate"]
    result = json.loads((second / "results/ablation.json").read_text())
    assert result["power"]["margin_points"] == 3.0
    assert stages_run(do(second, REPRO)) == []
    set_margin(first, 3.0)
    assert stages_run(do(first, ("dvc", "repro"))) == ["evaluate"]
    assert (first / "dvc.lock").read_bytes() == (second / "dvc.lock").read_bytes()
    assert "up to date" in do(second, ("dvc", "pull", "-q"), ("dvc", "status"))
