"""Shards come out the same to the byte, however they were drawn and whatever stopped the writer."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.gan.build import find_build
from pipeline.gan.labels import Labels
from pipeline.gan.networks import ImageShape
from pipeline.gan.sampling import Sampler
from pipeline.images import Indices, LabelledImages, Pixels
from pipeline.shards import plan
from pipeline.shards.digest import ContentDigest
from pipeline.shards.schema import Encoding
from tests.shard_inputs import NAMES, Draw, tree, write

LABELS = Labels.balanced(len(NAMES))
Attempt = tuple[int, int, int]
"""One call of the writer: threads, images a call of the generator, and the image at which it is stopped."""


def fault(case: str, folder: Path, *under: str) -> Any:
    """What `tests.shard_faults` found out."""
    command = [*under, sys.executable, "-m", "tests.shard_faults", case, str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def may_mount() -> bool:
    """Whether a process of ours may have disks of its own."""
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", tempfile.gettempdir()]
    return (
        shutil.which("unshare") is not None
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


def test_a_writer_killed_anywhere_resumes(tmp_path: Path) -> None:
    """kill -9 before every single draw, fsync and rename of a write: the same call then ends in the same bytes."""
    found = fault("kill", tmp_path)
    assert found["killed"] == 8 + (1 + 2 * 4) * 3  # draws; the plan's file and two a shard, each with three steps
    assert found["differing"] == []


@pytest.mark.skipif(not may_mount(), reason="this user may not mount a small disk")
def test_a_full_or_read_only_disk_is_one_line_and_the_next_call_completes_it(tmp_path: Path) -> None:
    """A disk that fills up, then takes nothing: one line each, finished shards stay and are not drawn again."""
    found = fault("disk", tmp_path, "unshare", "-rm")
    where = f"{tmp_path}/disk/set/"
    assert "cannot write (No space left on device)" in found["full"]
    assert "cannot write (Read-only file system)" in found["read_only"]
    for error in (found["full"], found["read_only"]):
        assert error.startswith(where)
        assert "\n" not in error
    kept = len(found["kept"])
    assert 1 <= kept < 4
    assert found["still"] == found["kept"] == [f"train-0000{i}-of-00004.parquet" for i in range(kept)]
    assert found["drawn"] == list(range(kept * 8, 30, 4))
    assert found["equal"]


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    """A generator of random weights."""
    torch.manual_seed(0)
    shape = ImageShape(16, 3, len(NAMES))
    network, _ = find_build("r3", "")(8, 4, shape)
    return Sampler(network.eval(), 8, shape, NAMES, torch.device("cpu"))


@st.composite
def histories(choose: st.DrawFn) -> tuple[int, list[Attempt]]:
    """How many images, and each attempt to write them."""
    num_images = choose(st.integers(4, 700))
    attempt = st.tuples(st.integers(1, 2), st.integers(1, 300), st.integers(0, num_images))
    return num_images, choose(st.lists(attempt, min_size=1, max_size=4))


@given(histories(), st.sampled_from(["stored_png", "png"]))
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_gives_the_same_bytes(
    tmp_path: Path,
    sampler: Sampler,
    monkeypatch: pytest.MonkeyPatch,
    history: tuple[int, list[Attempt]],
    encoding: Encoding,
) -> None:
    """However many images a call draws, in however many threads, stopped wherever and as often: the same files.

    And the same digest of the content, part of which was read back.
    """
    monkeypatch.setattr(os, "fsync", lambda _: None)  # of no effect on bytes, and slow
    monkeypatch.setattr(plan, "ROW_GROUP_ROWS", 64)
    monkeypatch.setattr(plan, "SHARD_ROWS", 128)
    num_images, attempts = history
    images = LabelledImages(*sampler.draw(0, num_images, seed=3, std=1.0, labels=LABELS), NAMES)
    shutil.rmtree(tmp_path)
    whole = ContentDigest()
    write(tmp_path / "whole" / "data", images, encoding=encoding, digest=whole)
    threads = torch.get_num_threads()
    for number, (num_threads, batch, end) in enumerate(attempts, 1):
        torch.set_num_threads(num_threads)
        draw = in_batches(sampler, batch, num_images if number == len(attempts) else end)
        digest = ContentDigest()
        with suppress(KeyboardInterrupt):
            write(tmp_path / "cut" / "data", images, draw, encoding=encoding, digest=digest)
    torch.set_num_threads(threads)
    assert tree(tmp_path / "cut") == tree(tmp_path / "whole")
    assert (digest.sha256(), digest.class_counts) == (whole.sha256(), whole.class_counts)


def in_batches(sampler: Sampler, batch: int, end: int) -> Draw:
    """Draws `batch` images at a time; stopped at image `end`."""

    def draw(start: int, stop: int) -> tuple[Pixels, Indices]:
        if stop > end:
            raise KeyboardInterrupt
        cuts = range(start, stop, batch)
        parts = [sampler.draw(cut, min(cut + batch, stop), seed=3, std=1.0, labels=LABELS) for cut in cuts]
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    return draw
