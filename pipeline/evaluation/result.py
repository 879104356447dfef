"""results/ablation.json as typed records: the answer, and every number that it rests on."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pipeline.assessment.record import AssessRecord
from pipeline.evaluation.learning_curve import Bound
from pipeline.evaluation.statistics import Verdict
from pipeline.files import Record, read_record
from pipeline.params.schema import Arm, Control, CurationParams, Rival, Source
from pipeline.shards.imported import ImportedSet

Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
Percent = Annotated[int, Field(ge=0, le=100)]
RivalOrNone = Rival | Literal["real_only"]


class Headline(Record):
    """The few numbers of one synthetic_percent."""

    test_accuracy_mean: Fraction
    """Mean test accuracy over the replicates, a fraction."""
    difference_mean: float
    """Mean difference to the baseline, paired by replicate: a fraction, -1 to 1."""
    p_value_holm: Fraction
    """Two-sided p-value after Holm's correction over all synthetic percents; 1 for the baseline itself."""


class SettingSummary(Record):
    """One synthetic_percent without its single replicates; intervals are 95 % t-intervals over the replicates."""

    synthetic_percent: Percent
    """Percent of the training images that are synthetic; 0 is the real-only baseline, 100 sees no real image."""
    p_value: Fraction
    """Two-sided p-value of the paired t-test against the baseline, not corrected."""
    num_real: Count
    """Different real images in the training set."""
    num_synthetic: Count
    """Different synthetic images in the training set."""
    steps: Count
    """Optimizer steps of one classifier."""
    val_accuracy_mean: Fraction
    """Mean accuracy on val, a fraction; the percent is chosen by it."""
    val_difference_mean: float
    """Mean difference to the baseline on val: a fraction, -1 to 1."""
    difference_mean: float
    """Mean difference to the baseline on test, paired by replicate: a fraction, -1 to 1."""
    difference_low: float
    """Lower end of its interval: a fraction, which may leave -1 to 1."""
    difference_high: float
    """Upper end of its interval."""
    n: Annotated[int, Field(ge=2)]
    """Classifiers, one a replicate."""
    test_accuracy_mean: Fraction
    """Mean accuracy on test, a fraction."""
    test_accuracy_low: Fraction
    """Lower end of its interval, cut at 0."""
    test_accuracy_high: Fraction
    """Upper end of its interval, cut at 1."""
    errors_removed_percent: float | None
    """Percent of the baseline's test errors that are gone, below 0 where there are more; null if it makes none."""
    errors_removed_percent_low: float | None
    """Lower end of its 95 % interval (Fieller 1954); null where the errors are too few for one."""
    errors_removed_percent_high: float | None
    """Upper end of its interval."""
    test_loss_mean: float
    """Mean negative log-likelihood on test in nats, 0 and up, at a temperature fitted on val."""
    test_loss_difference_mean: float
    """Mean difference to the baseline, paired by replicate, in nats; below 0 is better."""
    test_loss_difference_low: float
    """Lower end of its interval."""
    test_loss_difference_high: float
    """Upper end of its interval."""
    test_calibration_error_mean: Fraction
    """Mean expected calibration error on test at that temperature, a fraction."""
    test_calibration_error_difference_mean: float
    """Mean difference to the baseline, paired by replicate: a fraction, -1 to 1; below 0 is better."""
    test_calibration_error_difference_low: float
    """Lower end of its interval."""
    test_calibration_error_difference_high: float
    """Upper end of its interval."""
    test_confidence_gap_mean: Annotated[float, Field(ge=-1, le=1)]
    """Mean confidence less accuracy on test before any temperature: above 0 the classifiers are too confident."""
    test_confidence_gap_difference_mean: float
    """Mean difference to the baseline, paired by replicate: a fraction, -1 to 1."""
    test_confidence_gap_difference_low: float
    """Lower end of its interval."""
    test_confidence_gap_difference_high: float
    """Upper end of its interval."""
    corrupted_accuracy_mean: Fraction
    """Mean accuracy on corrupted test images, over all corruptions, a fraction."""
    corrupted_accuracy_difference_mean: float
    """Mean difference to the baseline, paired by replicate: a fraction, -1 to 1."""
    corrupted_accuracy_difference_low: float
    """Lower end of its interval."""
    corrupted_accuracy_difference_high: float
    """Upper end of its interval."""
    p_value_holm: Fraction
    """`p_value` after Holm's correction over all synthetic percents; 1 for the baseline itself."""


