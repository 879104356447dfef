"""Whatever is killed, and when: the same command again ends in the bytes of a run that nothing happened to."""

import random
import re
import signal
from pathlib import Path

import pytest

from tests.recovery import kills
from tests.recovery.project import DEMO, STAGES, Outcome, Truth

pytestmark = [pytest.mark.recovery, pytest.mark.timeout(900)]
NAMES = {number: number.name for number in kills.SIGNALS}
# Three stages train their cells with the code of `train_classifier`.
KILLS = [(stage, signal.SIGKILL) for stage in STAGES if not re.match("train_(baseline|rival|control)", stage)]
# These two save or pass on what they have when they are asked to stop; the others know no difference.
KILLS += [(stage, number) for stage in ("train_gan@1", "synthesize@1") for number in (signal.SIGTERM, signal.SIGINT)]
DVC_KILLS = [(signal.SIGKILL, False), (signal.SIGKILL, True), (signal.SIGTERM, False), (signal.SIGINT, True)]


@pytest.mark.parametrize(("stage", "number"), KILLS, ids=[f"{stage}-{NAMES[number]}" for stage, number in KILLS])
def test_a_killed_stage(truth: Truth, scratch: Path, choose: random.Random, stage: str, number: signal.Signals) -> None:
    """No out is half there, no process lives on, and the stage again gives equal bytes."""
    assert kills.kill_stage(truth, scratch, choose, stage=stage, number=number) == Outcome("", equal=True)


@pytest.mark.parametrize(("number", "group"), DVC_KILLS, ids=["SIGKILL", "SIGKILL-group", "SIGTERM", "SIGINT-group"])
def test_a_killed_dvc(
    truth: Truth, scratch: Path, choose: random.Random, number: signal.Signals, *, group: bool
) -> None:
    """The stage goes with it, no lock of it blocks, and `dvc repro` gives an equal dvc.lock and equal outs."""
    assert kills.kill_dvc(truth, scratch, choose, number=number, group=group) == Outcome("", equal=True)


def test_a_dvc_killed_while_it_writes_its_lock(truth: Truth, scratch: Path, choose: random.Random) -> None:
    """The torn dvc.lock is mended, and what it lost comes from DVC's run cache."""
    assert kills.kill_dvc_at_lock(truth, scratch, choose) == Outcome("", equal=True)


def test_an_interrupted_fanout(truth: Truth, scratch: Path, choose: random.Random) -> None:
    """Ctrl-C at any time: no lock of it blocks, and the same command gives an equal dvc.lock and equal outs."""
    assert kills.kill_fanout(truth, scratch, choose, number=signal.SIGINT, group=True) == Outcome("", equal=True)


@pytest.mark.parametrize(
    ("number", "group"), [(signal.SIGKILL, False), (signal.SIGINT, True)], ids=["SIGKILL", "SIGINT"]
)
def test_a_killed_demo(
    truth: Truth, scratch: Path, choose: random.Random, number: signal.Signals, *, group: bool
) -> None:
    """The fan-out that it started goes with it, and `make demo` again gives an equal dvc.lock and equal outs."""
    outcome = kills.kill_fanout(truth, scratch, choose, number=number, group=group, command=DEMO)
    assert outcome == Outcome("", equal=True)


def test_a_fanout_killed_at_its_start(truth: Truth, scratch: Path, choose: random.Random) -> None:
    """Its workers go with it, though they are only loading; the same command gives an equal dvc.lock and outs."""
    assert kills.kill_fanout_at_start(truth, scratch, choose) == Outcome("", equal=True)


@pytest.mark.parametrize("names", [kills.CELLS, kills.GANS], ids=["cells", "GANs"])
def test_a_killed_worker(truth: Truth, scratch: Path, choose: random.Random, names: tuple[str, ...]) -> None:
    """kill -9 to a worker of a fan-out costs its cell or GAN alone, which the same command runs to its end."""
    outcome = kills.kill_worker(truth, scratch, choose, number=signal.SIGKILL, names=names)
    assert outcome == Outcome("", equal=True)


def test_a_killed_writer(truth: Truth, scratch: Path, choose: random.Random) -> None:
    """The stage goes on without its companion, and `sync` brings the run."""
    assert kills.kill_writer(truth, scratch, choose) == Outcome("", equal=True)


def test_a_killed_configure(truth: Truth, scratch: Path, choose: random.Random) -> None:
    """params.yaml is the old one or the new one."""
    assert kills.kill_configure(truth, scratch, choose, number=signal.SIGKILL) == Outcome("", equal=True)


def test_a_killed_sync(truth: Truth, scratch: Path, choose: random.Random) -> None:
    """What was half written is replaced: every result has one run."""
    assert kills.kill_sync(truth, scratch, choose, number=signal.SIGKILL) == Outcome("", equal=None)
