"""Rows of the report's tables, the same in the terminal, in Markdown and on the HTML page."""

from collections.abc import Mapping

from pipeline.evaluation import wording
from pipeline.evaluation.learning_curve import Bound
from pipeline.evaluation.result import (
    Change,
    ControlSetting,
    CurvePoint,
    RealEquivalent,
    Result,
    RivalSetting,
    Setting,
    SettingSummary,
)
from pipeline.evaluation.statistics import Interval
from pipeline.evaluation.wording import p_text, percent, points

Rows = list[tuple[str, ...]]

INTERVAL, REMOVED = "95 % interval", "errors removed %"  # columns that the page folds
SETTINGS = (
    "synthetic %",
    "real images",
    "synthetic images",
    "val accuracy %",
    "test accuracy %",
    INTERVAL,
    "difference in points",
    INTERVAL,
    REMOVED,
    "p (Holm)",
)
TERMINAL = (0, 4, 5, 6, 7, 9)  # columns of SETTINGS that fit into 96 characters
TRUST = (
    "synthetic %",
    "loss (NLL, nats)",
    "change",
    INTERVAL,
    "calibration error (ECE, points)",
    "change",
    INTERVAL,
    "accuracy on corrupted images %",
    "change",
    INTERVAL,
)
ALIKE = (
    "synthetic %",
    "balanced accuracy %",
    "change",
    INTERVAL,
    "macro F1 %",
    "change",
    INTERVAL,
)
CONTROLS = (
    "in their place",
    "share %",
    "real images",
    "stand-ins",
    "test accuracy %",
    "difference in points",
    INTERVAL,
    "p",
)
RIVALS = (
    "real images alone with",
    "steps",
    "val accuracy %",
    "test accuracy %",
    "difference in points",
    INTERVAL,
    "p (Holm)",
)
REPLICATES = (
    "replicate",
    "small CAS %",
    "class agreement %",
    "coverage %",
    "memorised %",
    "val accuracy %",
    "test difference in points",
)
CLASSES = ("class", "real only %", "with synthetic %", "difference in points", INTERVAL)
CORRUPTIONS = ("corruption", *CLASSES[1:])
FIDELITY = ("measure", "value", "what it says")
CONTROL_NAMES = {"ceiling": "fresh real images", "placebo": "copies of train", "real_only": "nothing"}
SIGNS: dict[Bound, str] = {"equals": "", "more_than": "> ", "fewer_than": "< "}

# key of `AssessRecord`, its name, how it is shown, and what it says in one plain sentence
MEASURES = (
    (
        "frechet_distance",
        "Fréchet distance",
        "{:.3g}",
        "How far the synthetic images, taken together, lie from real ones; 0 is no distance.",
    ),
    (
        "frechet_distance_floor",
        "Fréchet distance, real",
        "{:.3g}",
        "The same distance between real images and real images: about as near as one can get.",
    ),
    ("precision", "Precision", "{:.3f}", "Share of synthetic images that lie among real ones: believable?"),
    ("recall", "Recall", "{:.3f}", "Share of real images that lie among synthetic ones: all the variety?"),
    (
        "density",
        "Density",
        "{:.3f}",
        "How thickly real images surround a synthetic one; about 1 if it were real.",
    ),
    ("coverage", "Coverage", "{:.3f}", "Share of real images with a synthetic one in their neighbourhood."),
    (
        "gan_test_accuracy",
        "Class agreement",
        "{:.3f}",
        "Share of synthetic images in which a real-only classifier sees the class that was asked for.",
    ),
    (
        "kept_gan_test_accuracy",
        "Class agreement, kept",
        "{:.3f}",
        "The same of the images that curation keeps; all measures above class agreement are of these.",
    ),
    (
        "memorised_percent",
        "Memorised, %",
        "{:.2f}",
        "Share of synthetic images so close to one training image that they may be copies of it.",
    ),
    (
        "memorised_percent_expected",
        "Memorised, % expected",
        "{:.2f}",
        "The same share for real images that are no copies: only a clear excess over it is suspicious.",
    ),
    *(
        ("copies_flagged_percent", f"Copies found, {name}, %", f"{{0[{kind}]:.0f}}", meaning)
        for kind, name, meaning in (
            ("mirrored", "mirrored", "Of training images mirrored on purpose, how many the same threshold finds."),
            ("shifted", "shifted", "The same of training images shifted by a sixteenth of the side."),
            ("blurred", "blurred", "The same of blurred ones."),
            ("shifted_far", "shifted far", "The same of those shifted by an eighth: those not found, it misses."),
        )
    ),
)


