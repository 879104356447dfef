"""What is used up is told in one line with the stage, what it needed and what there is; the next run completes it."""

import random
from pathlib import Path

import pytest

from tests.recovery import disks
from tests.recovery.project import STAGES, Truth

pytestmark = [pytest.mark.recovery, pytest.mark.timeout(900)]
mounts = pytest.mark.skipif(not disks.may_mount(), reason="this user may not mount a small disk")


@mounts
@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk(truth: Truth, scratch: Path, choose: random.Random, stage: str) -> None:
    """Every stage, on a disk with room for less than half of what it writes."""
    outcome = disks.full_disk(truth, scratch, truth.jobs[stage], choose)
    assert not outcome.told
    assert outcome.equal


@mounts
@pytest.mark.parametrize("stage", ["synthesize", "train_classifier@50-1"])
def test_a_read_only_disk(truth: Truth, scratch: Path, stage: str) -> None:
    """A resumable stage, and one that writes at its end alone."""
    outcome = disks.read_only_disk(truth, scratch, truth.jobs[stage])
    assert not outcome.told
    assert outcome.equal


@pytest.mark.parametrize("stage", ["train_gan", "synthesize", "train_classifier@50-1", "assess"])
def test_little_memory(truth: Truth, scratch: Path, choose: random.Random, stage: str) -> None:
    """A limit (`ulimit -v`) that leaves a stage next to nothing once it is loaded, or no room for its batches."""
    outcome = disks.little_memory(truth, scratch, truth.jobs[stage], choose)
    assert not outcome.told
    assert outcome.equal


def test_a_slow_disk(truth: Truth, scratch: Path) -> None:
    """An fsync of 0.3 s costs time alone."""
    outcome = disks.slow_disk(truth, scratch, truth.jobs["synthesize"], 0.3)
    assert not outcome.told
    assert outcome.equal
