"""Whatever is killed, and when: the same command again ends in the bytes of a run that nothing happened to."""

import random
import signal
from pathlib import Path

import pytest

from tests.recovery import kills
from tests.recovery.project import STAGES, Truth

pytestmark = [pytest.mark.recovery, pytest.mark.timeout(900)]
SIGNAL_NAMES = [number.name for number in kills.SIGNALS]


@pytest.mark.parametrize("number", kills.SIGNALS, ids=SIGNAL_NAMES)
@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_stage(truth: Truth, scratch: Path, choose: random.Random, stage: str, number: signal.Signals) -> None:
    """No out is half there, no process lives on, and the stage again gives equal bytes."""
    outcome = kills.kill_stage(truth, scratch, truth.jobs[stage], number, choose)
    assert not outcome.told
    assert outcome.equal


@pytest.mark.parametrize("group", [False, True], ids=["alone", "group"])
@pytest.mark.parametrize("number", kills.SIGNALS, ids=SIGNAL_NAMES)
def test_a_killed_dvc(
    truth: Truth, scratch: Path, choose: random.Random, number: signal.Signals, *, group: bool
) -> None:
    """The stage goes with it, no lock of it blocks, and `dvc repro` gives an equal dvc.lock and equal outs."""
    job = truth.jobs[choose.choice(("train_gan", "synthesize", "train_classifier@50-1"))]
    outcome = kills.kill_dvc(truth, scratch, job, number, choose, group=group)
    assert not outcome.told
    assert outcome.equal