def folded(header: tuple[str, ...], row: tuple[str, ...]) -> Rows:
    """The row for a page that may be narrow: (cell, what stands below it), an interval below its value."""
    cells: Rows = []
    for column, cell in zip(header, row, strict=True):
        if column == INTERVAL:
            cells[-1] = (cells[-1][0], cell)
        elif column == REMOVED:
            value, _, interval = cell.partition(" (")
            cells.append((value, interval.removesuffix(")")))
        else:
            cells.append((cell, ""))
    return cells


def setting_rows(result: Result) -> Rows:
    """Cells under SETTINGS; the percent chosen on val bears a star."""
    return [_setting_row(setting, result.chosen_percent) for setting in result.settings]


def _setting_row(setting: Setting, chosen: int) -> tuple[str, ...]:
    change = ("baseline", "", "", "")
    if setting.synthetic_percent:
        change = (*difference_text(setting), removed_text(setting), p_number(setting.p_value_holm))
    return (
        label(setting.synthetic_percent, chosen),
        f"{setting.num_real:,}",
        f"{setting.num_synthetic:,}",
        percent(setting.val_accuracy_mean),
        *accuracy_text(setting),
        *change,
    )


def control_rows(result: Result) -> Rows:
    """Cells under CONTROLS."""
    return [
        (
            CONTROL_NAMES[entry.control],
            str(entry.synthetic_percent),
            f"{entry.num_real:,}",
            f"{entry.num_stand_ins:,}",
            percent(entry.test_accuracy_mean),
            *difference_text(entry),
            p_number(entry.p_value),
        )
        for entry in result.controls
    ]


def rival_rows(result: Result) -> Rows:
    """Cells under RIVALS; the rival that is best on val bears a star."""
    best = result.over_best_rival.rival if result.over_best_rival else None
    return [
        (
            wording.RIVALS[entry.rival] + " *" * (entry.rival == best),
            f"{entry.steps:,}",
            percent(entry.val_accuracy_mean),
            percent(entry.test_accuracy_mean),
            *difference_text(entry),
            p_number(entry.p_value_holm),
        )
        for entry in result.rivals
    ]


def replicate_rows(result: Result) -> Rows:
    """Cells under REPLICATES; the replicate whose synthetic set is the one to take bears a star."""
    return [
        (
            f"{entry.replicate}{' (degraded)' * entry.degraded}{' *' * (entry.replicate == result.dataset_replicate)}",
            percent(entry.small_cas) if entry.small_cas is not None else "–",
            percent(entry.gan_test_accuracy),
            percent(entry.coverage),
            f"{entry.memorised_percent:.2f}",
            percent(entry.val_accuracy),
            points(entry.test_difference),
        )
        for entry in result.replicates
    ]


def trust_rows(result: Result) -> Rows:
    """Cells under TRUST; the percent chosen on val bears a star."""
    return [_trust_row(setting, result.chosen_percent) for setting in result.settings]


def _trust_row(setting: Setting, chosen: int) -> tuple[str, ...]:
    loss, calibration, corrupted = (
        Interval(*(getattr(setting, f"{key}_difference_{end}") for end in ("mean", "low", "high")))
        for key in ("test_loss", "test_calibration_error", "corrupted_accuracy")
    )
    columns = (
        (f"{setting.test_loss_mean:.3f}", f"{loss.mean:+.3f}", f"{loss.low:+.3f} to {loss.high:+.3f}"),
        (percent(setting.test_calibration_error_mean), *_points(calibration)),
        (percent(setting.corrupted_accuracy_mean), *_points(corrupted)),
    )
    mixed = setting.synthetic_percent > 0
    cells = [cell for value, *change in columns for cell in (value, *(change if mixed else ("", "")))]
    return (label(setting.synthetic_percent, chosen), *cells)


