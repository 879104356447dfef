"""What long work shows on a terminal, and in a log."""

import io
import subprocess
import sys

import pytest

from pipeline.params.schema import Params
from pipeline.runtime import progress
from pipeline.runtime.progress import Progress, bar_name, named_bars, say
from pipeline.tracking.execution import describe_place


class Terminal(io.StringIO):
    """Takes what is written as a terminal does."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """What it shows: a carriage return goes to the start of the line, ESC [A a line up; text covers older text."""
        lines, row, column = [""], 0, 0
        for char in self.getvalue().replace("\x1b[A", "\v"):
            if char == "\r":
                column = 0
            elif char == "\v":
                row -= 1
            elif char == "\n":
                row, column = row + 1, 0
                lines += [""] * (row == len(lines))
            else:
                lines[row] = f"{lines[row][:column]:{column}}{char}{lines[row][column + 1 :]}"
                column += 1
        return [line.rstrip() for line in lines if line.strip()]


def train_and_probe() -> None:
    """Training of 3,000 steps, at step 1,500 with another one inside."""
    with Progress("train_gan", total=3000, unit="step") as outer:
        outer.advance(1500)
        with named_bars("judge"), Progress(bar_name("classifier"), total=2048, unit="image") as inner:
            inner.advance(1024)
            inner.advance(1024)
            inner.conclude("55.00 % on val")
        say("train_gan: a line between")
        outer.advance(1500)
        outer.conclude("it is done")


def test_an_inner_bar_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named by what it trains and when; what stays is the outer one, with whole counts and what came of it."""
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    train_and_probe()
    assert "judge @ step 1500: 100%" in terminal.getvalue()
    line, bar = terminal.screen()
    assert line == "train_gan: a line between"
    assert bar.startswith("train_gan: 100%")
    assert "| 3000/3000 [" in bar
    assert bar.endswith("it is done]")


def test_a_log_has_lines_in_place_of_bars(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One now and then, and one for what came of the work, inner work aside."""
    train_and_probe()
    assert capsys.readouterr().err.splitlines() == ["train_gan: a line between", "train_gan: it is done"]
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    train_and_probe()
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert first.startswith("train_gan: 50 % (")
    assert second.startswith("judge @ step 1500: 50 % (")


def test_a_cell_says_which_of_all_it_is(tiny: Params) -> None:
    """Cells are counted over all stages that train classifiers, in the order of dvc.yaml; other stages have a name."""
    cell = {"synthetic_percent": 50, "replicate": 1}
    assert describe_place("train_classifier", cell, tiny) == "train_classifier@50-1, cell 12 of 12"
    first = {"real_percent": 100, "replicate": 0}
    assert describe_place("train_baseline", first, tiny) == "train_baseline@100-0, cell 1 of 12"
    assert describe_place("train_gan", {"replicate": 1}, tiny) == "train_gan@1"
    assert describe_place("train_gan", cell | {"replicate": 7}, tiny) == "train_gan@7"
    assert describe_place("prepare", {}, tiny) == "prepare"


def test_nothing_happens_on_import() -> None:
    """tqdm's lock is replaced when the first bar is made."""
    code = "import pipeline.runtime.progress; from tqdm import tqdm; assert not hasattr(tqdm, '_lock')"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
