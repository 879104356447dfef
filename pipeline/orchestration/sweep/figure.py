"""The figure of settings that differ in one value alone: a curve a value, named where it ends."""

from functools import partial

from matplotlib.axes import Axes

from pipeline.evaluation.report.plots import INK, MUTED, render
from pipeline.orchestration.sweep.result import Sweep

# Okabe and Ito (2008) without their yellow, which is too pale for a line; markers tell them apart in grey too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", INK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GAP = 0.06  # between two names, as a share of the axis: less would overlap


def sweep_svg(sweep: Sweep) -> str:
    """Test accuracy, and its difference to the same value's baseline, against synthetic_percent."""
    title = f"Test accuracy and gain against the share of synthetic images, by {sweep.key}"
    return render([partial(_draw_accuracy, sweep=sweep), partial(_draw_difference, sweep=sweep)], title)


def _draw_accuracy(axes: Axes, sweep: Sweep) -> None:
    _draw_curves(axes, sweep, "test_accuracy", start=0)
    axes.set_title(f"Accuracy by {sweep.key} ({sweep.dataset})")
    axes.set_ylabel("test accuracy (%)")


def _draw_difference(axes: Axes, sweep: Sweep) -> None:
    axes.axhline(0, color=MUTED, ls="--", lw=1.3)
    _draw_curves(axes, sweep, "difference", start=1)
    axes.set_title("Gain over the same value's real-only baseline")
    axes.set_ylabel("difference in points")


def _draw_curves(axes: Axes, sweep: Sweep, key: str, start: int) -> None:
    """Mean and 95 % interval of every percent from `start` on, the percent chosen on val ringed."""
    ends, widest = [], max(row.synthetic_percent for entry in sweep.settings for row in entry.percents)
    for place, entry in enumerate(sweep.settings):
        rows, colour = entry.percents[start:], COLOURS[place % len(COLOURS)]
        shift = 0.008 * widest * (place - (len(sweep.settings) - 1) / 2)  # so that intervals do not hide each other
        at = [row.synthetic_percent + shift for row in rows]
        mean, low, high = ([100 * getattr(row, f"{key}_{end}") for row in rows] for end in ("mean", "low", "high"))
        axes.plot(at, mean, ls="-", marker=MARKERS[place % len(MARKERS)], color=colour, ms=4.5)
        axes.vlines(at, low, high, color=colour, lw=1.1, alpha=0.7)
        chosen = next(i for i, row in enumerate(rows) if row.synthetic_percent == entry.chosen_percent)
        axes.plot(at[chosen], mean[chosen], "o", ms=11, mfc="none", mec=colour, mew=1.2)
        ends.append((mean[-1], str(entry.changes[sweep.key]), colour))
    axes.set_xticks([row.synthetic_percent for row in sweep.settings[0].percents[start:]])
    axes.set_xlabel("synthetic share of the training (%); ring: chosen on val")
    axes.tick_params(length=3)
    _name_curves(axes, ends)


def _name_curves(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Writes each curve's value at its end, from below, pushed up where it would overlap the one before."""
    bottom, top = axes.get_ylim()
    last = float("-inf")
    for height, name, colour in sorted(ends):
        last = max((height - bottom) / (top - bottom), last + GAP)
        axes.annotate(name, (1.01, last), xycoords="axes fraction", color=colour, va="center", annotation_clip=False)
