import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.runtime import checkpoint
from pipeline.runtime.checkpoint import fingerprint, load_state, resumable, save_state
from pipeline.runtime.errors import UserError


@pytest.fixture(autouse=True)
def _own_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def test_work_stays_after_an_error_and_goes_after_success(tmp_path: Path) -> None:
    """What a failed run left is there for the next one; a finished run leaves nothing."""
    with pytest.raises(KeyError), resumable("stage", "key") as folder:
        (folder / "part").write_text("half")
        raise KeyError
    with resumable("stage", "key") as folder:
        assert (folder / "part").read_text() == "half"
    assert not (tmp_path / ".resume/stage/key").exists()


def test_a_kill_while_finished_work_is_deleted(tmp_path: Path) -> None:
    """Finished work goes away in one moment: what a kill leaves of it is never taken for work to go on with."""
    command = (
        "import os, shutil\nfrom pipeline.runtime.checkpoint import resumable\n"
        "with resumable('stage', 'key') as folder:\n"
        "    for name in 'abc': (folder / name).write_text(name)\n"
        "    os.unlink = lambda *_, **__: os.kill(os.getpid(), 9)\n"
    )
    run = subprocess.run([sys.executable, "-c", command], check=False)
    assert run.returncode == -9
    with resumable("stage", "key") as folder:
        assert [file.name for file in folder.iterdir()] == ["lock"]
    assert not list((tmp_path / ".resume/stage").iterdir())


def test_two_at_the_same_work_are_told() -> None:
    """A second process with the same values gets one line instead of the first one's files."""
    command = (
        "from pipeline.runtime.checkpoint import resumable\n"
        "from pipeline.runtime.errors import UserError\n"
        "try:\n"
        "    with resumable('stage', 'key'): print('in')\n"
        "except UserError as error: print(error)"
    )
    with resumable("stage", "key"):
        run = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert f"another process runs stage with these values (PID {os.getpid()})" in run.stdout
    with resumable("stage", "key"):
        pass


def test_a_fingerprint_changes_with_values_and_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other params or another line of code among the stage's deps give another key; other files do not."""
    monkeypatch.setattr(checkpoint, "ROOT", tmp_path)
    monkeypatch.setattr(checkpoint, "GRAPH_FILE", tmp_path / "dvc.yaml")
    graph = "stages: {train: {deps: [stages/train.py, pipeline/gan, data/train]}}"
    contents = {"dvc.yaml": graph, "stages/train.py": "y = 1", "pipeline/gan/a.py": "x = 1", "pipeline/b.py": "z = 1"}
    for name, text in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    base = fingerprint("train", {"lr": 1})
    assert fingerprint("train", {"lr": 2}) != base
    for name, decides in (("pipeline/b.py", False), ("pipeline/gan/a.py", True), ("stages/train.py", True)):
        (tmp_path / name).write_text("edited = 1")
        assert (fingerprint("train", {"lr": 1}) != base) == decides
        (tmp_path / name).write_text(contents[name])


def test_a_fingerprint_names_code_that_exists() -> None:
    """A misspelt stage is an error, not a fingerprint of nothing."""
    with pytest.raises(KeyError):
        fingerprint("gann", {})


def test_state_comes_back_to_the_bit(tmp_path: Path) -> None:
    """Tensors and plain values survive; a missing file is None."""
    assert load_state(tmp_path / "state.pt") is None
    state: dict[str, Any] = {"weight": torch.randn(3), "step": 4, "history": [{"loss": 0.1}]}
    save_state(tmp_path / "state.pt", state)
    loaded = load_state(tmp_path / "state.pt")
    assert loaded is not None
    assert torch.equal(loaded["weight"], state["weight"])
    assert (loaded["step"], loaded["history"]) == (4, [{"loss": 0.1}])


def test_a_kill_while_saving_leaves_the_old_state(tmp_path: Path) -> None:
    """However far the new state got, the file holds the old one until the new one is whole."""
    save_state(tmp_path / "state.pt", {"step": 1})
    command = (
        "import os, sys, torch\nfrom pathlib import Path\nfrom pipeline.runtime.checkpoint import save_state\n"
        "def die(*_): os.kill(os.getpid(), 9)\n"
        "os.fsync = die\n"
        "save_state(Path(sys.argv[1]), {'step': 2})"
    )
    run = subprocess.run([sys.executable, "-c", command, tmp_path / "state.pt"], check=False, env=os.environ)
    assert run.returncode == -9
    assert load_state(tmp_path / "state.pt") == {"step": 1}


def test_state_runs_no_code(tmp_path: Path) -> None:
    """A pickle that would execute something is refused."""

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, ("touch " + str(tmp_path / "owned"),)

    torch.save({"step": Bomb()}, tmp_path / "state.pt")
    with pytest.raises(Exception, match=r"weights_only|Unsupported|WeightsUnpickler"):
        load_state(tmp_path / "state.pt")
    assert not (tmp_path / "owned").exists()


def test_user_error_is_a_value_error() -> None:
    """Callers that use the library without the command line can catch it as ValueError."""
    assert issubclass(UserError, ValueError)