class Setting(SettingSummary):
    """One synthetic_percent with its single replicates."""

    test_accuracy: tuple[Fraction, ...]
    """Test accuracy of each replicate, a fraction, in the order of `replicates`."""
    replicates: tuple[Count, ...]
    """The replicates."""
    difference_images_low: float
    """Lower end of the 95 % interval of difference_mean over other test images too: a bootstrap of both."""
    difference_images_high: float
    """Upper end of that interval."""


class ClassMetrics(Record):
    """What every class counts the same in, on test at one synthetic_percent; intervals as in `SettingSummary`."""

    synthetic_percent: Percent
    """Percent of the training images that are synthetic; 0 is the real-only baseline."""
    balanced_accuracy_mean: Fraction
    """Mean over the replicates of the mean accuracy of the classes, a fraction."""
    balanced_accuracy_difference_mean: float
    """Mean difference to the baseline, paired by replicate: a fraction, -1 to 1."""
    balanced_accuracy_difference_low: float
    """Lower end of its interval."""
    balanced_accuracy_difference_high: float
    """Upper end of its interval."""
    macro_f1_mean: Fraction
    """Mean over the replicates of the mean F1 of the classes, a fraction."""
    macro_f1_difference_mean: float
    """Mean difference to the baseline, paired by replicate: a fraction, -1 to 1."""
    macro_f1_difference_low: float
    """Lower end of its interval."""
    macro_f1_difference_high: float
    """Upper end of its interval."""


class CurvePoint(Record):
    """Real-only classifiers of one size of the training set."""

    num_real: Count
    """Real images in the training set."""
    n: Annotated[int, Field(ge=2)]
    """Classifiers, one a replicate."""
    test_accuracy: tuple[Fraction, ...]
    """Test accuracy of each replicate, a fraction."""
    test_accuracy_mean: Fraction
    """Mean accuracy on test, a fraction."""
    test_accuracy_low: Fraction
    """Lower end of its 95 % t-interval over the replicates, cut at 0."""
    test_accuracy_high: Fraction
    """Upper end of its interval, cut at 1."""


class RealPercentPoint(CurvePoint):
    """A point of the learning curve."""

    real_percent: Annotated[int, Field(gt=0)]
    """Size of the training set in percent of train_size."""


class PowerLaw(Record):
    """The learning curve as a law: error = scale * num_real ** -exponent + floor, the error a fraction."""

    scale: Annotated[float, Field(ge=0)]
    """Error above the floor that one image would leave, a fraction that may exceed 1."""
    exponent: Annotated[float, Field(gt=0)]
    """How fast the error falls: 0.02 to 3."""
    floor: Annotated[float, Field(ge=0)]
    """Error that no number of images removes, a fraction."""


class RealEquivalent(Record):
    """How many real images alone would reach the test accuracy of the chosen percent.

    It is read off the learning curve. Where a bound is not `equals`, its figures are the end of the measured curve
    and hold only as that bound.
    """

    synthetic_percent: Percent
    """The chosen synthetic_percent."""
    test_accuracy: Fraction
    """Its mean test accuracy, a fraction."""
    num_real_seen: Count
    """Real images that its classifiers were trained on."""
    num_real_equivalent: Count
    """Real images that reach the accuracy without synthetic ones."""
    num_real_extra: int
    """num_real_equivalent - num_real_seen, in images: below 0 where synthetic images cost accuracy."""
    bound: Bound
    """How the figure holds: as it stands, or as `more_than` or `fewer_than`."""
    extrapolated: bool
    """Whether the accuracy lies outside the measured curve, so that `bound` is not `equals`."""
    num_real_low: Count
    """Lower end of its 95 % interval, in images: of the sizes that a paired t-test cannot tell from the accuracy."""
    num_real_high: Count
    """Upper end of that interval."""
    num_real_extra_low: int
    """num_real_low - num_real_seen."""
    num_real_extra_high: int
    """num_real_high - num_real_seen."""
    low_bound: Bound
    """How the lower end holds."""
    high_bound: Bound
    """How the upper end holds."""
    num_real_law: Count | None
    """What the power law says beyond the measured curve, in images; null within it, or ten times beyond it."""
    method: Literal["power_law", "isotonic"]
    """How the points of the curve are joined: by a power law, or by lines through their isotonic regression."""
    method_reason: str
    """Why no power law was used; empty if one was."""
    law: PowerLaw | None
    """The power law; null where none was used."""
    text: str
    """All this in a sentence or two."""


