import os
from pathlib import Path

import pytest

from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.errors import ExhaustedError

SIZE = 200_000


def test_two_writers_of_one_file_take_turns(tmp_path: Path) -> None:
    """Processes that write one file at the same time never see an error, and a reader never half of one's content."""
    file, children = tmp_path / "file", []
    for letter in b"abc":
        if (child := os.fork()) == 0:
            status = 1
            try:
                for _ in range(60):
                    write_bytes(file, bytes([letter]) * SIZE)
                status = 0
            finally:  # an error must not go on in a second copy of this process
                os._exit(status)
        children.append(child)
    while children:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child:
            assert status == 0
            children.remove(child)
        content = file.read_bytes() if file.exists() else b"a" * SIZE
        assert len(content) == SIZE
        assert len(set(content)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_disk_that_refuses_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line has the file, what it needs and what is free; the old content stays, and nothing beside it."""
    file = tmp_path / "file"
    write_bytes(file, b"old")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(ExhaustedError, match=r"file: cannot write \(No space .*needs 3 bytes, [0-9,]+ bytes are free"):
        write_bytes(file, b"new")
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
