"""Rows and sentences of the report, the same in the terminal, in Markdown and on the HTML page."""

from typing import Any

from pipeline.evaluation.statistics import p_text, points

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
    "accuracy on damaged images %",
    "change",
    INTERVAL,
)
CLASSES = ("class", "real only %", "with synthetic %", "difference in points", INTERVAL)
CORRUPTIONS = ("damage", *CLASSES[1:])
FIDELITY = ("measure", "value", "what it says")

MODES = {
    "add": "Mode add: every setting keeps all real images, synthetic ones come on top.",
    "replace": "Mode replace: synthetic images take the place of real ones; the training set keeps its size.",
}
MIXINGS = {
    "batch": "the share of each training batch that a GAN made",
    "pretrain_finetune": "the share of the training, at its beginning, that sees only images which a GAN made "
    "(mixing pretrain_finetune: real images alone follow)",
}
RECYCLED = " Every pass over it takes other synthetic images, from all that are used."
BUDGETS = {
    "steps": "Budget steps: every classifier takes the same number of optimizer steps, only the data differ.",
    "real_epochs": "Budget real_epochs: every classifier passes over its real images equally often.",
}
RANKS = {
    "confidence": "recognised most confidently by a real-only classifier",
    "discriminator": "most real to the GAN's discriminator",
}
WORTH_SIGNS = {"equals": "", "more_than": "> ", "fewer_than": "< "}

# key of assess.json, its name, how it is shown, and what it says in one plain sentence
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


def setting_rows(result: dict[str, Any]) -> Rows:
    """Cells under SETTINGS; the percent chosen on val bears a star."""
    return [_setting_row(setting, result["chosen_percent"]) for setting in result["settings"]]


def answer(result: dict[str, Any]) -> list[str]:
    """Verdict, what its margin says, and worth: a sentence or two each."""
    return [text for text in (result["verdict_text"], result["power_text"], result["worth"]["text"]) if text]


def trust_rows(result: dict[str, Any]) -> Rows:
    """Cells under TRUST; the percent chosen on val bears a star."""
    return [_trust_row(setting, result["chosen_percent"]) for setting in result["settings"]]


def trust_note(result: dict[str, Any]) -> str:
    """How to read the table of loss, calibration and damaged images."""
    return (
        "Loss and calibration error are better when lower: the loss (negative log-likelihood) punishes confident "
        "mistakes, the calibration error is the mean gap between stated confidence and the share that is right. "
        f"Damaged images are {result['num_corrupted']:,} test images under each of {len(result['per_corruption'])} "
        "fixed corruptions of our own making: compare within this report, never with published figures. Each interval "
        "stands for itself."
    )


def corruption_rows(result: dict[str, Any]) -> Rows:
    """Cells under CORRUPTIONS."""
    return [_change_row(name, change) for name, change in result["per_corruption"].items()]


def class_rows(result: dict[str, Any], class_names: list[str]) -> Rows:
    """Cells under CLASSES, in the data set's order of classes."""
    return [_change_row(name, result["per_class"][name]) for name in class_names]


def fidelity_rows(result: dict[str, Any]) -> Rows:
    """Cells under FIDELITY."""
    values = result["fidelity"]
    return [(name, shown.format(values[key]), meaning) for key, name, shown, meaning in MEASURES]


def setup_sentences(result: dict[str, Any]) -> list[str]:
    """What was compared, for a reader who knows none of our words."""
    baseline = result["settings"][0]
    curation = curation_text(result["curation"], result["mode"])
    return [
        f"Data set {result['dataset']}, profile {result['profile']}; every row is the mean of "
        f"{baseline['n']} classifiers, one a seed, with its 95 % t-interval. Synthetic % is "
        f"{MIXINGS[result['mixing']]}; 0 is the real-only baseline, 100 sees no real image.{curation}",
        f"{mode_text(result['mode'], result['curation'])} {BUDGETS[result['budget']]}",
        "Differences are paired by seed against 0 %, each interval for its row alone; p is the paired t-test's "
        "after Holm's correction over all rows. The share marked * is the best on val; the verdict rests on its "
        "test accuracy alone.",
        "Seeds vary the classifiers alone: another split, or another training of the GAN, would move all rows.",
        *filter(None, [result["optimism_text"]]),
    ]


def mode_text(mode: str, curation: dict[str, Any]) -> str:
    """What becomes of the real images, and how large the set is."""
    recycled = RECYCLED if mode == "replace" and curation["recycle"] else ""
    return MODES[mode] + recycled


def curation_text(curation: dict[str, Any], mode: str) -> str:
    """Which synthetic images were used, where not all; begins with a space."""
    kept, text = curation["keep_percent"], ""
    if curation["drop_near_copies"]:
        text += " Synthetic images that come too close to a training image are left out."
    if kept < 100:
        text += f" Of each class's synthetic images, the {kept} % {RANKS[curation['rank_by']]} are used."
    if not curation["recycle"] and mode == "add":
        text += " No more synthetic images are used than there are real ones."
    return text


