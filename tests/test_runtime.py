"""Where commands start and end: the machine, the flags, and which failure is whose."""

import errno
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from pipeline.runtime import resources
from pipeline.runtime.entry import error_boundary

ROOT = Path(__file__).resolve().parent.parent
NOTHING_LEFT = [
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
]
FAULTS = [
    SystemError("error return without exception set"),
    ImportError("no such name"),
    RuntimeError("could not create a primitive"),
    OSError(errno.ENOENT, "No such file"),
]


@pytest.mark.parametrize("failure", NOTHING_LEFT, ids=lambda failure: type(failure).__name__)
def test_want_of_memory_is_one_line(failure: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    """Python's, the operating system's and torch's own: the stage says what is free, and exits with 2."""
    with pytest.raises(SystemExit) as ended, error_boundary("train_gan"):
        raise failure
    line = capsys.readouterr().err
    assert (ended.value.code, line.count("\n")) == (2, 1)
    assert line.startswith("error: train_gan: out of memory (")
    assert "are free for this process" in line


@pytest.mark.parametrize("failure", FAULTS, ids=lambda failure: type(failure).__name__)
def test_any_other_failure_keeps_its_traceback(failure: Exception) -> None:
    """However little memory is free: what does not name it is a fault of ours."""
    with pytest.raises(type(failure)) as caught, error_boundary("train_gan"):
        raise failure
    assert caught.value is failure


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


STAGES = tuple(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])


def start(
    folder: Path, *command: str, limit: int = resource.RLIM_INFINITY, orphan: bool = False
) -> subprocess.CompletedProcess[str]:
    """Runs Python with `command` in `folder`, on an address space of `limit` bytes, or as what a dead dvc left."""
    environment = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"} | ({"DVC_STAGE": "x"} if orphan else {})
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=orphan,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY)),
    )


@pytest.mark.parametrize("command", [*(f"stages.{stage}" for stage in STAGES), "pipeline run --jobs 2"])
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is not kept elsewhere")
def test_a_limit_without_room_for_the_libraries_is_reported_before_they_load(tmp_path: Path, command: str) -> None:
    """`ulimit -v` of 3 GB: one line with the stage, the need and what there is, and nothing touched."""
    done = start(tmp_path, "-m", *command.split(), limit=3_000_000_000)
    name = command.removeprefix("stages.") if command.startswith("stages.") else "synthmix"
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"error: {name}: any stage: needs 5.5 GB of address space")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("stages.prepare --ouut x", "error: prepare: no such option: --ouut (Possible options: --out)"),
        ("stages.prepare", "error: prepare: missing option '--out'"),
        ("stages.train_baseline --replicate one", "error: train_baseline: invalid value for '--replicate'"),
        ("pipeline rnu", "error: synthmix: no such command 'rnu'. Did you mean 'run'?"),
        ("pipeline dataset verfy x", "error: synthmix dataset: no such command 'verfy'. Did you mean 'verify'?"),
        ("pipeline configure gan.stepz=3", "gan.stepz: no such key; did you mean gan.steps?"),
        ("pipeline run --jobs -1", "error: synthmix run: invalid value for '--jobs'"),
    ],
)
def test_a_wrong_command_line_is_one_line(tmp_path: Path, command: str, message: str) -> None:
    """Commands, flags and keys: what is wrong, what was meant, exit code 2."""
    done = start(tmp_path, "-m", *command.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_a_stage_whose_dvc_is_dead_does_nothing(tmp_path: Path) -> None:
    """It has become the child of another session before it could ask to end with its parent."""
    done = start(tmp_path, "-m", "stages.prepare", orphan=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "the dvc that started this stage is dead" in done.stderr


def test_nothing_happens_on_import_of_the_stages(tmp_path: Path) -> None:
    """No variable is set, no limit asked for, no library loaded."""
    code = "import os, sys; before = dict(os.environ); import stages; assert dict(os.environ) == before"
    done = start(tmp_path, "-c", f"{code}; assert not {{'torch', 'typer', 'pipeline'}} & set(sys.modules)")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_python_without_our_packages_is_one_line(tmp_path: Path) -> None:
    """PATH decides which python dvc.yaml's commands are run by; what to do is said, and nothing else."""
    done = start(tmp_path, "-S", "-m", "stages.prepare", "--out", "x")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "lacks the package typer: run `make setup`" in done.stderr
