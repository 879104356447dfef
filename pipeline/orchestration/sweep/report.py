"""A sweep for people: table, CSV, Markdown and figure."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.evaluation import tables
from pipeline.evaluation.report import align, md_table, rounded
from pipeline.evaluation.statistics import p_text, points
from pipeline.files import escape_markdown, write_json
from pipeline.orchestration.sweep.figure import sweep_svg
from pipeline.runtime.atomic import write_bytes

COLUMNS = (
    "synthetic %",
    "real images",
    "val accuracy %",
    "test accuracy %",
    "95 % interval",
    "difference in points",
    "95 % interval",
    "p (Holm)",
)


def write_sweep(out: Path, sweep: dict[str, Any]) -> None:
    """Writes sweep.json, sweep.csv, sweep.svg and sweep.md."""
    write_json(out / "sweep.json", rounded(sweep))
    for name, text in (
        ("sweep.csv", to_csv(sweep)),
        ("sweep.svg", sweep_svg(sweep)),
        ("sweep.md", to_markdown(sweep)),
    ):
        write_bytes(out / name, text.encode())


def to_csv(sweep: dict[str, Any]) -> str:
    """One row a value and percent; accuracies as fractions, p_value_holm empty for the baselines."""
    buffer = io.StringIO()
    columns = [key for key, value in sweep["values"][0]["settings"][1].items() if not isinstance(value, list)]
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([sweep["axis"], *columns])
    for entry in rounded(sweep["values"]):
        writer.writerows([entry["value"], *(row.get(key, "") for key in columns)] for row in entry["settings"])
    return buffer.getvalue()


def to_text(sweep: dict[str, Any]) -> str:
    """Table and verdicts for a terminal."""
    rows = [(sweep["axis"], *COLUMNS), *_setting_rows(sweep)]
    verdicts = [entry["verdict_text"] for entry in sweep["values"]]
    return "\n".join([*align(rows), "* best on val", "", *verdicts, "", choice(sweep)])


def choice(sweep: dict[str, Any]) -> str:
    """What to pick out of the sweep, told by the images that are there to choose by."""
    best = sweep["best_on_val"]
    return (
        f"If you pick one: val is best with {sweep['axis']} {best['value']} at {best['synthetic_percent']} % synthetic "
        f"({100 * best['val_accuracy_mean']:.2f} % on val). To pick by test would flatter what is picked."
    )


def to_markdown(sweep: dict[str, Any]) -> str:
    """The report of a sweep for a repository page; text from data is escaped."""
    answers = [
        f"- {escape_markdown(entry['verdict_text'])} {escape_markdown(entry['worth']['text'])}"
        for entry in sweep["values"]
    ]
    parts = [
        f"## {escape_markdown(sweep['axis'])}: {escape_markdown(', '.join(_names(sweep)))}",
        "\n".join(answers),
        escape_markdown(choice(sweep)),
        "![Test accuracy and gain against synthetic share, a curve a value](sweep.svg)",
        md_table((sweep["axis"], *COLUMNS), _setting_rows(sweep)),
        *map(escape_markdown, _setup_sentences(sweep)),
        "### The synthetic images",
        md_table(("measure", *map(escape_markdown, _names(sweep)), "what it says"), _fidelity_rows(sweep)),
        "### Reproduce",
        f"```sh\nsynthmix sweep {sweep['axis']}={','.join(_names(sweep))}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _names(sweep: dict[str, Any]) -> list[str]:
    return [str(entry["value"]) for entry in sweep["values"]]


def _setting_rows(sweep: dict[str, Any]) -> tables.Rows:
    return [
        (str(entry["value"]), *_setting_row(row, entry["chosen_percent"]))
        for entry in sweep["values"]
        for row in entry["settings"]
    ]


def _setting_row(row: dict[str, Any], chosen: int) -> tuple[str, ...]:
    percent = row["synthetic_percent"]
    share, val = f"{percent} *" if percent == chosen else str(percent), 100 * row["val_accuracy_mean"]
    start = (share, f"{row['num_real']:,}", f"{val:.2f}", *tables.accuracy_text(row))
    if not percent:
        return (*start, "baseline", "", "")
    mean, low, high = (points(row[f"difference_{end}"]) for end in ("mean", "low", "high"))
    return (*start, mean, f"{low} to {high}", p_text(row["p_value_holm"]).removeprefix("p = ").removeprefix("p "))


def _setup_sentences(sweep: dict[str, Any]) -> Iterator[str]:
    """What was compared."""
    yield (
        f"Data set {sweep['dataset']}, profile {sweep['profile']}; every row is the mean of "
        f"{sweep['values'][0]['settings'][0]['n']} classifiers, one a seed, with its 95 % t-interval. Each value of "
        f"{sweep['axis']} is a run of the whole graph; differences are paired by seed against the same value's 0 %, "
        f"each interval for its row alone; p is the paired t-test's after Holm's correction over all "
        f"{sweep['num_compared']} settings. The share marked * is the value's best on val; its verdict rests on that "
        "share's test accuracy alone."
    )
    shares = {kind: f"Synthetic % is {words}." for kind, words in tables.MIXINGS.items()}
    for kind, words in (("mixing", shares), ("mode", tables.MODES), ("budget", tables.BUDGETS)):
        yield from (words[name] for name in dict.fromkeys(entry[kind] for entry in sweep["values"]))
    if sweep["learning_curve"]:
        yield (
            "The learning curve that worth is read off joins the real-only settings of all values, "
            f"from {sweep['learning_curve'][0]['num_real']:,} to {sweep['learning_curve'][-1]['num_real']:,} images."
        )
    yield "Seeds vary the classifiers alone: each value has one split and one training of the GAN."


def _fidelity_rows(sweep: dict[str, Any]) -> tables.Rows:
    """A row a measure, a column a value."""
    return [
        (name, *(shown.format(entry["fidelity"][key]) for entry in sweep["values"]), meaning)
        for key, name, shown, meaning in tables.MEASURES
    ]