class Change(Record):
    """Test accuracy of one class, or under one corruption, at the chosen percent beside the baseline."""

    baseline_mean: Fraction
    """Mean accuracy of the baseline, a fraction."""
    chosen_mean: Fraction
    """Mean accuracy at the chosen percent, a fraction."""
    difference_mean: float
    """Mean difference, paired by replicate: a fraction, -1 to 1."""
    difference_low: float
    """Lower end of its 95 % t-interval, not corrected for their number."""
    difference_high: float
    """Upper end of its interval."""


class Champion(Record):
    """The single classifier with the best val accuracy, baseline included."""

    stage: Literal["train_baseline", "train_classifier"]
    """Stage that trained it."""
    percent: Percent
    """Its real_percent (100, train_baseline) or synthetic_percent (train_classifier)."""
    replicate: Count
    """Its replicate."""
    val_accuracy: Fraction
    """Its accuracy on val, a fraction."""
    test_accuracy: Fraction
    """Its accuracy on test, a fraction; it had no say in the choice."""


class Answer(Record):
    """The few numbers that MLflow lists of an execution."""

    chosen_percent: Percent
    """The synthetic_percent that is best on val."""
    chosen_difference_mean: float
    """Its mean difference to the baseline on test: a fraction, -1 to 1."""
    chosen_p_value_holm: Fraction
    """Its corrected p-value."""
    num_real_extra: int | None
    """That of `real_equivalent`, in images; null where that is withheld."""


class RivalSetting(Record):
    """Classifiers trained on real images alone with what else the compute buys."""

    rival: Rival
    """What is changed in their training."""
    steps: Count
    """Optimizer steps of one classifier."""
    val_accuracy_mean: Fraction
    """Mean accuracy on val, a fraction; the best rival is chosen by it."""
    test_accuracy_mean: Fraction
    """Mean accuracy on test, a fraction."""
    difference_mean: float
    """Mean difference to the baseline on test, paired by replicate: a fraction, -1 to 1."""
    difference_low: float
    """Lower end of its 95 % t-interval."""
    difference_high: float
    """Upper end of its interval."""
    p_value_holm: Fraction
    """Two-sided p-value of the paired t-test after Holm's correction over the rivals."""


class OverBestRival(Record):
    """The chosen percent against the rival that is best on val."""

    rival: RivalOrNone
    """That rival; `real_only` where plain training on the real images is better on val than any."""
    difference_mean: float
    """Mean test accuracy of the chosen percent less the rival's, paired by replicate: a fraction, -1 to 1."""
    difference_low: float
    """Lower end of its 95 % t-interval."""
    difference_high: float
    """Upper end of its interval."""
    difference_cross_fitted: float
    """The same mean where each replicate's percent and rival are chosen by the others: a fraction, -1 to 1."""
    p_value: Fraction
    """Two-sided: the larger p of the paired t-tests of these two; 1 where they have different signs."""
    text: str
    """All this in a sentence."""


class ControlSetting(Record):
    """Classifiers that saw real images in the synthetic images' place, at one percent."""

    control: Control
    """What took their place: `ceiling` fresh real images, `placebo` copies of train."""
    synthetic_percent: Percent
    """Percent of the training images, counted over all steps, that it made up."""
    num_real: Count
    """Different images in the real part."""
    num_stand_ins: Count
    """Different images in the synthetic images' place."""
    test_accuracy_mean: Fraction
    """Mean accuracy on test, a fraction."""
    difference_mean: float
    """Mean difference to the baseline on test, paired by replicate: a fraction, -1 to 1."""
    difference_low: float
    """Lower end of its 95 % t-interval."""
    difference_high: float
    """Upper end of its interval."""
    p_value: Fraction
    """Two-sided p-value of the paired t-test, not corrected."""


