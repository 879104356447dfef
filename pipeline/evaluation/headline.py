"""The answer in a screenful of numbers: what `dvc metrics diff` compares and MLflow lists."""

from pipeline.evaluation.result import Result

CLASSES_ALIKE = [(name, kind) for name in ("balanced_accuracy", "macro_f1") for kind in ("mean", "difference_mean")]


def headline_numbers(result: Result) -> dict[str, float]:
    """The numbers of the answer by name; accuracies and their differences are fractions."""
    chosen = result.chosen
    numbers = {
        "baseline_test_accuracy": result.baseline.test_accuracy_mean,
        "chosen_test_accuracy": chosen.test_accuracy_mean,
        "chosen_percent": chosen.synthetic_percent,
        "difference": chosen.difference_mean,
        "p_value": chosen.p_value_holm,
    }
    for row in result.class_metrics:
        if row.synthetic_percent == chosen.synthetic_percent:
            numbers |= {f"{name}_{kind}": getattr(row, f"{name}_{kind}") for name, kind in CLASSES_ALIKE}
    if result.real_equivalent:
        numbers["real_equivalent"] = result.real_equivalent.num_real_equivalent
    return numbers | {
        f"{entry.control}_difference": entry.difference_mean
        for entry in result.controls
        if entry.synthetic_percent == chosen.synthetic_percent
    }
