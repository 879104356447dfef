"""results/sweep.json as typed records: the results of all values of a param side by side."""

from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import Field

from pipeline.assessment.record import AssessRecord
from pipeline.evaluation.real_equivalent import measure, real_equivalent
from pipeline.evaluation.result import Count, CurvePoint, Fraction, Percent, RealEquivalent, Result, Setting
from pipeline.evaluation.statistics import Interval, Verdict, holm, verdict_of
from pipeline.evaluation.wording import headline, p_text, points
from pipeline.files import Record

Value = bool | int | float | str


class SweepSetting(Record):
    """One synthetic_percent of one value; fractions and intervals as in ablation.json."""

    synthetic_percent: Percent
    """Percent of the training images that are synthetic; 0 is the value's real-only baseline."""
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
    """Mean difference to the value's own baseline, paired by replicate: a fraction, -1 to 1."""
    difference_low: float
    """Lower end of its 95 % t-interval."""
    difference_high: float
    """Upper end of its interval."""
    p_value: Fraction
    """Two-sided p-value of the paired t-test, not corrected."""
    p_value_holm: Fraction | None
    """`p_value` after Holm's correction over all mixed settings of all values; null for a baseline."""


class SweepValue(Record):
    """The result of one value of the param."""

    value: Value
    """The value."""
    mode: str
    """`ablation.mode`."""
    mixing: str
    """`ablation.mixing`."""
    budget: str
    """`ablation.budget`."""
    verdict: Verdict
    """The verdict on the percent that is best on the value's own val, by the p-value corrected over the sweep."""
    verdict_text: str
    """The same in one sentence, with the controls where these forbid an answer."""
    warnings: tuple[str, ...]
    """What a reader must know before the verdict, a sentence each."""
    chosen_percent: Percent
    """The synthetic_percent, of those above 0, that is best on val."""
    settings: tuple[SweepSetting, ...]
    """Every synthetic_percent, rising, 0 first."""
    real_equivalent: RealEquivalent | None
    """How many real images alone would do what the chosen percent did; null where the setting cannot tell."""
    fidelity: AssessRecord
    """What was measured on the value's synthetic images."""

    @property
    def chosen(self) -> SweepSetting:
        """The setting of the chosen percent."""
        return next(setting for setting in self.settings if setting.synthetic_percent == self.chosen_percent)


class BestOnVal(Record):
    """The value and the synthetic_percent, 0 included, that val likes best; of equals the first."""

    value: Value
    """The value."""
    synthetic_percent: Percent
    """The synthetic_percent."""
    val_accuracy_mean: Fraction
    """Its mean accuracy on val, a fraction."""


class Sweep(Record):
    """results/sweep.json: each value of one param against the value's own real-only baseline."""

    key: str
    """Dotted key of the param that differs."""
    dataset: str
    """`dataset.name`."""
    profile: str
    """The profile that params.yaml was composed from."""
    num_compared: Count
    """Mixed settings of all values, over which p-values are corrected."""
    best_on_val: BestOnVal
    """What to pick."""
    learning_curve: tuple[CurvePoint, ...]
    """Real-only settings of all train sizes, rising; empty where the param is another."""
    values: tuple[SweepValue, ...]
    """One entry a value, in the order of the sweep."""


def compare(key: str, results: Mapping[Value, Result], image: float) -> Sweep:
    """The settings of every value, against the value's own real-only baseline.

    The p-values are Holm-adjusted over all mixed settings of all values, so that a sweep finds no effect merely
    because it asks often. A value's verdict rests on the percent that is best on its own val.

    Args:
        key: dotted key of the param that differs.
        results: what ablation.json holds, by value of the param.
        image: what one test image is in accuracy.
    """
    mixed = [setting for result in results.values() for setting in result.settings if setting.synthetic_percent]
    adjusted = iter(holm([setting.p_value for setting in mixed]))
    first, curve = next(iter(results.values())), _joint_curve(key, results)
    values = []
    for value, result in results.items():
        settings = tuple(_setting(setting, adjusted) for setting in result.settings)
        values.append(_value(f"{key} {value}", value, result, settings, len(mixed)))
    return Sweep(
        key=key,
        dataset=first.dataset,
        profile=first.profile,
        num_compared=len(mixed),
        best_on_val=_best_on_val(values),
        learning_curve=curve,
        values=tuple(_off_joint_curve(entry, curve, image) if curve else entry for entry in values),
    )


