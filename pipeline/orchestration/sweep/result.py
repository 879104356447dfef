"""results/<name>.json of a sweep as typed records: the results of all its settings side by side."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline.assessment.record import AssessRecord
from pipeline.evaluation.result import Count, CurvePoint, Fraction, Percent, RealEquivalent, RivalOrNone
from pipeline.evaluation.statistics import Verdict
from pipeline.files import Record, read_record
from pipeline.params.schema import SweptValue


class SweepPercent(Record):
    """One synthetic_percent of a setting; fractions and intervals as in ablation.json."""

    synthetic_percent: Percent
    """Percent of the training images that are synthetic; 0 is the setting's real-only baseline."""
    num_real: Count
    """Different real images in the training set."""
    num_synthetic: Count
    """Different synthetic images in the training set."""
    n: Annotated[int, Field(ge=2)]
    """Classifiers, one a replicate."""
    val_accuracy_mean: Fraction
    """Mean accuracy on val, a fraction."""
    test_accuracy: tuple[Fraction, ...]
    """Test accuracy of each replicate, a fraction."""
    test_accuracy_mean: Fraction
    """Mean accuracy on test, a fraction."""
    test_accuracy_low: Fraction
    """Lower end of its 95 % t-interval over the replicates."""
    test_accuracy_high: Fraction
    """Upper end of its interval."""
    difference_mean: float
    """Mean difference to the setting's own baseline, paired by replicate: a fraction, -1 to 1."""
    difference_low: float
    """Lower end of its 95 % t-interval."""
    difference_high: float
    """Upper end of its interval."""
    p_value: Fraction
    """Two-sided p-value of the paired t-test, not corrected."""
    p_value_holm: Fraction | None
    """`p_value` after Holm's correction over all mixed percents of all settings; null for a baseline."""


class Difference(Record):
    """A mean difference of test accuracy, paired by replicate: fractions, -1 to 1."""

    mean: float
    """The mean."""
    low: float
    """Lower end of its 95 % t-interval."""
    high: float
    """Upper end of its interval."""


class OverRival(Record):
    """The chosen percent against the rival that is best on val."""

    rival: RivalOrNone
    """That rival; `real_only` where plain training on the real images is better on val than any."""
    difference: Difference
    """Test accuracy of the chosen percent less the rival's."""
    difference_cross_fitted: float
    """The same mean where each replicate's percent and rival are chosen by the others: a fraction, -1 to 1."""
    p_value: Fraction
    """Two-sided, as `over_best_rival.p_value` of ablation.json, not corrected."""
    p_value_holm: Fraction
    """`p_value` after Holm's correction over all settings that were compared with rivals."""


class SweepSetting(Record):
    """The result of one setting."""

    name: str
    """What the sweep calls it."""
    changes: dict[str, SweptValue | tuple[SweptValue, ...]]
    """What it changes in the values that all have in common, by dotted key."""
    accuracy: str
    """What accuracy means in this setting, in a few words."""
    num_test: Count
    """Test images."""
    mode: str
    """`ablation.mode`."""
    mixing: str
    """`ablation.mixing`."""
    budget: str
    """`ablation.budget`."""
    maker: str
    """What made its synthetic images, as in 'a GAN made'."""
    replicates_text: str
    """What its replicates vary, and so what the intervals cover, in a sentence."""
    verdict: Verdict
    """The verdict on the percent that is best on the setting's own val, by the p-value corrected over the sweep."""
    verdict_text: str
    """The same in one sentence, with the controls where these forbid an answer."""
    warnings: tuple[str, ...]
    """What a reader must know before the verdict, a sentence each."""
    chosen_percent: Percent
    """The synthetic_percent, of those above 0, that is best on val."""
    percents: tuple[SweepPercent, ...]
    """Every synthetic_percent, rising, 0 first."""
    over_best_rival: OverRival | None
    """What synthetic images add over the best of what else the compute buys; null where no rival was run."""
    ceiling: Difference | None
    """Fresh real images in the synthetic ones' place at the chosen percent, less real images only; null if not run."""
    real_equivalent: RealEquivalent | None
    """How many real images alone would do what the chosen percent did; null where the setting cannot tell."""
    fidelity: AssessRecord
    """What was measured on the setting's synthetic images."""

    @property
    def chosen(self) -> SweepPercent:
        """The row of the chosen percent."""
        return next(row for row in self.percents if row.synthetic_percent == self.chosen_percent)

    @property
    def over_real_only(self) -> Difference:
        """The chosen percent less real images only."""
        chosen = self.chosen
        return Difference(mean=chosen.difference_mean, low=chosen.difference_low, high=chosen.difference_high)


class BestOnVal(Record):
    """The setting and the synthetic_percent, 0 included, that val likes best; of equals the first."""

    setting: str
    """The setting."""
    synthetic_percent: Percent
    """The synthetic_percent."""
    val_accuracy_mean: Fraction
    """Its mean accuracy on val, a fraction."""


class Sweep(Record):
    """results/<name>.json of a sweep, where_it_pays.json among them: each setting against its own baseline and rivals.

    Accuracies are fractions from 0 to 1.
    """

    name: str
    """`sweep.name`."""
    key: str
    """Dotted key of the one value in which all settings differ; empty where they differ in more."""
    dataset: str
    """`dataset.title`."""
    profile: str
    """The profile that params.yaml was composed from."""
    num_compared: Count
    """Mixed percents of all settings, over which their p-values are corrected."""
    best_on_val: BestOnVal | None
    """What to pick; null where settings differ in more than one value, so that their accuracies are not comparable."""
    learning_curve: tuple[CurvePoint, ...]
    """Real-only cells of all train sizes, rising; empty unless the settings differ in dataset.train_size."""
    settings: tuple[SweepSetting, ...]
    """One entry a setting, in the order of `sweep.settings`."""


def read_sweep(path: Path) -> Sweep:
    """What the file of a sweep holds.

    Raises:
        UserError: the file is missing or corrupted.
    """
    return read_record(path, Sweep, again="synthmix sweep, or synthmix run experiment=…")
