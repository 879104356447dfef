"""The figure of settings that differ in more than one value: a row a setting, a difference a mark."""

from functools import partial

from matplotlib.axes import Axes

from pipeline.evaluation.report.plots import CEILING, INK, MUTED, REAL, SYNTHETIC, render
from pipeline.evaluation.wording import RIVALS, p_text, points
from pipeline.orchestration.sweep.result import Difference, Sweep, SweepSetting

WIDTH, ROW, FRAME = 10.0, 0.52, 1.5  # inches: of the figure, of a row, of what is above and below all rows
MARKS = (  # what a row shows: how far above its middle, colour, marker, size and width of the line
    ("over the best rival on the same real images", 0.18, SYNTHETIC, "o", 7.0, 2.2),
    ("over real images only", -0.06, REAL, "s", 4.0, 1.0),
    ("fresh real images in the synthetic ones' place, over real images only", -0.28, CEILING, "^", 4.5, 1.0),
)


def rows_svg(sweep: Sweep) -> str:
    """Differences of test accuracy in points, with 95 % intervals, the settings from above in their order."""
    title = "What synthetic images add over the best rival, a row a setting"
    return render([partial(_draw, sweep=sweep)], title, size=(WIDTH, FRAME + ROW * len(sweep.settings)))


def _draw(axes: Axes, sweep: Sweep) -> None:
    axes.axvline(0, color=INK, lw=1)
    count = len(sweep.settings)
    for kind in range(len(MARKS)):
        found = [(count - place, _differences(setting)[kind]) for place, setting in enumerate(sweep.settings)]
        _draw_marks(axes, kind, [(row, entry) for row, entry in found if entry])
    for place, setting in enumerate(sweep.settings):
        about = f"{setting.chosen.num_real:,} real images; {setting.accuracy}"
        _write(axes, count - place, setting.name.replace("_", " "), about, left=True)
        _write(axes, count - place, *_in_figures(setting), left=False)
    axes.set_title(f"What synthetic images add to test accuracy ({sweep.dataset}, n = {_replicates(sweep)} replicates)")
    axes.set_xlabel("difference in points: mean and 95 % interval over the replicates; p by Holm over all rows")
    axes.set(ylim=(0.4, count + 0.6), yticks=[])
    axes.grid(visible=True, axis="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(length=3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.6 / (ROW * count)), ncols=3)


def _draw_marks(axes: Axes, kind: int, found: list[tuple[int, Difference]]) -> None:
    """One of MARKS in every row that has it."""
    label, above, colour, marker, size, width = MARKS[kind]
    heights = [row + above for row, _ in found]
    low, mean, high = ([100 * getattr(entry, end) for _, entry in found] for end in ("low", "mean", "high"))
    axes.hlines(heights, low, high, color=colour, lw=width)
    axes.plot(mean, heights, marker, color=colour, ms=size, label=label)


def _differences(setting: SweepSetting) -> tuple[Difference | None, Difference, Difference | None]:
    """In the order of MARKS."""
    over_rival = setting.over_best_rival
    return over_rival.difference if over_rival else None, setting.over_real_only, setting.ceiling


def _in_figures(setting: SweepSetting) -> tuple[str, str]:
    """The difference to the best rival, and which one that is."""
    found = setting.over_best_rival
    if not found:
        return "", "no rival was run"
    ends = f"{points(found.difference.low)} to {points(found.difference.high)}"
    return (
        f"{points(found.difference.mean)} ({ends}), {p_text(found.p_value_holm)}",
        f"{setting.chosen_percent} % synthetic against {RIVALS[found.rival]}",
    )


def _write(axes: Axes, row: int, text: str, about: str, *, left: bool) -> None:
    """Two lines beside a row, the second one small."""
    x, side = (-0.015, "right") if left else (1.015, "left")
    beside = axes.get_yaxis_transform()
    axes.text(x, row + 0.04, text, ha=side, va="bottom", transform=beside, color=INK if left else SYNTHETIC)
    axes.text(x, row - 0.02, about, ha=side, va="top", transform=beside, color=MUTED, size=7.5)


def _replicates(sweep: Sweep) -> str:
    counts = [setting.chosen.n for setting in sweep.settings]
    return " to ".join(map(str, sorted({min(counts), max(counts)})))
