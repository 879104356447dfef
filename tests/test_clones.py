"""Several clones of one repository with a DVC remote between them: what one pushed, another goes on from."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.project import ROOT, copy_project, run
from tests.remotes import REMOTES, Remote

COMMIT = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qam", "as it is")
REPRO = ("dvc", "repro", "--pull", "--allow-missing")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Clone:
    """A clone, and the remote that it shares with others."""

    def __init__(self, folder: Path, remote: Remote) -> None:
        self.folder, self.remote = folder, remote

    def do(self, *commands: tuple[str, ...]) -> str:
        """What the last of `commands` says, which all succeed."""
        said = ""
        for command in commands:
            done = run(self.folder, *command, **self.remote.environment)
            assert done.returncode == 0, (command, done.stdout)
            said = done.stdout
        return said

    def stages_run(self, command: tuple[str, ...]) -> list[str]:
        """The stages that DVC runs by `command`."""
        return re.findall(r"Running stage '(\S+)'", self.do(command))

    def set_margin(self, points: float) -> None:
        """Changes a value of params.yaml that evaluate alone reads."""
        values = yaml.safe_load((self.folder / "params.yaml").read_text())
        values["ablation"]["margin_points"] = points
        (self.folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))


@pytest.fixture(params=list(REMOTES))
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Remote]:
    """A remote of each kind."""
    with REMOTES[request.param](tmp_path) as remote:
        yield remote


@pytest.fixture
def first(reproduced: Path, remote: Remote, tmp_path: Path) -> Clone:
    """A finished clone that has committed its results and pushed its data."""
    clone = Clone(copy_project(reproduced, tmp_path / "first", "mlruns", "mlflow.db*"), remote)
    settings = [("dvc", "remote", "modify", "storage", key, value) for key, value in remote.options.items()]
    add = ("dvc", "remote", "add", "-q", "-d", "storage", remote.url)
    clone.do(add, *settings, ("git", "add", "-A"), COMMIT, ("dvc", "push", "-q"))
    return clone


@pytest.fixture
def second(first: Clone, tmp_path: Path) -> Clone:
    """A fresh clone of it, without data."""
    first.do(("git", "clone", "-q", ".", str(tmp_path / "second")))
    return Clone(tmp_path / "second", first.remote)


def test_a_second_clone_evaluates_what_the_first_trained(second: Clone) -> None:
    """It trains nothing and reads the whole grid; then there is nothing to do, with the data here or not."""
    second.set_margin(3.0)
    assert second.stages_run(REPRO) == ["evaluate"]
    result = json.loads((second.folder / "results/ablation.json").read_text())
    assert result["power"]["margin_points"] == 3.0
    assert second.stages_run(REPRO) == []
    assert "up to date" in second.do(("dvc", "pull", "-q"), ("dvc", "status"))


@pytest.mark.parametrize("remote", ["folder"], indirect=True)
def test_clones_agree_whatever_lies_in_them(first: Clone, second: Clone) -> None:
    """Parts of the networks and scores, pulled by hand, make nothing stale; dvc.lock is that of the first clone."""
    for clone in (first, second):
        clone.set_margin(3.0)
    second.do(("dvc", "pull", "-q", "models/gan/0", "data/scores/0", "train_classifier@50-0"))
    assert second.stages_run(REPRO) == first.stages_run(("dvc", "repro")) == ["evaluate"]
    assert (second.folder / "dvc.lock").read_bytes() == (first.folder / "dvc.lock").read_bytes()


@pytest.mark.parametrize("remote", ["folder"], indirect=True)
def test_a_lock_is_checked_without_data(second: Clone) -> None:
    """What CI asks: whether dvc.lock belongs to params and code; else the first stage that would run is named."""
    check = ("bash", str(ROOT / ".ci/lock"))
    assert "belongs to params.yaml, dvc.yaml and the code" in second.do(check)
    second.set_margin(3.0)
    done = run(second.folder, *check)
    assert (done.returncode, "'evaluate'" in done.stdout) == (1, True), done.stdout


@pytest.mark.parametrize("remote", ["folder"], indirect=True)
def test_a_clone_that_trains_is_told_what_to_pull(second: Clone) -> None:
    """A new cell needs its inputs alone, evaluate the other cells too; once they are here, the same command ends."""
    values = yaml.safe_load((second.folder / "params.yaml").read_text())
    values["rivals"]["mixup"] = 0.3
    (second.folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    before = (second.folder / "results/ablation.json").read_bytes()
    done = run(second.folder, *REPRO)
    assert done.returncode != 0
    told = re.search(r"not found, nor \d+ more; run: (dvc pull [a-z_ ]+), or dvc repro", done.stdout)
    assert told, done.stdout
    assert (second.folder / "results/ablation.json").read_bytes() == before
    second.do(tuple(told[1].split()))
    assert second.stages_run(REPRO) == ["collect", "evaluate"]
    assert second.stages_run(REPRO) == []
