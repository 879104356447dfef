"""The GAN's training as figures: losses, what the probes saw in its images, and what raises the alarms."""

import csv
from math import isfinite
from pathlib import Path

from matplotlib.axes import Axes

from pipeline.evaluation.report.plots import INK, REAL, SYNTHETIC, finish, render
from pipeline.runtime.errors import UserError

History = dict[str, list[float]]  # column of train_gan.csv -> one value a probe, nan where it has none
Lines = tuple[tuple[str, str, str, str], ...]  # column, label, colour, line

LOSSES: Lines = (
    ("loss_d", "discriminator", REAL, "-"),
    ("loss_g", "generator", SYNTHETIC, "--"),
)
PROBES: Lines = (
    ("gan_test", "class agreement", SYNTHETIC, "-"),
    ("gan_test_weakest", "that of its weakest class", SYNTHETIC, ":"),
    ("coverage", "coverage", INK, "--"),
    ("cas", "accuracy of a small classifier (CAS)", REAL, "o"),
)
WARNINGS: Lines = (
    ("overfitting", "discriminator's overfitting", REAL, "-"),
    ("diversity_weakest", "variety of the weakest class", SYNTHETIC, "--"),
)
COLUMNS = (*(name for name, *_ in (*LOSSES, *PROBES, *WARNINGS)), "images", "restarts")


def read_history(path: Path) -> History:
    """The columns that the report draws.

    Raises:
        UserError: the file is missing, or a column of it.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            records = list(csv.DictReader(stream))
        history = {name: [float(record[name] or "nan") for record in records] for name in COLUMNS}
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run: dvc repro train_gan") from None
    except (OSError, csv.Error, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: corrupted ({error!r}); delete it and run: dvc repro train_gan") from None
    if not (records and all(map(isfinite, (*history["images"], *history["restarts"])))):
        raise UserError(f"{path}: corrupted (no number of images); delete it and run: dvc repro train_gan")
    return history


def history_svgs(history: History) -> dict[str, str]:
    """Three figures by name: `losses`, `probes` (%, higher is better) and `warnings` (%)."""
    return {
        "losses": _svg(history, LOSSES, "Losses of both networks", "adversarial loss", 1),
        "probes": _svg(history, PROBES, "What the probes saw in the images", "%", 100),
        "warnings": _svg(history, WARNINGS, "What the alarms watch", "%", 100),
    }


def _svg(history: History, lines: Lines, title: str, unit: str, scale: float) -> str:
    def draw(axes: Axes) -> None:
        images = [count / 1000 for count in history["images"]]
        for name, label, colour, style in lines:
            seen = [(at, scale * y) for at, y in zip(images, history[name], strict=True) if isfinite(y)]
            if seen:
                axes.plot(*zip(*seen, strict=True), style, color=colour, lw=1.3, ms=4, label=label)
        _mark_restarts(axes, history)
        finish(axes, title, "real images shown (thousands)", unit)

    return render([draw], f"{title}, while the GAN trained")


def _mark_restarts(axes: Axes, history: History) -> None:
    """A dash-dotted line where an alarm took training back to its best state: after each attempt's last row."""
    label = "back to the best state"
    for at, now, later in zip(history["images"], history["restarts"], history["restarts"][1:], strict=False):
        if later > now:
            axes.axvline(at / 1000, color=INK, ls="-.", lw=1.2, label=label)
            label = "_"  # matplotlib's word for a line that the legend leaves out
