"""Two at once: one waits, or says who holds the lock; nothing is corrupted."""

import random
from pathlib import Path

import pytest

from tests.recovery import company
from tests.recovery.project import DEMO, Outcome, Truth

pytestmark = [pytest.mark.recovery, pytest.mark.timeout(900)]


@pytest.mark.parametrize("commands", company.PAIRS.values(), ids=company.PAIRS)
def test_two_in_one_clone(
    truth: Truth, scratch: Path, choose: random.Random, commands: tuple[tuple[str, ...], ...]
) -> None:
    """One does the work; the other waits, or does nothing and says why."""
    assert company.two_of_dvc(truth, scratch, choose, commands=commands) == Outcome("", equal=True)


@pytest.mark.parametrize("command", [DEMO, company.CONFIGURE], ids=["demo", "configure"])
def test_params_stay_while_dvc_reads_them(
    truth: Truth, scratch: Path, choose: random.Random, command: tuple[str, ...]
) -> None:
    """What would replace params.yaml under a `dvc repro` ends in one line with its process id."""
    assert company.refused_beside_repro(truth, scratch, choose, command=command) == Outcome("", equal=True)


@pytest.mark.parametrize("stage", ["train_gan@0", "train_baseline@200-0"])
def test_one_stage_twice(truth: Truth, scratch: Path, choose: random.Random, stage: str) -> None:
    """Started twice without DVC, a resumable stage refuses the second; others write the same bytes in turn."""
    assert company.twice_without_dvc(truth, scratch, choose, stage=stage) == Outcome("", equal=True)


def test_four_create_one_store(truth: Truth, scratch: Path, choose: random.Random) -> None:
    """Four cells at once where no MLflow store is: no run is lost, none is there twice."""
    assert company.four_and_one_store(truth, scratch, choose) == Outcome("", equal=True)
