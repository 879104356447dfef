"""Every sentence of a result, the same in the terminal, in Markdown and on the HTML page."""

from collections.abc import Iterator, Sequence

from pipeline.evaluation.learning_curve import Bound
from pipeline.evaluation.origin import set_sentences, words
from pipeline.evaluation.power import MOST_REPLICATES
from pipeline.evaluation.replicates import Made
from pipeline.evaluation.result import Optimism, Power, RealEquivalent, ReplicateSummary, Result, RivalOrNone
from pipeline.evaluation.statistics import Decision, Interval, SelectedComparison, Verdict, finds_something
from pipeline.params.schema import CurationParams, Params

SUBJECTS = {"add": "Adding synthetic images", "replace": "Replacing real images by synthetic ones"}
PREDICATES: dict[Verdict, str] = {
    "helps": "helps",
    "hurts": "hurts",
    "equivalent": "makes no difference that matters",
    "too_few_replicates": "may help or hurt: too few replicates to tell",
}
CANNOT_TELL = "This setting cannot tell"
BOUNDS: dict[Bound, str] = {"equals": "", "more_than": "more than ", "fewer_than": "fewer than "}
MODES = {
    "add": "Mode add: every setting keeps all real images, synthetic ones come on top.",
    "replace": "Mode replace: synthetic images take the place of real ones; the training set keeps its size.",
}
MIXINGS = {
    "batch": "the share of each training batch that {}",
    "pretrain_finetune": "the share of the training, at its beginning, that sees only images which {} "
    "(mixing pretrain_finetune: real images alone follow)",
}
BUDGETS = {
    "steps": "Budget steps: every classifier takes the same number of optimizer steps, only the data differ.",
    "real_epochs": "Budget real_epochs: every classifier passes over its real images equally often.",
}
RECYCLED = " Every pass over it takes other synthetic images, from all that are used."
RANKS = {
    "confidence": "recognised most confidently by a real-only classifier",
    "discriminator": "most real to the GAN's discriminator",
}

RIVALS: dict[RivalOrNone, str] = {
    "real_only": "real images only",
    "mixup": "mixup",
    "cutmix": "CutMix",
    "trivial_augment": "TrivialAugment",
    "cutout": "cutout",
    "longer": "longer training",
    "distilled": "soft labels on the real images",
    "oversampling": "oversampling of small classes",
    "class_weights": "class weights",
}
LOST_CLASS = 0.1  # class agreement below which a class counts as lost: chance, with ten classes

# ---- numbers --------------------------------------------------------------------------------------------------


def points(fraction: float) -> str:
    """A difference of accuracies in points, with its sign: 0.0123 is +1.23; what rounds to 0 has none."""
    text = f"{100 * fraction:+.2f}"
    return text[1:] if float(text) == 0 else text


def percent(fraction: float) -> str:
    """A fraction in %: 0.9123 is 91.23."""
    return f"{100 * fraction:.2f}"