def class_note(result: dict[str, Any]) -> str:
    """How to read the classes' table."""
    return (
        f"Test accuracy of each class at {result['chosen_percent']} % synthetic against real only. "
        "Each interval stands for itself: among many classes, one may leave 0 behind by chance."
    )


def fidelity_note(result: dict[str, Any]) -> str:
    """Where the measures come from."""
    values = result["fidelity"]
    return (
        f"Measured on {values['num_images']:,} images of each kind, in the {values['feature_space']}. "
        "Real means val images, which the GAN never saw. Distances compare only within one feature space."
    )


def worth_figure(result: dict[str, Any]) -> str:
    """`worth` as a figure: '+640', '> 320', '-1,200'."""
    worth = result["worth"]
    sign = WORTH_SIGNS[worth["bound"]]
    return f"{sign}{worth['num_real_extra']:,}" if sign else f"{worth['num_real_extra']:+,}"


def worth_interval(result: dict[str, Any]) -> str:
    """The 95 % interval of `worth_figure`: '-120 to +900', '-120 to > +900'."""
    worth = result["worth"]
    ends = [f"{WORTH_SIGNS[worth[f'{end}_bound']]}{worth[f'num_real_extra_{end}']:+,}" for end in ("low", "high")]
    return " to ".join(ends)


def commands(result: dict[str, Any]) -> list[str]:
    """Shell lines that make the result again, in the repository's root with its params.yaml."""
    cell = f"train_classifier@{result['chosen_percent']}-{result['settings'][0]['seeds'][0]}"
    other = "replace" if result["mode"] == "add" else "add"
    return [
        "git checkout $(git log -1 --format=%H -- dvc.lock)  # the commit that holds this result",
        "make setup && source .venv/bin/activate",
        "dvc repro                                  # whatever is not up to date; in a fresh clone all of it",
        f"dvc repro --force --single-item {cell}  # one cell again",
        f"dvc exp run -S ablation.mode={other}        # the other question",
        "dvc metrics diff HEAD~1 --targets results/ablation.json  # against the commit before",
    ]


def accuracy_text(setting: dict[str, Any]) -> tuple[str, str]:
    """A setting's mean test accuracy and its interval, in %."""
    low, high = (_percent(setting[f"test_accuracy_{end}"]) for end in ("low", "high"))
    return _percent(setting["test_accuracy_mean"]), f"{low} to {high}"


def _setting_row(setting: dict[str, Any], chosen: int) -> tuple[str, ...]:
    percent = setting["synthetic_percent"]
    p_value = p_text(setting["p_value_holm"]).removeprefix("p = ").removeprefix("p ")
    return (
        _label(percent, chosen),
        f"{setting['num_real']:,}",
        f"{setting['num_synthetic']:,}",
        _percent(setting["val_accuracy_mean"]),
        *accuracy_text(setting),
        *((*_change(setting), removed_text(setting), p_value) if percent else ("baseline", "", "", "")),
    )


def removed_text(setting: dict[str, Any]) -> str:
    """Errors removed in %, with their interval where there is one; a dash where the baseline errs nowhere."""
    removed, low, high = (setting[f"errors_removed_percent{end}"] for end in ("", "_low", "_high"))
    if removed is None:
        return "–"
    return f"{removed:+.1f}" if low is None else f"{removed:+.1f} ({low:+.1f} to {high:+.1f})"


def _trust_row(setting: dict[str, Any], chosen: int) -> tuple[str, ...]:
    percent = setting["synthetic_percent"]
    loss, low, high = (f"{setting[f'test_loss_difference_{end}']:+.3f}" for end in ("mean", "low", "high"))
    columns = [(f"{setting['test_loss_mean']:.3f}", loss, f"{low} to {high}")] + [
        (_percent(setting[f"{name}_mean"]), *_change(setting, f"{name}_"))
        for name in ("test_calibration_error", "corrupted_accuracy")
    ]
    cells = [cell for value, *change in columns for cell in (value, *(change if percent else ("", "")))]
    return (_label(percent, chosen), *cells)


def _label(percent: int, chosen: int) -> str:
    return f"{percent} *" if percent == chosen else str(percent)


def _change_row(name: str, change: dict[str, Any]) -> tuple[str, ...]:
    return name, _percent(change["baseline_mean"]), _percent(change["chosen_mean"]), *_change(change)


def _change(row: dict[str, Any], prefix: str = "") -> tuple[str, str]:
    """A difference in points, and its interval."""
    mean, low, high = (points(row[f"{prefix}difference_{end}"]) for end in ("mean", "low", "high"))
    return mean, f"{low} to {high}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}"
