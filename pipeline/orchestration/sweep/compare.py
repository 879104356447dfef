"""The results of a sweep's settings, compared: one correction over all of them."""

from collections.abc import Iterator, Mapping

from pipeline.evaluation.origin import words
from pipeline.evaluation.real_equivalent import measure, real_equivalent
from pipeline.evaluation.result import CurvePoint, OverBestRival, Result, Setting
from pipeline.evaluation.statistics import Interval, Verdict, holm, verdict_of
from pipeline.evaluation.wording import accuracy_meaning, headline, p_text, points
from pipeline.orchestration.sweep.result import (
    BestOnVal,
    Difference,
    OverRival,
    Sweep,
    SweepPercent,
    SweepSetting,
)
from pipeline.params.changes import with_changes
from pipeline.params.load import parse_params
from pipeline.params.schema import Params, SweptValue


def compare(params: Params, results: Mapping[str, Result]) -> Sweep:
    """The percents of every setting against its own baseline, and the chosen ones against their best rivals.

    The p-values of the percents are Holm-adjusted over all percents of all settings, those against the best rivals,
    one a setting, over the settings: so a sweep finds no effect merely because it asks often. Percent and rival are
    chosen on the setting's own val.

    Args:
        params: what the settings have in common, with the block `sweep`.
        results: what ablation.json holds, by setting.
    """
    key, first = _only_key(params), next(iter(results.values()))
    p_values = [row.p_value for result in results.values() for row in result.settings if row.synthetic_percent]
    adjusted, curve = iter(holm(p_values)), _joint_curve(key, results)
    against = _over_rivals(results)
    settings = []
    for name, result in results.items():
        percents = tuple(_percent(row, adjusted) for row in result.settings)
        own = setting_params(params, name)
        entry = _setting(own, result, percents, len(p_values)).model_copy(update={"over_best_rival": against[name]})
        settings.append(_off_joint_curve(entry, curve, 1 / own.dataset.test_size) if curve else entry)
    return Sweep(
        name=params.sweep.name,
        key=key,
        dataset=first.dataset,
        profile=first.profile,
        num_compared=len(p_values),
        best_on_val=_best_on_val(settings) if key else None,
        learning_curve=curve,
        settings=tuple(settings),
    )


def setting_params(params: Params, name: str) -> Params:
    """`params` with the changes of the setting `name`."""
    changes = params.sweep.settings[name]
    return parse_params(with_changes(params.model_dump(), {**changes, "sweep.setting": name}))


def _only_key(params: Params) -> str:
    """The one key that every setting changes, and nothing else; empty where there is none."""
    keys = {tuple(changes) for changes in params.sweep.settings.values()}
    return only[0] if len(keys) == 1 and len(only := keys.pop()) == 1 else ""


def _over_rivals(results: Mapping[str, Result]) -> dict[str, OverRival | None]:
    """The gain over the best rival of every setting that has one, p corrected over them."""
    found = {name: result.over_best_rival for name, result in results.items()}
    adjusted = iter(holm([entry.p_value for entry in found.values() if entry]))
    return {name: _over_rival(entry, next(adjusted)) if entry else None for name, entry in found.items()}


def _over_rival(entry: OverBestRival, p_value_holm: float) -> OverRival:
    return OverRival(
        rival=entry.rival,
        difference=Difference(mean=entry.difference_mean, low=entry.difference_low, high=entry.difference_high),
        difference_cross_fitted=entry.difference_cross_fitted,
        p_value=entry.p_value,
        p_value_holm=p_value_holm,
    )


def _percent(row: Setting, adjusted: Iterator[float]) -> SweepPercent:
    """`row` with its own p-value of `adjusted`, which has one for every mixed percent in turn."""
    kept = {key: getattr(row, key) for key in SweepPercent.model_fields}
    return SweepPercent(**kept | {"p_value_holm": next(adjusted) if row.synthetic_percent else None})


