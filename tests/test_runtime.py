import resource
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import runtime
from pipeline.errors import ExhaustedError
from pipeline.runtime import exhaustion

FAILURES = [MemoryError(), SystemError("error return without exception set"), ImportError("failed to map segment"),
            RuntimeError("could not create a primitive")]  # fmt: skip


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_what_fails_where_memory_is_scarce_has_failed_for_want_of_it(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    """Libraries raise whatever they like when nothing is left: the stage tells what is free."""
    monkeypatch.setattr(runtime, "available_memory", lambda: runtime.SCARCE - 1)
    with pytest.raises(ExhaustedError, match=r"^out of memory .* are free for this process"), exhaustion():
        raise failure


@pytest.mark.parametrize("failure", FAILURES[1:], ids=lambda failure: type(failure).__name__)
def test_with_memory_left_a_fault_of_ours_keeps_its_traceback(failure: Exception) -> None:
    """The same errors are told as they are where memory is not the reason."""
    with pytest.raises(type(failure)) as caught, exhaustion():
        raise failure
    assert caught.value is failure


@pytest.mark.parametrize("stage", ["prepare", "train_gan", "synthesize", "assess", "train_classifier", "evaluate"])
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is not kept elsewhere")
def test_a_limit_without_room_for_the_libraries_is_told_before_they_load(tmp_path: Path, stage: str) -> None:
    """`ulimit -v` of 3 GB: one line with the stage, the need and what there is, and nothing touched."""
    done = subprocess.run(
        [sys.executable, "-m", f"stages.{stage}"], cwd=tmp_path, capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (3_000_000_000, 3_000_000_000)),
        env={"PYTHONPATH": str(Path(__file__).parent.parent), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {stage}: any stage: needs 5.5 GB of address space")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
