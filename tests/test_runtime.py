import errno
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.runtime import entry, resources
from pipeline.runtime.entry import exhaustion
from pipeline.runtime.errors import ExhaustedError

FAILURES = [MemoryError(), SystemError("error return without exception set"), ImportError("failed to map segment"),
            RuntimeError("could not create a primitive")]  # fmt: skip


def test_an_operating_system_without_memory_is_told() -> None:
    """ENOMEM, as from mapping a file, is memory and no disk."""
    with pytest.raises(ExhaustedError, match=r"^out of memory .*Cannot allocate memory"), exhaustion():
        raise OSError(errno.ENOMEM, "Cannot allocate memory")


def test_a_container_counts_what_it_has_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a limit of 800 MB with 500 MB used, 100 MB of them a cache, 400 MB are left."""
    monkeypatch.setattr(resources, "CONTAINERS", {tmp_path: ("memory.max", "memory.current", "inactive_file")})
    (tmp_path / "memory.current").write_text("500000000\n")
    (tmp_path / "memory.stat").write_text("anon 400000000\ninactive_file 100000000\n")
    (tmp_path / "memory.max").write_text("800000000\n")
    assert resources.available_memory() == 400_000_000
    (tmp_path / "memory.stat").unlink()
    assert resources.available_memory() == 300_000_000
    (tmp_path / "memory.current").unlink()
    assert resources.available_memory() == 800_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert resources.available_memory() > 400_000_000


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_what_fails_where_memory_is_scarce_has_failed_for_want_of_it(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    """Libraries raise whatever they like when nothing is left: the stage tells what is free."""
    monkeypatch.setattr(entry, "available_memory", lambda: entry.SCARCE - 1)
    with pytest.raises(ExhaustedError, match=r"^out of memory .* are free for this process"), exhaustion():
        raise failure


@pytest.mark.parametrize("failure", FAILURES[1:], ids=lambda failure: type(failure).__name__)
def test_with_memory_left_a_fault_of_ours_keeps_its_traceback(failure: Exception) -> None:
    """The same errors are told as they are where memory is not the reason."""
    with pytest.raises(type(failure)) as caught, exhaustion():
        raise failure
    assert caught.value is failure


STAGES = ["prepare", "train_gan", "synthesize", "assess", "train_baseline", "train_classifier", "evaluate"]


@pytest.mark.parametrize("command", [*(["-m", f"stages.{stage}"] for stage in STAGES), ["-Bmstages.prepare"],
                                     ["-m", "benchmarks"],
                                     ["-m", "pipeline", "run", "--jobs", "2"]], ids=" ".join)  # fmt: skip
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is not kept elsewhere")
def test_a_limit_without_room_for_the_libraries_is_told_before_they_load(tmp_path: Path, command: list[str]) -> None:
    """`ulimit -v` of 3 GB: one line with the stage, the need and what there is, and nothing touched."""
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (3_000_000_000, 3_000_000_000)),
        env={"PYTHONPATH": str(Path(__file__).parent.parent), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 2
    name = command[0 if len(command) == 1 else 1].rpartition(".")[2]
    assert done.stderr.startswith(f"error: {name}: any stage: needs 5.5 GB of address space")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
