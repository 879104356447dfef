import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pipeline.lock import _is_whole, mend

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


@given(st.integers(0, len(LOCK)))
def test_a_lock_cut_off_anywhere_is_mended(cut: int) -> None:
    """Whatever a kill left of dvc.lock, whole entries stay to the byte, torn ones go, and DVC can load the rest."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dvc.lock"
        file.write_text(LOCK[:cut])
        mend(file)
        if file.exists():
            left = file.read_text()
            assert _is_whole(left)
            assert LOCK.startswith(left)
        else:
            assert cut < LOCK.index("train@50-0")


def test_a_whole_lock_is_left_alone(tmp_path: Path) -> None:
    """Nothing is dropped from a lock that DVC wrote to the end."""
    file = tmp_path / "dvc.lock"
    file.write_text(LOCK)
    assert mend(file) == []
    assert file.read_text() == LOCK


def test_what_was_dropped_is_named(tmp_path: Path) -> None:
    """The user learns which stages DVC will look up again."""
    file = tmp_path / "dvc.lock"
    file.write_text(LOCK[: LOCK.index("data/evaluate") - 2])
    assert mend(file) == ["evaluate"]
    file.write_text("schema: '2.0'\nsta")
    assert mend(file) == ["the whole file"]
    assert not file.exists()


def test_no_lock_is_no_fault(tmp_path: Path) -> None:
    """Before the first run there is nothing to mend."""
    assert mend(tmp_path / "dvc.lock") == []