class ReplicateSummary(Record):
    """One replicate: its GAN, its synthetic images, and its classifiers at the chosen percent."""

    replicate: Count
    """The replicate."""
    degraded: bool
    """Whether the GAN's alarms outlasted its restarts."""
    small_cas: Fraction | None
    """Accuracy on `select` of a small classifier trained on the images of the GAN's kept state alone; null for a
    set."""
    gan_test_accuracy: Fraction
    """Fraction of its synthetic images that its real-only classifier takes for their class."""
    coverage: Fraction
    """Coverage of `select` by its synthetic images."""
    memorised_percent: float
    """Percent of its synthetic images that are near-copies of a training image."""
    val_accuracy: Fraction
    """Accuracy on val at the chosen percent."""
    test_difference: float
    """Difference of its test accuracy to its baseline's at the chosen percent: a fraction, -1 to 1."""


class Power(Record):
    """What the replicates could have detected at the chosen percent, and whether it differs within the margin."""

    margin_points: float
    """`ablation.margin_points`: the smallest difference that matters, in points of 1 %."""
    std_points: float
    """Standard deviation of the paired differences, in points, at least one test image."""
    level: Fraction
    """Level of the test in Holm's first step: 0.05 over the number of percents."""
    power: Fraction
    """Chance to detect, 0.8, on which the next two rest."""
    replicates_for_margin: Count
    """Replicates that it takes to detect the margin; 10,000 where it takes more."""
    replicates_for_margin_low: Count
    """Lower end of its 95 % interval, from that of the standard deviation."""
    replicates_for_margin_high: Count
    """Upper end of its interval."""
    detectable_points: float
    """Difference that these replicates detect, in points."""
    p_value_equivalence: Fraction
    """Larger p-value of the two one-sided tests that the difference exceeds the margin."""
    equivalent: bool
    """Whether the 95 % interval lies within the margin."""


class Optimism(Record):
    """What choosing the best percent flatters the result by."""

    val_difference_mean: float
    """Difference of the chosen percent to the baseline on val: a fraction, -1 to 1."""
    difference_cross_fitted: float
    """Difference on test where each seed's percent is chosen by the other seeds: a fraction, -1 to 1."""
    optimism_points: float
    """Difference on test less the cross-fitted one, in points of 1 %."""


class ArmSetting(Record):
    """Classifiers of old and new classes that saw one kind of images of the new ones; means over the replicates."""

    arm: Arm
    """What their training images of the new classes are."""
    num_shots: Positive
    """Real images of each new class."""
    new_recall_mean: Fraction
    """Recall of the new classes on test."""
    new_recall_low: Fraction
    """Lower end of its 95 % t-interval, at least 0."""
    new_recall_high: Fraction
    """Upper end, at most 1."""
    old_accuracy_mean: Fraction
    """Accuracy on the old classes' test images."""
    harmonic_mean_mean: Fraction
    """Harmonic mean of the two."""


class ArmComparison(Record):
    """One arm less another at equal `num_shots`, paired by replicate, with 95 % t-intervals."""

    arm: Arm
    """The one."""
    against: Arm
    """The other."""
    num_shots: Positive
    """Real images of each new class."""
    new_recall_mean: float
    """Difference, a fraction, in the recall of the new classes on test."""
    new_recall_low: float
    """Lower end of its interval."""
    new_recall_high: float
    """Upper end."""
    old_accuracy_mean: float
    """Difference, a fraction, in the accuracy on the old classes."""
    old_accuracy_low: float
    """Lower end of its interval."""
    old_accuracy_high: float
    """Upper end."""
    harmonic_mean_mean: float
    """Difference, a fraction, in the harmonic mean."""
    harmonic_mean_low: float
    """Lower end of its interval."""
    harmonic_mean_high: float
    """Upper end."""
    p_value_holm: Fraction
    """Two-sided p of the paired t-test on the recall, Holm-adjusted over all these comparisons."""


class NewClasses(Record):
    """What classifiers reach on `dataset.held_out` from few real images, and what generated ones are worth there."""

    classes: tuple[str, ...]
    """`dataset.held_out`."""
    n: Positive
    """Replicates: each has its own GAN, splits, extension and classifiers."""
    arms: tuple[ArmSetting, ...]
    """Every arm at every number of images."""
    comparisons: tuple[ArmComparison, ...]
    """Every arm against `oversampled`, and `augmented_synthetic` against `augmented`, as far as they were run."""


