"""What a machine may lack: locks, an entry in passwd, a home; and a checkout that would change ends of lines."""

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.checkpoint import resumable
from pipeline.runtime.locks import NO_LOCKS, lock
from tests.project import ROOT, run

NOBODY = ("unshare", "--user", "--map-user=54321", "--map-group=54321")
NAMES = ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME")


def refuse(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Every lock is answered with this error, as some file systems do; none of those can be mounted here."""

    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.parametrize("number", NO_LOCKS)
def test_a_file_system_without_locks_will_do(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are written and work is resumable; any other error is raised."""
    refuse(monkeypatch, number)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with resumable("stage", "key") as folder:
        write_bytes(folder / "file", b"content")
        assert (folder / "file").read_bytes() == b"content"
    refuse(monkeypatch, errno.EBADF)
    with (tmp_path / "file").open("w") as file, pytest.raises(OSError, match="Bad file descriptor"):
        lock(file)


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run([*NOBODY, "true"], check=False, capture_output=True).returncode != 0,
    reason="there are no user namespaces",
)
def test_a_user_whom_the_system_does_not_know_gets_name_and_home() -> None:
    """DVC's repository opens, which asks for both."""
    code = (
        "from pipeline.runtime.user import complete_user; complete_user(); import getpass; from pathlib import Path;"
        "from dvc.dirs import global_config_dir; print(getpass.getuser(), Path.home(), global_config_dir())"
    )
    clear = ("env", *(f"--unset={name}" for name in NAMES))
    done = run(ROOT, *NOBODY, *clear, sys.executable, "-c", code)
    assert done.stdout.strip() == "uid-54321 / /.config/dvc"


def test_no_checkout_changes_ends_of_lines(tmp_path: Path) -> None:
    """With core.autocrlf, as git for Windows sets it, a clone has the bytes of the commit, whose md5 dvc.lock holds."""
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    origin.mkdir()
    shutil.copy(ROOT / ".gitattributes", origin)
    shutil.copytree(ROOT / ".ci", origin / ".ci")
    me = ("git", "-c", "user.name=me", "-c", "user.email=me@example.org")
    for command in (("init", "-q"), ("add", "."), ("commit", "-qm", "all")):
        assert run(origin, *me, *command).returncode == 0
    assert run(tmp_path, "git", "clone", "-q", "-c", "core.autocrlf=true", str(origin), str(clone)).returncode == 0
    for file in origin.rglob(".ci/*"):
        assert (clone / file.relative_to(origin)).read_bytes() == file.read_bytes()
