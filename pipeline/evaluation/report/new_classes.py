"""The report's section on held-out classes: its rows, its figure, its text."""

from collections.abc import Callable
from functools import partial

from matplotlib.axes import Axes

from pipeline.evaluation.report.plots import CEILING, INK, MUTED, REAL, SYNTHETIC, finish, render
from pipeline.evaluation.report.tables import INTERVAL, Rows, p_number
from pipeline.evaluation.result import NewClasses, Result
from pipeline.evaluation.wording import percent, points
from pipeline.params.schema import Arm

ARMS = ("images of the new classes", "real of each", "new-class recall %", INTERVAL, "old classes %", "harmonic mean %")
COMPARISONS = (
    "arm",
    "against",
    "real of each",
    "recall, points",
    INTERVAL,
    "old classes, points",
    INTERVAL,
    "p (Holm)",
)
NAMES: dict[Arm, str] = {
    "real_only": "as they are",
    "oversampled": "oversampled",
    "augmented": "augmented",
    "synthetic": "half synthetic",
    "augmented_synthetic": "augmented, half synthetic",
    "oracle": "as many real ones as of an old class",
}
COLOURS: dict[Arm, str] = {
    "real_only": MUTED,
    "oversampled": REAL,
    "augmented": INK,
    "synthetic": SYNTHETIC,
    "augmented_synthetic": SYNTHETIC,
    "oracle": CEILING,
}


def introduction(found: NewClasses) -> str:
    """What the tables are of."""
    return (
        f"Held out of everything above: {', '.join(found.classes)}. From few real images of each, a trained generator "
        f"learned to draw them too, and classifiers to tell them from the others; {found.n} replicates, each with its "
        "own generator. Recall is that of the new classes, on test images."
    )


def arm_rows(found: NewClasses) -> Rows:
    """A row an arm and number of images."""
    return [
        (
            NAMES[row.arm],
            str(row.num_shots),
            percent(row.new_recall_mean),
            f"{percent(row.new_recall_low)} to {percent(row.new_recall_high)}",
            percent(row.old_accuracy_mean),
            percent(row.harmonic_mean_mean),
        )
        for row in found.arms
    ]


def comparison_rows(found: NewClasses) -> Rows:
    """A row a paired difference."""
    return [
        (
            NAMES[row.arm],
            NAMES[row.against],
            str(row.num_shots),
            points(row.new_recall_mean),
            f"{points(row.new_recall_low)} to {points(row.new_recall_high)}",
            points(row.old_accuracy_mean),
            f"{points(row.old_accuracy_low)} to {points(row.old_accuracy_high)}",
            p_number(row.p_value_holm),
        )
        for row in found.comparisons
    ]


def panels(result: Result) -> list[Callable[[Axes], None]]:
    """What draws the figure of the section; empty where no class is held out."""
    return [partial(_draw, found=result.new_classes)] if result.new_classes else []


def new_classes_svg(found: NewClasses) -> str:
    """New-class recall of every arm against the number of real images, with intervals."""
    return render([partial(_draw, found=found)], "New-class recall against the real images of each new class")


def _draw(axes: Axes, found: NewClasses) -> None:
    numbers = sorted({row.num_shots for row in found.arms})
    arms = list(dict.fromkeys(row.arm for row in found.arms))
    for place, arm in enumerate(arms):
        rows = sorted((row for row in found.arms if row.arm == arm), key=lambda row: row.num_shots)
        at = [numbers.index(row.num_shots) + 0.08 * (place - (len(arms) - 1) / 2) for row in rows]
        means = [100 * row.new_recall_mean for row in rows]
        below = [100 * (row.new_recall_mean - row.new_recall_low) for row in rows]
        above = [100 * (row.new_recall_high - row.new_recall_mean) for row in rows]
        line = "o--" if arm == "augmented_synthetic" else "o-"
        axes.errorbar(at, means, yerr=[below, above], fmt=line, color=COLOURS[arm], ms=4.5, lw=1.3, label=NAMES[arm])
    axes.set_xticks(range(len(numbers)), [str(number) for number in numbers])
    title = f"New classes from few images ({found.n} replicates)"
    finish(axes, title, "real images of each new class", "new-class recall (%)")
