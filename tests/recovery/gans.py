"""Faults of a GAN in training, as tests/test_gan.py plants them: divergence, collapse, NaN."""

import random
import subprocess
import sys
from pathlib import Path

from tests.project import ROOT
from tests.recovery.project import Outcome, Truth

TESTS = {
    "a learning rate that destroys the weights, NaN": "test_a_planted_divergence_is_caught_and_repaired",
    "a learning rate a thousand times too high": "test_a_learning_rate_a_thousand_times_too_high_rings",
    "the generator ignores z": "test_a_planted_collapse_is_caught_and_repaired",
    "a class has collapsed": "test_a_collapse_goes_back_to_the_best_state",
    "a class stays lost": "test_what_stays_bad_is_published_as_degraded",
    "never healthy": "test_what_was_never_healthy_is_one_line",
    "killed after a restart": "test_a_resumed_training_gives_the_same_numbers and restarted",
}


def faulty_gan(truth: Truth, scratch: Path, choose: random.Random, *, test: str) -> Outcome:
    """Runs the test that plants the fault and says when it must be noticed and what must be kept."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/test_gan.py", "-k", test]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return Outcome(done.stdout * (done.returncode != 0), equal=None)
