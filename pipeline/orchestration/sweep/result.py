"""The results of all values of an axis side by side: what sweep.json holds."""

from collections.abc import Mapping
from typing import Any

from pipeline.evaluation.statistics import Interval, headline, holm, judge, p_text, points
from pipeline.evaluation.worth import measure, worth_entry

Value = bool | int | float | str
SETTING = (
    "synthetic_percent", "num_real", "num_synthetic", "n", "val_accuracy_mean", "test_accuracy", "test_accuracy_mean",
    "test_accuracy_low", "test_accuracy_high", "difference_mean", "difference_low", "difference_high", "p_value",
)  # fmt: skip


def compare(axis: str, results: Mapping[Value, dict[str, Any]], image: float) -> dict[str, Any]:
    """The settings of every value, against the value's own real-only baseline.

    The p-values are Holm-adjusted over all mixed settings of all values, so that a sweep finds no effect merely
    because it asks often. A value's verdict rests on the percent that is best on its own val.

    Args:
        axis: dotted key of the param that differs.
        results: content of ablation.json by value of the param.
        image: what one test image is in accuracy.
    """
    rows = {value: [{key: s[key] for key in SETTING} for s in result["settings"]] for value, result in results.items()}
    mixed = [row for group in rows.values() for row in group if row["synthetic_percent"]]
    for row, p_holm in zip(mixed, holm([row["p_value"] for row in mixed]), strict=True):
        row["p_value_holm"] = p_holm
    first, curve = next(iter(results.values())), _joint_curve(axis, results)
    entries = [_entry(axis, value, results[value], rows[value], len(mixed)) for value in results]
    if curve:
        entries = [entry | {"worth": _joint_worth(entry, curve, image)} for entry in entries]
    return {
        "axis": axis,
        "dataset": first["dataset"],
        "profile": first["profile"],
        "num_compared": len(mixed),
        "best_on_val": _best_on_val(rows),
        "learning_curve": curve,
        "values": entries,
    }


def _best_on_val(rows: Mapping[Value, list[dict[str, Any]]]) -> dict[str, Any]:
    """The value and the share of synthetic images, 0 included, that val likes best; of equals the first."""
    pairs = [(value, row) for value, group in rows.items() for row in group]
    value, row = max(pairs, key=lambda pair: pair[1]["val_accuracy_mean"])
    return {"value": value, **{key: row[key] for key in ("synthetic_percent", "val_accuracy_mean")}}


def _joint_curve(axis: str, results: Mapping[Value, dict[str, Any]]) -> list[dict[str, Any]]:
    """The real-only settings of all train sizes as one learning curve; empty for another axis.

    A smaller training set is a part of the larger ones, and under budget `steps` nothing else differs.
    """
    if axis != "dataset.train_size" or any(result["budget"] != "steps" for result in results.values()):
        return []
    points = {point["num_real"]: point for result in results.values() for point in result["learning_curve"]}
    keys = (
        "num_real",
        "n",
        "test_accuracy",
        "test_accuracy_mean",
        "test_accuracy_low",
        "test_accuracy_high",
    )
    return [{key: points[size][key] for key in keys} for size in sorted(points)]


def _entry(
    axis: str, value: Value, result: dict[str, Any], rows: list[dict[str, Any]], compared: int
) -> dict[str, Any]:
    """One value: its settings, verdict and worth."""
    chosen = next(row for row in rows if row["synthetic_percent"] == result["chosen_percent"])
    verdict = judge(chosen["difference_mean"], chosen["p_value_holm"])
    difference = Interval(*(chosen[f"difference_{end}"] for end in ("mean", "low", "high")))
    return {
        "value": value,
        **{kind: result[kind] for kind in ("mode", "mixing", "budget")},
        "verdict": verdict,
        "verdict_text": (
            f"{axis} {value}: {headline(verdict, result['mode'])}: at {chosen['synthetic_percent']} % synthetic, the "
            f"share chosen on val, test accuracy differs by {points(difference.mean)} points from this value's own "
            f"real-only baseline (95 % interval {points(difference.low)} to {points(difference.high)} points, "
            f"{p_text(chosen['p_value_holm'])} after Holm's correction over all {compared} settings of the sweep, "
            f"n = {chosen['n']} seeds)."
        ),
        "chosen_percent": result["chosen_percent"],
        "settings": rows,
        "worth": result["worth"],
        "fidelity": result["fidelity"],
    }


def _joint_worth(entry: dict[str, Any], curve: list[dict[str, Any]], image: float) -> dict[str, object]:
    """The entry `worth`, read off the joint curve, which reaches further than the value's own."""
    chosen = next(row for row in entry["settings"] if row["synthetic_percent"] == entry["chosen_percent"])
    sizes, heights = ([point[key] for point in curve] for key in ("num_real", "test_accuracy"))
    measured = measure(sizes, heights, chosen["test_accuracy"], image)
    detectable = entry["verdict"] != "no_difference"
    return worth_entry(chosen["synthetic_percent"], chosen["num_real"], measured, detectable=detectable)