class Result(Record):
    """results/ablation.json. Accuracies are fractions from 0 to 1, floats have six decimals; keys are only added."""

    dataset: str
    """`dataset.title`."""
    profile: str
    """The profile that params.yaml was composed from."""
    mode: Literal["add", "replace"]
    """`ablation.mode`: whether synthetic images come on top of the real ones or take their place."""
    mixing: Literal["batch", "pretrain_finetune"]
    """`ablation.mixing`: whether each batch is mixed, or synthetic images come first and real ones follow."""
    budget: Literal["steps", "real_epochs"]
    """`ablation.budget`: what all classifiers have equal, optimizer steps or passes over their real images."""
    keep_percent: Percent
    """`curation.keep_percent`."""
    curation: CurationParams
    """Which synthetic images were used."""
    metric: Literal["test_accuracy"]
    """What is compared."""
    verdict: Verdict
    """Whether the chosen percent helps, hurts or is equivalent, or why that cannot be said."""
    verdict_text: str
    """The verdict in one sentence with its numbers."""
    power: Power
    """What the replicates could have detected."""
    power_text: str
    """What that means for the verdict; empty where there is nothing to say."""
    optimism: Optimism
    """What the choice flatters the result by."""
    optimism_text: str
    """The same in words; empty where there was one percent and so no choice."""
    chosen_percent: Percent
    """The synthetic_percent, of those above 0, that is best on val."""
    answer: Answer
    """The few numbers that MLflow lists."""
    champion: Champion
    """The single classifier that is best on val."""
    baseline: SettingSummary
    """The setting of 0 % without single replicates."""
    chosen: SettingSummary
    """The setting of the chosen percent without single replicates."""
    by_percent: dict[str, Headline]
    """Three numbers of each setting, by its synthetic_percent."""
    settings: tuple[Setting, ...]
    """Every synthetic_percent, rising, 0 (the baseline) first."""
    per_class: dict[str, Change]
    """Test accuracy of each class, by its name."""
    class_metrics: tuple[ClassMetrics, ...] = ()
    """Balanced accuracy and macro F1 at every synthetic_percent where classes are unequal; empty where they are not."""
    per_corruption: dict[str, Change]
    """Test accuracy under each corruption, by its name."""
    num_corrupted: Count
    """Test images on which each corruption is measured."""
    learning_curve: tuple[RealPercentPoint, ...]
    """Real-only classifiers by the size of their training set, rising."""
    real_equivalent: RealEquivalent | None
    """How many real images alone would do what the chosen percent did; null where the setting cannot tell."""
    controls: tuple[ControlSetting, ...]
    """`ceiling` and `placebo` at every synthetic_percent, as far as they were run."""
    rivals: tuple[RivalSetting, ...]
    """What else the compute buys, as far as it was run."""
    over_best_rival: OverBestRival | None
    """The chosen percent against the best of them; null where none was run."""
    controls_text: str
    """What the controls say of the chosen percent; empty where none was run."""
    replicate_split: bool
    """Whether every replicate has its own draw of train, val and select."""
    replicates: tuple[ReplicateSummary, ...]
    """Every replicate at the chosen percent: its GAN, and what its classifiers reached."""
    dataset_replicate: Count
    """The replicate whose synthetic set is the one to take: its classifier at the chosen percent is best on val."""
    fidelity: AssessRecord
    """What was measured on the synthetic images of that replicate."""
    source: Source = "gan"
    """`synthesize.source`: whether a GAN a replicate made the images, or they come from a set."""
    sets: tuple[ImportedSet, ...] = ()
    """What every replicate took from the set; empty for GANs."""
    new_classes: Annotated[NewClasses | None, Field(exclude_if=lambda value: value is None)] = None
    """What was reached on held-out classes; absent where none is held out."""
    warnings: tuple[str, ...]
    """What a reader must know before the verdict, a sentence each."""

    @property
    def chosen_setting(self) -> Setting:
        """The setting of the chosen percent, with its seeds."""
        return next(setting for setting in self.settings if setting.synthetic_percent == self.chosen_percent)


def read_result(path: Path) -> Result:
    """What ablation.json holds.

    Raises:
        UserError: the file is missing or corrupted.
    """
    return read_record(path, Result, again="dvc repro evaluate")


def rounded(content: object) -> object:
    """`content` with every float at six decimals, as files hold it."""
    if isinstance(content, float):
        return round(content, 6)
    if isinstance(content, dict):
        return {key: rounded(value) for key, value in content.items()}
    return [rounded(value) for value in content] if isinstance(content, list | tuple) else content