def p_text(p_value: float) -> str:
    """A p-value as people write it: 'p = 0.012', 'p < 0.001'."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def accuracy_meaning(params: Params) -> str:
    """What accuracy means under `params`, in a few words for a reader who knows none of them."""
    text, epsilon = "test accuracy", params.classifier.attack_epsilon
    if epsilon:
        text = f"test accuracy under attack ({epsilon}/255)"
    unequal = params.dataset.imbalance_factor != 1 or bool(params.dataset.class_shares)
    return text + ", classes of train unequal" * unequal


# ---- the answer -----------------------------------------------------------------------------------------------


def answer(result: Result) -> list[str]:
    """Verdict, controls, rivals, power, real-image equivalent and what to take; warnings stand above it."""
    equivalent = result.real_equivalent.text if result.real_equivalent else ""
    rival = result.over_best_rival.text if result.over_best_rival else ""
    texts = (result.verdict_text, result.controls_text, rival, result.power_text, equivalent)
    return [text for text in (*texts, dataset_text(result)) if text]


def headline(verdict: Verdict, mode: str) -> str:
    """The verdict in a few words, such as 'Adding synthetic images helps'."""
    return CANNOT_TELL if verdict == "cannot_tell" else f"{SUBJECTS[mode]} {PREDICATES[verdict]}"


def verdict_text(decision: Decision, mode: str, each: str, *, removed: float | None, n: int) -> str:
    """The verdict in one sentence with its numbers; accuracies in points of 1 %, `removed` in % of the errors.

    `each` says what the n replicates have of their own.
    """
    chosen, percents = decision.chosen_percent, len(decision.comparisons)
    difference = decision.comparisons[chosen].difference
    because = f"{_why_not(decision)}. At" if decision.verdict == "cannot_tell" else "at"
    return (
        f"{headline(decision.verdict, mode)}: {because} {chosen} % synthetic, the share chosen on val, test accuracy "
        f"is {_against_baseline(difference.mean, removed)} ({_interval(difference)}, "
        f"{p_text(decision.p_value_holm[chosen])} after Holm's correction over {percents} "
        f"percent{'s' * (percents > 1)}, n = {n} replicates, {each})."
    )


def _why_not(decision: Decision) -> str:
    """What of the controls forbids a verdict."""
    if finds_something(decision.placebo_p_value):
        return "even copies of the training images, a placebo, change test accuracy"
    return "not even fresh real images in the synthetic ones' place are seen to gain anything, at whatever share"


def controls_text(decision: Decision) -> str:
    """What real images do in the synthetic ones' place, at the chosen percent; empty where no control was run."""
    chosen, texts = decision.chosen_percent, []
    if chosen in decision.ceiling:
        ceiling = decision.ceiling[chosen].difference
        texts.append(
            f"Fresh real images in their place, which no generator can be expected to beat, change it by "
            f"{points(ceiling.mean)} points ({_interval(ceiling)}){_best_ceiling(decision)}."
        )
    if chosen in decision.placebo:
        placebo = decision.placebo[chosen].difference
        texts.append(
            f"Copies of the training images, a placebo, change it by {points(placebo.mean)} points "
            f"({_interval(placebo)})."
        )
    return " ".join(texts)


def _best_ceiling(decision: Decision) -> str:
    """Where the ceiling is highest, if that is at another share than the chosen one."""
    best = max(decision.ceiling, key=lambda percent: decision.ceiling[percent].difference.mean)
    if best == decision.chosen_percent:
        return ""
    difference = decision.ceiling[best].difference
    return f", and most at {best} %: {points(difference.mean)} points ({_interval(difference)})"


def over_best_rival_text(rival: RivalOrNone, found: SelectedComparison) -> str:
    """What synthetic images add over the best of the alternatives on real images alone: one planned comparison."""
    best = f"{RIVALS[rival]} is best on val"
    if rival == "real_only":
        best = "nothing is better on val than plain training"
    return (
        f"Of what else the compute buys on the real images alone, {best}; synthetic images add "
        f"{points(found.difference.mean)} points over it ({_interval(found.difference)}). Where each replicate has the "
        f"share and the rival that the others choose, it is {points(found.cross_fitted)} points; "
        f"{p_text(found.p_value)} for both, one planned comparison."
    )


def warning_sentences(decision: Decision, replicates: Sequence[ReplicateSummary], made: Made) -> Iterator[str]:
    """What a reader must know before the verdict."""
    if degraded := [str(entry.replicate) for entry in replicates if entry.degraded]:
        yield (
            f"Warning: training of the GAN failed in replicate{'s' * (len(degraded) > 1)} {', '.join(degraded)} "
            "(its alarms outlasted the restarts): the synthetic images are those of its best state before."
        )
    for entry, record in zip(replicates, made.assessed, strict=True):
        if lost := [name for name, share in record.gan_test_accuracy_per_class.items() if share < LOST_CLASS]:
            yield (
                f"Warning: {words(made.sets).lost.format(entry.replicate)} {', '.join(lost)}: a real-only "
                f"classifier takes fewer than {100 * LOST_CLASS:.0f} % of the images for their class."
            )
    if finds_something(decision.placebo_p_value):
        yield (
            "Warning: the placebo, copies of the training images, changes test accuracy, which it must not: this is a "
            "fault of the program or of the machine; trust no figure of this report."
        )
    if not decision.ceiling:
        yield (
            "Warning: no ceiling was run (ablation.controls), so nobody knows whether this setting could show a gain."
        )


