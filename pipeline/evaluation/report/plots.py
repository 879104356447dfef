"""Figures of the report as SVG text: the same bytes for the same numbers. Accuracies are shown in %."""

import io
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from pipeline.evaluation.learning_curve import Floats, fit_curve
from pipeline.evaluation.result import CurvePoint, RealEquivalent, Result, Setting
from pipeline.evaluation.wording import BOUNDS

Points = Sequence[Setting | CurvePoint]  # what has single replicates, their mean and its interval

# Blue, vermilion and bluish green of Okabe and Ito (2008), kept apart by every common kind of colour vision.
SYNTHETIC, REAL, CEILING = "#0072b2", "#d55e00", "#009e73"
INK, MUTED, GRID, PAPER = "#1b1f24", "#5b6470", "#dfe3e8", "#ffffff"
NAMES = {
    SYNTHETIC: "synthetic",
    REAL: "real",
    CEILING: "ceiling",
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    PAPER: "paper",
}

PANEL = (5.0, 3.6)  # inches: 9 pt text stays readable where a phone shrinks the figure to its width
STYLE: dict[Any, Any] = {  # matplotlib types its keys as one long Literal
    "svg.hashsalt": "synthmix",  # else element ids are random
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same layout on every machine
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GRID,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "figure.facecolor": PAPER,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def ablation_svg(result: Result, *others: Callable[[Axes], None]) -> str:
    """Accuracy against synthetic_percent, the learning curve, other panels: the one figure that goes into git."""
    return render(
        [partial(_draw_accuracy, result=result), partial(_draw_learning_curve, result=result), *others],
        "Ablation and learning curve",
    )


def accuracy_svg(result: Result) -> str:
    """Test accuracy against synthetic_percent, with band, replicates, ceiling and baseline."""
    return render([partial(_draw_accuracy, result=result)], "Test accuracy against the share of synthetic images")


def learning_curve_svg(result: Result) -> str:
    """Test accuracy of real-only training against its number of images, with the equivalent read off."""
    return render([partial(_draw_learning_curve, result=result)], "Test accuracy against the number of real images")


def inline(svg: str, name: str) -> str:
    """`svg` for the body of an HTML page: no prologue, ids prefixed by `name`, colours as CSS variables."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'(\bid="|href="#|url\(#|labelledby=")', rf"\g<1>{name}-", svg)
    for colour, word in NAMES.items():
        svg = svg.replace(colour, f"var(--{word})")
    return svg


def render(panels: Sequence[Callable[[Axes], None]], title: str, size: tuple[float, float] = PANEL) -> str:
    """Draws the panels side by side, each of `size` inches; `title` is what a screen reader says."""
    with mpl.rc_context():
        mpl.rcdefaults()  # a user's matplotlibrc must not reach the bytes
        mpl.rcParams.update(STYLE)
        figure = Figure(figsize=(size[0] * len(panels), size[1]), layout="constrained")
        for axes, draw in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            draw(axes)
        buffer = io.StringIO()
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))  # time and version
        figure.savefig(buffer, format="svg", metadata=no_metadata)
    labelled = buffer.getvalue().replace("<svg ", '<svg role="img" aria-labelledby="title" ', 1)
    head, tag, body = labelled.partition(' version="1.1">')
    assert tag, "matplotlib writes the svg tag otherwise"
    return f'{head}{tag}\n <title id="title">{title}</title>{body}'


def _draw_accuracy(axes: Axes, result: Result) -> None:
    baseline, chosen = result.baseline, result.chosen
    percents = [setting.synthetic_percent for setting in result.settings]
    low, high = 100 * baseline.test_accuracy_low, 100 * baseline.test_accuracy_high
    axes.axhspan(low, high, color=REAL, alpha=0.12, lw=0)
    axes.axhline(100 * baseline.test_accuracy_mean, color=REAL, ls="--", lw=1.3, label="real only (baseline)")
    _draw_band(axes, percents, result.settings, SYNTHETIC)
    axes.plot(percents, _means(result.settings), "o-", color=SYNTHETIC, ms=4.5, label="mean")
    _draw_ceiling(axes, result)
    at = chosen.synthetic_percent, 100 * chosen.test_accuracy_mean
    axes.plot(*at, "o", ms=12, mfc="none", mec=INK, mew=1.3, ls="none", label="share chosen on val")
    axes.set_xticks(percents)
    axes.set_ylim(_limits(result.settings, *(entry.test_accuracy_mean for entry in result.controls)))
    title = f"What synthetic images change ({result.dataset}, mode {result.mode}, {baseline.n} replicates)"
    finish(axes, title, "synthetic share of the training (%)")


def _draw_ceiling(axes: Axes, result: Result) -> None:
    """What fresh real images in the synthetic ones' place reach, as far as they were tried."""
    ceiling = [entry for entry in result.controls if entry.control == "ceiling"]
    if ceiling:
        percents = [entry.synthetic_percent for entry in ceiling]
        heights = [100 * entry.test_accuracy_mean for entry in ceiling]
        axes.plot(percents, heights, "^:", color=CEILING, ms=4.5, lw=1.3, label="fresh real images (ceiling)")


def _draw_learning_curve(axes: Axes, result: Result) -> None:
    curve, entry = result.learning_curve, result.real_equivalent
    sizes = [point.num_real for point in curve]
    _draw_band(axes, sizes, curve, REAL)
    axes.plot(sizes, _means(curve), "o", color=REAL, ms=4.5, label="mean")
    axes.plot(*_curve(sizes, curve), color=REAL, lw=1.4, label="learning curve")
    if entry:
        _draw_equivalent(axes, entry, sizes)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(_limits(curve, result.chosen.test_accuracy_mean))
    title = f"What real images alone reach ({result.dataset}, {curve[0].n} replicates)"
    finish(axes, title, "real training images (log scale)")


def _draw_equivalent(axes: Axes, entry: RealEquivalent, sizes: list[int]) -> None:
    """The accuracy of the chosen percent, the size at which real images alone reach it, and its interval."""
    height = 100 * entry.test_accuracy
    label = f"real + {entry.synthetic_percent} % synthetic"
    axes.axhline(height, color=SYNTHETIC, ls=":", lw=1.4, label=label)
    ends = [entry.num_real_low, entry.num_real_high]
    axes.plot(ends, [height] * 2, color=SYNTHETIC, lw=5, alpha=0.35, solid_capstyle="butt", label="its 95 % interval")
    at = entry.num_real_equivalent, height
    if entry.bound == "equals":
        axes.plot(*at, "D", color=SYNTHETIC, ms=7, ls="none", label="real-image equivalent")
    in_left_half = at[0] ** 2 < min(sizes) * max(sizes)  # of a logarithmic axis; the curve rises to the right
    place, side = ((6, -15), "left") if in_left_half else ((0, 7), "right")
    text = f"{BOUNDS[entry.bound]}{at[0]:,}{' real images' * (entry.bound == 'equals')}"
    box = {"facecolor": PAPER, "alpha": 0.8, "linewidth": 0, "pad": 1}  # the text may lie on points
    axes.annotate(text, at, place, textcoords="offset points", ha=side, color=SYNTHETIC, bbox=box)


def _curve(sizes: list[int], curve: Points) -> tuple[Floats, Floats]:
    """The line that the equivalent is read off: sizes, and accuracies in %."""
    at, heights = fit_curve(sizes, [point.test_accuracy_mean for point in curve])
    return at, 100 * heights


def _draw_band(axes: Axes, x: list[int], rows: Points, colour: str) -> None:
    """The 95 % interval as a band, and every replicate as a small point."""
    low, high = ([100 * end for end in ends] for ends in zip(*_ends(rows), strict=True))
    axes.fill_between(x, low, high, color=colour, alpha=0.16, lw=0, label="95 % interval")
    single = [(at, 100 * value) for at, row in zip(x, rows, strict=True) for value in row.test_accuracy]
    axes.plot(*zip(*single, strict=True), "o", color=colour, alpha=0.55, ms=2.6, ls="none", label="single replicates")


def _ends(rows: Points) -> list[tuple[float, float]]:
    return [(row.test_accuracy_low, row.test_accuracy_high) for row in rows]


def _means(rows: Points) -> list[float]:
    return [100 * row.test_accuracy_mean for row in rows]


def _limits(rows: Points, *others: float) -> tuple[float, float]:
    """Range of the y axis: every replicate, and of the intervals what does not dwarf them.

    With two or three replicates a t-interval can be ten times as wide as the data.
    """
    values = [100 * value for row in rows for value in row.test_accuracy] + [100 * value for value in others]
    span = max(max(values) - min(values), 0.5)
    ends = [100 * end for pair in _ends(rows) for end in pair]
    low, high = min(values) - span, max(values) + span
    return max(low, min([*values, *ends]) - 0.05 * span), min(high, max([*values, *ends]) + 0.05 * span)


def finish(axes: Axes, title: str, x_label: str, y_label: str = "test accuracy (%)") -> None:
    """Title, labels and a legend below, so that it hides nothing."""
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.tick_params(length=3)
    longest = max((len(str(label)) for label in axes.get_legend_handles_labels()[1]), default=0)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2 if longest > 24 else 3)
