"""DVC as a command of its own: starting it, and who is at work with it already."""

import os
import re
import subprocess
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from pipeline.runtime.errors import UserError
from pipeline.runtime.signals import die_with_parent

HERE = Path()
LOCKS = (Path(".dvc/tmp/lock"), Path(".dvc/tmp/rwlock"))  # DVC's; the second one while it runs a stage
CONFIGS = (Path(".dvc/config"), Path(".dvc/config.local"))
SYNTHMIX = ("synthmix", "pipeline", "__main__.py")  # names under which `synthmix run` starts


def need_repository() -> None:
    """Stops before anything is written where DVC would stop later.

    Raises:
        UserError: this is no git repository, and DVC is not set to do without one.
    """
    configs = [file.read_text(encoding="utf-8") for file in CONFIGS if file.is_file()]
    if any(re.search(r"(?m)^\s*no_scm\s*=\s*true\b", text) for text in configs):
        return
    try:
        code = subprocess.run(["git", "rev-parse", "--git-dir"], capture_output=True, check=False).returncode
    except FileNotFoundError:
        raise UserError("git: not found; DVC, which runs the stages, needs it: install git") from None
    if code:
        raise UserError(f"{Path.cwd()}: no git repository, which DVC needs: run `git init`, then the same command")


def refuse_concurrent_dvc(what: str, folder: Path = HERE) -> None:
    """Stops before `what` is touched while a dvc works with it.

    Raises:
        UserError: one is at work in `folder`; the line has its process id.
    """
    if pid := lock_owner(folder):
        raise UserError(f"{what}: dvc is at work with it (PID {pid}); wait for it, or stop it with: kill {pid}")


def lock_owner(folder: Path = HERE) -> int:
    """Process id of the other living dvc that DVC's locks in `folder` name; 0 for none, and without /proc."""
    files = [folder / lock for lock in LOCKS]
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file()]
    named = {int(pid) for text in texts for pid in re.findall(r'(?m)(?:^ *|"pid": )(\d+)', text)}
    return next((pid for pid in sorted(named - {os.getpid()}) if _is_dvc(pid)), 0)


def _is_dvc(pid: int) -> bool:
    """Whether the process lives and is a dvc or a fan-out: after a restart its number may be another's."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    names = [Path(os.fsdecode(word)).name for word in words[:5]]
    return "dvc" in names[:3] or any(pair[0] in SYNTHMIX and pair[1] == "run" for pair in pairwise(names))


def use_this_python() -> None:
    """Puts the interpreter that runs first on PATH: `python` in dvc.yaml is then the one that has our packages."""
    folder = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([folder, os.environ.get("PATH", os.defpath)])


def run_module(*words: str, folder: Path, **environment: str) -> int:
    """Runs `python -m WORDS` in `folder`; Ctrl-C reaches it too, and it is given the time to write to its end."""
    process = subprocess.Popen(
        [sys.executable, "-m", *words], cwd=folder, env=os.environ | environment, preexec_fn=die_with_parent
    )
    while True:
        with suppress(KeyboardInterrupt):
            return process.wait()