def alike_rows(result: Result) -> Rows:
    """Cells under ALIKE; none where classes are equal; the percent chosen on val bears a star."""
    rows = []
    for row in result.class_metrics:
        cells = [label(row.synthetic_percent, result.chosen_percent)]
        for name in ("balanced_accuracy", "macro_f1"):
            change = Interval(*(getattr(row, f"{name}_difference_{end}") for end in ("mean", "low", "high")))
            cells += [percent(getattr(row, f"{name}_mean")), *(_points(change) if row.synthetic_percent else ("", ""))]
        rows.append(tuple(cells))
    return rows


def class_rows(result: Result, class_names: tuple[str, ...]) -> Rows:
    """Cells under CLASSES, in the data set's order of classes."""
    return _change_rows({name: result.per_class[name] for name in class_names})


def corruption_rows(result: Result) -> Rows:
    """Cells under CORRUPTIONS."""
    return _change_rows(result.per_corruption)


def _change_rows(changes: Mapping[str, Change]) -> Rows:
    return [
        (name, percent(change.baseline_mean), percent(change.chosen_mean), *difference_text(change))
        for name, change in changes.items()
    ]


def fidelity_rows(result: Result) -> Rows:
    """Cells under FIDELITY."""
    return [(name, shown.format(getattr(result.fidelity, key)), meaning) for key, name, shown, meaning in MEASURES]


def equivalent_figure(entry: RealEquivalent) -> str:
    """The extra real images that the chosen percent equals: '+640', '> 320', '-1,200'."""
    sign = SIGNS[entry.bound]
    return f"{sign}{entry.num_real_extra:,}" if sign else f"{entry.num_real_extra:+,}"


def equivalent_interval(entry: RealEquivalent) -> str:
    """The 95 % interval of `equivalent_figure`: '-120 to +900', '-120 to > +900'."""
    low = f"{SIGNS[entry.low_bound]}{entry.num_real_extra_low:+,}"
    return f"{low} to {SIGNS[entry.high_bound]}{entry.num_real_extra_high:+,}"


def commands(result: Result) -> list[str]:
    """Shell lines that make the result again, in the repository's root with its params.yaml."""
    cell = f"train_classifier@{result.chosen_percent}-{result.dataset_replicate}"
    other = "replace" if result.mode == "add" else "add"
    return [
        "git checkout $(git log -1 --format=%H -- dvc.lock)  # the commit that holds this result",
        "make setup && source .venv/bin/activate",
        "synthmix run                               # whatever is not up to date; in a fresh clone all of it",
        f"dvc repro --force --single-item {cell}  # one cell again",
        f"dvc exp run -S ablation.mode={other}        # the other question",
        "dvc metrics diff HEAD~1 --targets results/ablation.json  # against the commit before",
    ]


def label(value: int, chosen: int) -> str:
    """The percent, with a star if it is the chosen one."""
    return f"{value} *" if value == chosen else str(value)


def accuracy_text(row: SettingSummary | CurvePoint) -> tuple[str, str]:
    """Mean test accuracy and its interval, in %."""
    return percent(row.test_accuracy_mean), f"{percent(row.test_accuracy_low)} to {percent(row.test_accuracy_high)}"


def difference_text(row: SettingSummary | ControlSetting | RivalSetting | Change) -> tuple[str, str]:
    """The difference to the baseline and its interval, in points."""
    return _points(Interval(row.difference_mean, row.difference_low, row.difference_high))


def _points(interval: Interval) -> tuple[str, str]:
    return points(interval.mean), f"{points(interval.low)} to {points(interval.high)}"


def removed_text(setting: SettingSummary) -> str:
    """Errors removed in %, with their interval where there is one; a dash where the baseline makes no error."""
    removed, low, high = (getattr(setting, f"errors_removed_percent{end}") for end in ("", "_low", "_high"))
    if removed is None:
        return "–"
    return f"{removed:+.1f}" if low is None else f"{removed:+.1f} ({low:+.1f} to {high:+.1f})"


def p_number(p_value: float) -> str:
    """A p-value as a table's cell: '0.012', '< 0.001'."""
    return p_text(p_value).removeprefix("p = ").removeprefix("p ")
