"""State of unfinished work: atomic, locked, and keyed by a fingerprint of all that determines the result.

Lives in `.resume/<stage>/<fingerprint>/`, outside DVC's outs, because DVC deletes a stage's outs before it
runs. Changed params, data or code give another fingerprint and so start from zero.
"""

import hashlib
import io
import json
import os
import pickle
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import yaml

from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.errors import UserError, disk_errors
from pipeline.runtime.locks import lock

ROOT = Path(__file__).resolve().parents[2]
GRAPH_FILE = ROOT / "dvc.yaml"


def fingerprint(stage: str, parts: Mapping[str, object]) -> str:
    """sha256 (32 hex digits) of JSON-able `parts` and of the code that dvc.yaml names among the deps of `stage`."""
    hasher = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for dep in code_deps(stage):
        path = ROOT / dep
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            hasher.update(file.read_bytes())
    return hasher.hexdigest()[:32]


def code_deps(stage: str) -> list[str]:
    """Scripts and packages of ours that `stage` depends on, as dvc.yaml has them."""
    deps = yaml.safe_load(GRAPH_FILE.read_text(encoding="utf-8"))["stages"][stage]["deps"]
    return [dep for dep in deps if dep.startswith(("pipeline/", "stages/"))]


@contextmanager
def resumable(stage: str, key: str) -> Iterator[Path]:
    """The folder in which `stage` keeps unfinished work; removed when the block ends without an error.

    Raises:
        UserError: another process is at the same work.
    """
    folder = Path(os.environ.get("DVC_ROOT", ".")) / ".resume" / stage / key
    done = folder.with_name(f"{key}.done")
    with disk_errors(folder):
        shutil.rmtree(done, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        held = (folder / "lock").open("a+")
    with held:
        _hold(held, f"{folder}: another process runs {stage} with these values")
        try:
            yield folder
        except UserError:
            if [path.name for path in folder.iterdir()] == ["lock"]:  # refused before there was any work
                shutil.rmtree(folder)
            raise
        folder.rename(done)  # in one moment: a kill while it is deleted must not leave a part that looks like all
        shutil.rmtree(done, ignore_errors=True)


def _hold(file: TextIO, message: str) -> None:
    """Locks the file and writes this process's id into it, for those who find it locked."""
    try:
        lock(file, wait=False)
    except BlockingIOError:
        file.seek(0)
        raise UserError(f"{message} (PID {file.read()}); wait for it or stop it") from None
    with disk_errors(Path(file.name)):
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()


def save_state(file: Path, state: Mapping[str, Any]) -> None:
    """Writes tensors and plain values so that `file` is at any moment the old state or the new one.

    Raises:
        ExhaustedError: the disk is full or refuses; the old state stays.
    """
    import torch

    data = io.BytesIO()
    torch.save(dict(state), data)  # first in memory: on a full disk torch's own writer would hide the reason
    write_bytes(file, data.getbuffer())


def load_state(file: Path) -> dict[str, Any] | None:
    """The saved state on the CPU, or None where nothing was saved; executes no code from the file.

    Raises:
        UserError: the file is corrupted.
    """
    import torch

    if not file.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        problem = " ".join(str(error).split())[:100]
        raise UserError(f"{file}: no state can be read here ({problem}); delete it, and the work starts anew") from None
    return state