def dataset_text(result: Result) -> str:
    """Which synthetic set to take."""
    return (
        f"The synthetic set to take is data/synthetic/{result.dataset_replicate}: of the {len(result.replicates)} "
        f"replicates its classifier is best on val at {result.chosen_percent} % synthetic."
    )


def _against_baseline(difference: float, removed: float | None) -> str:
    """Such as '1.20 points above the real-only baseline, 12.3 % fewer errors'; what rounds to 0 has no side."""
    if points(difference) == "0.00":
        return "that of the real-only baseline"
    side = "above" if difference > 0 else "below"
    errors = "" if removed is None else f", {abs(removed):.1f} % {'fewer' if removed >= 0 else 'more'} errors"
    return f"{abs(100 * difference):.2f} points {side} the real-only baseline{errors}"


def _interval(interval: Interval) -> str:
    return f"95 % interval {points(interval.low)} to {points(interval.high)} points"


def power_text(verdict: Verdict, n: int, power: Power) -> str:
    """What the margin says of the verdict; empty where a detected effect exceeds it or may."""
    margin = f"{power.margin_points:g} points"
    if verdict in ("helps", "hurts"):
        return f"Detected, but surely less than {margin}, the margin that matters." if power.equivalent else ""
    needed = (
        f"These {n} replicates would detect {power.detectable_points:.2f} points in {100 * power.power:.0f} % of runs; "
        f"to detect {margin} takes {_many(power.replicates_for_margin)} replicates at this standard deviation (95 % "
        f"interval {_many(power.replicates_for_margin_low)} to {_many(power.replicates_for_margin_high)})."
    )
    if verdict == "cannot_tell":
        return needed
    if power.equivalent:
        return f"The interval lies within {margin} of 0: as good as equal. {needed}"
    return f"The interval reaches beyond {margin}, so a difference that matters is not ruled out. {needed}"


def _many(replicates: int) -> str:
    return f"{'more than ' * (replicates == MOST_REPLICATES)}{replicates:,}"


def real_equivalent_text(entry: RealEquivalent, *, detectable: bool) -> str:
    """How many real images the chosen percent equals, in a sentence or two."""
    noise = "" if detectable else " The difference from the baseline is within noise, and so is this figure."
    return (
        f"The {percent(entry.test_accuracy)} % reached at {entry.synthetic_percent} % synthetic {_equals(entry)}{noise}"
    )


def _equals(entry: RealEquivalent) -> str:
    size, seen, extra = entry.num_real_equivalent, f"{entry.num_real_seen:,}", entry.num_real_extra
    low, high = (
        f"{BOUNDS[b]}{n:,}" for n, b in ((entry.num_real_low, entry.low_bound), (entry.num_real_high, entry.high_bound))
    )
    interval = f"95 % interval {' to '.join(dict.fromkeys((low, high)))}"
    if entry.bound == "more_than":
        return (
            f"lies above everything that real images alone reached: it equals more than {size:,} real images, the most "
            f"tried and {extra:,} more than the {seen} that these classifiers saw ({interval}); a larger "
            "ablation.real_percent would show how many more."
        )
    if entry.bound == "fewer_than":
        return (
            f"lies below everything that real images alone reached: it equals fewer than {size:,} real images, the "
            f"fewest tried (these classifiers saw {seen}; {interval}); a smaller ablation.real_percent would show how "
            "few."
        )
    balance = f"{extra:,} extra real images" if extra >= 0 else f"{-extra:,} real images lost"
    return f"equals about {size:,} real images alone ({interval}; these classifiers saw {seen}): {balance}."