def _setting(setting: Setting, adjusted: Iterator[float]) -> SweepSetting:
    """`setting` with its own p-value of `adjusted`, which has one for every mixed setting in turn."""
    kept = {key: getattr(setting, key) for key in SweepSetting.model_fields}
    return SweepSetting(**kept | {"p_value_holm": next(adjusted) if setting.synthetic_percent else None})


def _value(name: str, value: Value, result: Result, settings: tuple[SweepSetting, ...], compared: int) -> SweepValue:
    """One value: its settings, verdict and real-image equivalent."""
    chosen = next(setting for setting in settings if setting.synthetic_percent == result.chosen_percent)
    p_value = 1.0 if chosen.p_value_holm is None else chosen.p_value_holm
    verdict = _verdict(result, chosen, p_value)
    return SweepValue(
        value=value,
        mode=result.mode,
        mixing=result.mixing,
        budget=result.budget,
        verdict=verdict,
        verdict_text=(
            f"{name}: {headline(verdict, result.mode)}: at {chosen.synthetic_percent} % synthetic, the share chosen on "
            f"val, test accuracy differs by {points(chosen.difference_mean)} points from this value's own real-only "
            f"baseline (95 % interval {points(chosen.difference_low)} to {points(chosen.difference_high)} points, "
            f"{p_text(p_value)} after Holm's correction over all {compared} settings of the sweep, n = {chosen.n} "
            "replicates)." + f" {result.controls_text}" * (verdict == "cannot_tell")
        ),
        warnings=tuple(f"{name}: {warning}" for warning in result.warnings),
        chosen_percent=result.chosen_percent,
        settings=settings,
        real_equivalent=result.real_equivalent,
        fidelity=result.fidelity,
    )


def _verdict(result: Result, chosen: SweepSetting, p_value: float) -> Verdict:
    """The value's verdict by the p-value corrected over the sweep; where its controls forbid one, it has none."""
    if result.verdict == "cannot_tell":
        return result.verdict
    difference = Interval(chosen.difference_mean, chosen.difference_low, chosen.difference_high)
    return verdict_of(difference, p_value, result.power.margin_points / 100)


def _best_on_val(values: list[SweepValue]) -> BestOnVal:
    pairs = [(entry.value, setting) for entry in values for setting in entry.settings]
    value, best = max(pairs, key=lambda pair: pair[1].val_accuracy_mean)
    return BestOnVal(value=value, synthetic_percent=best.synthetic_percent, val_accuracy_mean=best.val_accuracy_mean)


def _joint_curve(key: str, results: Mapping[Value, Result]) -> tuple[CurvePoint, ...]:
    """The real-only settings of all train sizes as one learning curve; empty for another param.

    A smaller training set is a part of the larger ones, and under budget `steps` nothing else differs.
    """
    if key != "dataset.train_size" or any(result.budget != "steps" for result in results.values()):
        return ()
    sizes = {point.num_real: point for result in results.values() for point in result.learning_curve}
    return tuple(
        CurvePoint(**{name: getattr(sizes[size], name) for name in CurvePoint.model_fields}) for size in sorted(sizes)
    )


def _off_joint_curve(entry: SweepValue, curve: tuple[CurvePoint, ...], image: float) -> SweepValue:
    """`entry` with its equivalent read off the joint curve, which reaches further than the value's own."""
    if entry.real_equivalent is None:
        return entry
    chosen, detectable = entry.chosen, entry.verdict in ("helps", "hurts")
    sizes, accuracies = [point.num_real for point in curve], [point.test_accuracy for point in curve]
    measured = measure(sizes, accuracies, chosen.test_accuracy, image)
    found = real_equivalent(chosen.synthetic_percent, chosen.num_real, measured, detectable=detectable)
    return entry.model_copy(update={"real_equivalent": found})
