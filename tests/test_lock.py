import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.orchestration.repair import CLAIMS, is_complete, repair_all, repair_lock
from pipeline.runtime.dvc import lock_owner
from pipeline.runtime.errors import UserError

ENTRY = """  {name}:
    cmd: >-
      python -m stages.{name}
      --out x
    deps:
    - path: pipeline/{name}.py
      hash: md5
      md5: 0123456789abcdef0123456789abcdef
      size: 5
    params:
      params.yaml:
        gan:
          steps: 3
    outs:
    - path: data/{name}
      hash: md5
      md5: fedcba9876543210fedcba9876543210.dir
      size: 7
      nfiles: 2
"""
LOCK = "schema: '2.0'\nstages:\n" + "".join(ENTRY.format(name=name) for name in ("prepare", "train@50-0", "evaluate"))


@settings(deadline=None)  # every example waits for the disk
@given(st.integers(0, len(LOCK)))
def test_a_lock_cut_off_anywhere_is_repaired(cut: int) -> None:
    """Complete entries stay to the byte, the truncated one goes, and DVC can load what is left."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dvc.lock"
        file.write_text(LOCK[:cut])
        repair_lock(file)
        if file.exists():
            left = file.read_text()
            assert is_complete(left)
            assert LOCK.startswith(left)
        else:
            assert cut < LOCK.index("train@50-0")


def test_a_whole_lock_is_left_alone(tmp_path: Path) -> None:
    """Nothing is dropped from a lock that DVC wrote to the end."""
    file = tmp_path / "dvc.lock"
    file.write_text(LOCK)
    assert repair_lock(file) == []
    assert file.read_text() == LOCK


def test_what_was_dropped_is_named(tmp_path: Path) -> None:
    """The user learns which stages DVC will look up again."""
    file = tmp_path / "dvc.lock"
    file.write_text(LOCK[: LOCK.index("data/evaluate") - 2])
    assert repair_lock(file) == ["evaluate"]
    file.write_text("schema: '2.0'\nsta")
    assert repair_lock(file) == ["the whole file"]
    assert not file.exists()


def test_no_lock_is_no_fault(tmp_path: Path) -> None:
    """Before the first run there is nothing to repair."""
    assert repair_lock(tmp_path / "dvc.lock") == []


def claim(pid: int, text: str = "") -> None:
    """Writes what a dvc claims to read and write while it runs a stage."""
    CLAIMS.parent.mkdir(parents=True, exist_ok=True)
    who = {"pid": pid, "cmd": "dvc repro"}
    CLAIMS.write_text(text or json.dumps({"write": {"/x/data": who}, "read": {"/x/stages": [who]}}))


@pytest.mark.parametrize("cut", [0, 1, 20, 60, 1000])
def test_claims_of_the_dead_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
    """Whole or cut off by the kill, claims go whose process is dead, or is not a dvc; DVC stops at a truncated file."""
    monkeypatch.chdir(tmp_path)
    claim(1)
    CLAIMS.write_text(CLAIMS.read_text()[:cut])
    assert repair_all() == [f"{CLAIMS}: removed, its dvc is dead"]
    assert not CLAIMS.exists()
    claim(1, "{}")
    assert repair_all() == []


def test_a_living_dvc_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the process of a claim lives, one line says which, and neither claim nor dvc.lock is touched."""
    monkeypatch.chdir(tmp_path)
    Path("dvc").write_text("import time; time.sleep(60)")
    dvc = subprocess.Popen([sys.executable, "dvc"])
    claim(dvc.pid)
    Path("dvc.lock").write_text("truncated")
    while not lock_owner():
        time.sleep(0.01)
    with pytest.raises(UserError, match=rf"dvc is at work with it \(PID {dvc.pid}\)"):
        repair_all()
    assert CLAIMS.exists()
    assert Path("dvc.lock").read_text() == "truncated"
    dvc.kill()
    dvc.wait()
    assert len(repair_all()) == 2
