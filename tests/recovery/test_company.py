"""Two at once: one waits, or says who holds the lock; nothing is corrupted."""

import random
from pathlib import Path

import pytest

from tests.recovery import company
from tests.recovery.project import Truth

pytestmark = [pytest.mark.recovery, pytest.mark.timeout(900)]


@pytest.mark.parametrize("command", [company.REPRO, company.DEMO], ids=["repro", "demo"])
def test_two_in_one_clone(truth: Truth, scratch: Path, choose: random.Random, command: tuple[str, ...]) -> None:
    """Two `dvc repro`, or two `make demo`: one does the work, the other does not and says why."""
    outcome = company.two_of_dvc(truth, scratch, truth.jobs["synthesize"], command, choose)
    assert not outcome.told
    assert outcome.equal


@pytest.mark.parametrize("command", [company.DEMO, company.CONFIGURE], ids=["demo", "configure"])
def test_params_stay_while_dvc_reads_them(
    truth: Truth, scratch: Path, choose: random.Random, command: tuple[str, ...]
) -> None:
    """What would replace params.yaml under a `dvc repro` ends in one line with its process id."""
    outcome = company.refused_beside_repro(truth, scratch, truth.jobs["train_gan"], command, choose)
    assert not outcome.told
    assert outcome.equal


@pytest.mark.parametrize("stage", ["train_gan", "train_baseline@50-0", "evaluate"])
def test_one_stage_twice(truth: Truth, scratch: Path, choose: random.Random, stage: str) -> None:
    """Started twice without DVC, a resumable stage refuses the second; others write the same bytes in turn."""
    outcome = company.twice_without_dvc(truth, scratch, truth.jobs[stage], choose)
    assert not outcome.told
    assert outcome.equal


def test_four_create_one_store(truth: Truth, scratch: Path) -> None:
    """Four cells at once where no MLflow store is: no run is lost, none is there twice."""
    outcome = company.four_and_one_store(truth, scratch)
    assert not outcome.told
    assert outcome.equal
