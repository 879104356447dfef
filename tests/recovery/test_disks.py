"""What is used up is told in one line with the stage, what it needed and what there is; the next run completes it."""

import random
from pathlib import Path

import pytest

from tests.recovery import disks
from tests.recovery.project import Outcome, Truth

pytestmark = [pytest.mark.recovery, pytest.mark.timeout(900)]
mounts = pytest.mark.skipif(not disks.may_mount(), reason="this user may not mount a small disk")


@mounts
@pytest.mark.parametrize("stage", ["train_gan@1", "synthesize@1", "evaluate"])
def test_a_full_disk(truth: Truth, scratch: Path, choose: random.Random, stage: str) -> None:
    """A disk with room for less than half of what a stage writes."""
    assert disks.full_disk(truth, scratch, choose, stage=stage) == Outcome("", equal=True)


@mounts
@pytest.mark.parametrize("stage", ["synthesize@1"])
def test_a_read_only_disk(truth: Truth, scratch: Path, choose: random.Random, stage: str) -> None:
    """Nothing can be written at all."""
    assert disks.read_only_disk(truth, scratch, choose, stage=stage) == Outcome("", equal=True)


@pytest.mark.parametrize("stage", ["train_gan@1", "train_classifier@50-1"])
def test_little_memory(truth: Truth, scratch: Path, choose: random.Random, stage: str) -> None:
    """A limit (`ulimit -v`) with which the stage starts, and which has no room for the batches asked for."""
    assert disks.little_memory(truth, scratch, choose, stage=stage) == Outcome("", equal=True)


def test_a_slow_disk(truth: Truth, scratch: Path, choose: random.Random) -> None:
    """A slow fsync costs time alone."""
    assert disks.slow_disk(truth, scratch, choose, stage="synthesize@1") == Outcome("", equal=True)