def optimism_text(optimism: Optimism, on_test: float, percents: int) -> str:
    """What the choice of the best percent flatters the result by; empty where there was none to choose."""
    if percents == 1:
        return ""
    return (
        f"The share was chosen on val, where it lies {points(optimism.val_difference_mean)} points from the baseline, "
        f"and judged on test: {points(on_test)}. The best of {percents} shares flatters itself: chosen anew for each "
        f"replicate without that one, it comes to {points(optimism.difference_cross_fitted)} on test: "
        f"{points(on_test - optimism.difference_cross_fitted)} points of optimism."
    )


# ---- how to read it -------------------------------------------------------------------------------------------


def setup_sentences(result: Result) -> Iterator[str]:
    """What was compared, for a reader who knows none of our words."""
    found = words(result.sets)
    yield (
        f"Data set {result.dataset}, profile {result.profile}; every row is the mean of {result.baseline.n} "
        f"classifiers, one a replicate, with its 95 % t-interval. Synthetic % is "
        f"{MIXINGS[result.mixing].format(found.maker)}; 0 is the real-only baseline, 100 sees no real image."
        f"{curation_text(result.curation, result.mode)}"
    )
    yield f"{mode_text(result.mode, result.curation)} {BUDGETS[result.budget]}"
    yield (
        "Differences are paired by replicate against 0 %, each interval for its row alone; p is the paired t-test's "
        "after Holm's correction over all rows. The share marked * is the best on val; the verdict rests on its "
        "test accuracy alone."
    )
    chosen = result.chosen_setting
    yield (
        f"Over other test images too, and not over other replicates alone, the difference at {result.chosen_percent} % "
        f"lies between {points(chosen.difference_images_low)} and {points(chosen.difference_images_high)} points (95 % "
        "bootstrap interval)."
    )
    yield found.replicates if result.replicate_split else found.fixed_split
    yield from set_sentences(result)
    if result.optimism_text:
        yield result.optimism_text


def mode_text(mode: str, curation: CurationParams) -> str:
    """What becomes of the real images, and how large the set is."""
    return MODES[mode] + (RECYCLED if mode == "replace" and curation.recycle else "")


def curation_text(curation: CurationParams, mode: str) -> str:
    """Which synthetic images were used, where not all; begins with a space."""
    text = ""
    if curation.drop_near_copies:
        text += " Synthetic images that come too close to a training image are left out."
    if curation.keep_percent < 100:
        ranked = RANKS[curation.rank_by]
        text += f" Of each class's synthetic images, the {curation.keep_percent} % {ranked} are used."
    if not curation.recycle and mode == "add":
        text += " No more synthetic images are used than there are real ones."
    return text


def trust_note(result: Result) -> str:
    """How to read the table of loss, calibration and corrupted images."""
    return (
        "Loss and calibration error are better when lower: the loss (negative log-likelihood) punishes confident "
        "mistakes, the calibration error is the mean gap between stated confidence and the share that is right; both "
        "at a temperature that is fitted on val, so that over- and underconfidence as such count apart. "
        f"Corrupted images are {result.num_corrupted:,} test images under each of {len(result.per_corruption)} "
        "fixed corruptions of our own making: compare within this report, never with published figures. Each interval "
        "stands for itself."
    )


ALIKE_NOTE = (
    "Classes are unequal. In accuracy a large class counts more than a small one; in balanced accuracy, the mean of "
    "the classes' accuracies, and macro F1, the mean of their F1, all count the same. The share is chosen, and the "
    "verdict given, by accuracy. Each interval stands for itself."
)


def class_note(result: Result) -> str:
    """How to read the classes' table."""
    return (
        f"Test accuracy of each class at {result.chosen_percent} % synthetic against real only. "
        "Each interval stands for itself: among many classes, one may leave 0 behind by chance."
    )


def fidelity_note(result: Result) -> str:
    """Where the measures come from."""
    return (
        f"Measured on {result.fidelity.num_images:,} images of each kind, in the {result.fidelity.feature_space}. "
        f"{words(result.sets).unlearned} Distances compare only within one feature space."
    )
