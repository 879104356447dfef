"""The results of all values of an axis side by side: what sweep.json holds."""

from collections.abc import Mapping
from typing import Any

from pipeline.evaluation.statistics import Interval, headline, holm, judge, p_text, points

Value = bool | int | float | str
SETTING = (
    "synthetic_percent", "num_real", "num_synthetic", "n", "test_accuracy", "test_accuracy_mean", "test_accuracy_low",
    "test_accuracy_high", "difference_mean", "difference_low", "difference_high", "p_value",
)  # fmt: skip


def compare(axis: str, results: Mapping[Value, dict[str, Any]]) -> dict[str, Any]:
    """The settings of every value, against the value's own real-only baseline.

    The p-values are Holm-adjusted over all mixed settings of all values, so that a sweep finds no effect merely
    because it asks often. A value's verdict rests on the percent that is best on its own val.

    Args:
        axis: dotted key of the param that differs.
        results: content of ablation.json by value of the param.
    """
    rows = {value: [{key: s[key] for key in SETTING} for s in result["settings"]] for value, result in results.items()}
    mixed = [row for group in rows.values() for row in group if row["synthetic_percent"]]
    for row, p_holm in zip(mixed, holm([row["p_value"] for row in mixed]), strict=True):
        row["p_value_holm"] = p_holm
    first = next(iter(results.values()))
    return {
        "axis": axis,
        "dataset": first["dataset"],
        "profile": first["profile"],
        "num_compared": len(mixed),
        "values": [_entry(axis, value, results[value], rows[value], len(mixed)) for value in results],
    }


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
