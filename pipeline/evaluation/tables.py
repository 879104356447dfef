"""Rows and sentences of the report, the same in the terminal, in Markdown and on the HTML page."""

from typing import Any

from pipeline.evaluation.statistics import p_text, points

Rows = list[tuple[str, ...]]

SETTINGS = (
    "synthetic %",
    "real images",
    "synthetic images",
    "test accuracy %",
    "95 % interval",
    "difference in points",
    "95 % interval",
    "p (Holm)",
)
CLASSES = ("class", "real only %", "with synthetic %", "difference in points", "95 % interval")
FIDELITY = ("measure", "value", "what it says")

MODES = {
    "add": "Mode add: every setting keeps all real images, synthetic ones come on top.",
    "replace": "Mode replace: synthetic images take the place of real ones; the training set keeps its size.",
}
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


def setting_rows(result: dict[str, Any]) -> Rows:
    """Cells under SETTINGS; the percent chosen on val bears a star."""
    return [_setting_row(setting, result["chosen_percent"]) for setting in result["settings"]]


def class_rows(result: dict[str, Any], class_names: list[str]) -> Rows:
    """Cells under CLASSES, in the data set's order of classes."""
    changes = [(name, result["per_class"][name]) for name in class_names]
    return [(n, _percent(c["baseline_mean"]), _percent(c["chosen_mean"]), *_change(c)) for n, c in changes]


def fidelity_rows(result: dict[str, Any]) -> Rows:
    """Cells under FIDELITY."""
    values = result["fidelity"]
    return [(name, shown.format(values[key]), meaning) for key, name, shown, meaning in MEASURES]


def setup_sentences(result: dict[str, Any]) -> list[str]:
    """What was compared, for a reader who knows none of our words."""
    baseline = result["settings"][0]
    curation = curation_text(result["curation"])
    return [
        f"Data set {result['dataset']}, profile {result['profile']}; every row is the mean of "
        f"{baseline['n']} classifiers, one a seed, with its 95 % t-interval. Synthetic % is the share of "
        f"each training batch that a GAN made; 0 is the real-only baseline, 100 sees no real image.{curation}",
        f"{MODES[result['mode']]} {BUDGETS[result['budget']]}",
        "Differences are paired by seed against 0 %, each interval for its row alone; p is the paired t-test's "
        "after Holm's correction over all rows. The share marked * is the best on val; the verdict rests on its "
        "test accuracy alone.",
        "Seeds vary the classifiers alone: another split, or another training of the GAN, would move all rows.",
    ]


def curation_text(curation: dict[str, Any]) -> str:
    """Which synthetic images were used, where not all; begins with a space."""
    kept, text = curation["keep_percent"], ""
    if curation["drop_near_copies"]:
        text += " Synthetic images that come too close to a training image are left out."
    if kept < 100:
        text += f" Of each class's synthetic images, the {kept} % {RANKS[curation['rank_by']]} are used."
    if not curation["recycle"]:
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


def commands(result: dict[str, Any]) -> list[str]:
    """Shell lines that make the result again, in the repository's root with its params.yaml."""
    cell = f"train_classifier@{result['chosen_percent']}-{result['settings'][0]['seeds'][0]}"
    other = "replace" if result["mode"] == "add" else "add"
    return [
        "dvc repro                                  # whatever is not up to date",
        f"dvc repro --force --single-item {cell}  # one cell again",
        f"dvc exp run -S ablation.mode={other}        # the other question",
    ]


def accuracy_text(setting: dict[str, Any]) -> tuple[str, str]:
    """A setting's mean test accuracy and its interval, in %."""
    low, high = (_percent(setting[f"test_accuracy_{end}"]) for end in ("low", "high"))
    return _percent(setting["test_accuracy_mean"]), f"{low} to {high}"


def _setting_row(setting: dict[str, Any], chosen: int) -> tuple[str, ...]:
    percent = setting["synthetic_percent"]
    p_value = p_text(setting["p_value_holm"]).removeprefix("p = ").removeprefix("p ")
    return (
        f"{percent} *" if percent == chosen else str(percent),
        f"{setting['num_real']:,}",
        f"{setting['num_synthetic']:,}",
        *accuracy_text(setting),
        *((*_change(setting), p_value) if percent else ("baseline", "", "")),
    )


def _change(row: dict[str, Any]) -> tuple[str, str]:
    """A difference in points, and its interval."""
    return points(row["difference_mean"]), f"{points(row['difference_low'])} to {points(row['difference_high'])}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}"