def _setting(params: Params, result: Result, percents: tuple[SweepPercent, ...], compared: int) -> SweepSetting:
    """One setting of a sweep with `compared` percents: its verdict and all but what it is beside its rivals."""
    chosen = next(row for row in percents if row.synthetic_percent == result.chosen_percent)
    name, p_value = params.sweep.setting, 1.0 if chosen.p_value_holm is None else chosen.p_value_holm
    verdict, made = _verdict(result, chosen, p_value), words(result.sets)
    return SweepSetting(
        name=name,
        changes={
            key: tuple(value) if isinstance(value, list) else value
            for key, value in params.sweep.settings[name].items()
        },
        accuracy=accuracy_meaning(params),
        num_test=params.dataset.test_size,
        mode=result.mode,
        mixing=result.mixing,
        budget=result.budget,
        maker=made.maker,
        replicates_text=made.replicates if result.replicate_split else made.fixed_split,
        verdict=verdict,
        verdict_text=(
            f"{name}: {headline(verdict, result.mode)}: at {chosen.synthetic_percent} % synthetic, the share chosen on "
            f"val, test accuracy differs by {points(chosen.difference_mean)} points from this setting's own real-only "
            f"baseline (95 % interval {points(chosen.difference_low)} to {points(chosen.difference_high)} points, "
            f"{p_text(p_value)} after Holm's correction over all {compared} shares of the sweep, n = {chosen.n} "
            "replicates)." + f" {result.controls_text}" * (verdict == "cannot_tell")
        ),
        warnings=tuple(f"{name}: {warning}" for warning in result.warnings),
        chosen_percent=result.chosen_percent,
        percents=percents,
        over_best_rival=None,
        ceiling=_ceiling(result),
        real_equivalent=result.real_equivalent,
        fidelity=result.fidelity,
    )


def _frozen(changes: Mapping[str, SweptValue | list[SweptValue]]) -> dict[str, SweptValue | tuple[SweptValue, ...]]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in changes.items()}


def _ceiling(result: Result) -> Difference | None:
    """Fresh real images at the chosen percent, as far as they were run."""
    for entry in result.controls:
        if (entry.control, entry.synthetic_percent) == ("ceiling", result.chosen_percent):
            return Difference(mean=entry.difference_mean, low=entry.difference_low, high=entry.difference_high)
    return None


def _verdict(result: Result, chosen: SweepPercent, p_value: float) -> Verdict:
    """The setting's verdict by the p-value corrected over the sweep; where its controls forbid one, it has none."""
    if result.verdict == "cannot_tell":
        return result.verdict
    difference = Interval(chosen.difference_mean, chosen.difference_low, chosen.difference_high)
    return verdict_of(difference, p_value, result.power.margin_points / 100)


def _best_on_val(settings: list[SweepSetting]) -> BestOnVal:
    pairs = [(entry.name, row) for entry in settings for row in entry.percents]
    name, best = max(pairs, key=lambda pair: pair[1].val_accuracy_mean)
    return BestOnVal(setting=name, synthetic_percent=best.synthetic_percent, val_accuracy_mean=best.val_accuracy_mean)


def _joint_curve(key: str, results: Mapping[str, Result]) -> tuple[CurvePoint, ...]:
    """The real-only settings of all train sizes as one learning curve; empty where settings differ in anything else.

    A smaller training set is a part of the larger ones, and under budget `steps` nothing else differs.
    """
    if key != "dataset.train_size" or any(result.budget != "steps" for result in results.values()):
        return ()
    sizes = {point.num_real: point for result in results.values() for point in result.learning_curve}
    return tuple(
        CurvePoint(**{name: getattr(sizes[size], name) for name in CurvePoint.model_fields}) for size in sorted(sizes)
    )


def _off_joint_curve(entry: SweepSetting, curve: tuple[CurvePoint, ...], image: float) -> SweepSetting:
    """`entry` with its equivalent read off the joint curve, which reaches further than the setting's own."""
    if entry.real_equivalent is None:
        return entry
    chosen, detectable = entry.chosen, entry.verdict in ("helps", "hurts")
    sizes, accuracies = [point.num_real for point in curve], [point.test_accuracy for point in curve]
    measured = measure(sizes, accuracies, chosen.test_accuracy, image)
    found = real_equivalent(chosen.synthetic_percent, chosen.num_real, measured, detectable=detectable)
    return entry.model_copy(update={"real_equivalent": found})
