"""A sweep for people: table, CSV, Markdown and figure."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.evaluation import wording
from pipeline.evaluation.report import tables
from pipeline.evaluation.report.write import align, csv_text, md_table
from pipeline.evaluation.result import rounded
from pipeline.evaluation.wording import percent, points
from pipeline.files import escape_markdown, write_json
from pipeline.orchestration.sweep.figure import sweep_svg
from pipeline.orchestration.sweep.result import Sweep, SweepSetting
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


def write_sweep(out: Path, sweep: Sweep) -> None:
    """Writes sweep.json, sweep.csv, sweep.svg and sweep.md."""
    write_json(out / "sweep.json", rounded(sweep.model_dump()))
    for name, text in (
        ("sweep.csv", to_csv(sweep)),
        ("sweep.svg", sweep_svg(sweep)),
        ("sweep.md", to_markdown(sweep)),
    ):
        write_bytes(out / name, text.encode())


def to_csv(sweep: Sweep) -> str:
    """One row a value and percent; accuracies as fractions, p_value_holm empty for the baselines."""
    columns = [key for key in SweepSetting.model_fields if key != "test_accuracy"]
    rows = [
        [entry.value, *(rounded(getattr(setting, key)) for key in columns)]
        for entry in sweep.values
        for setting in entry.settings
    ]
    return csv_text([sweep.key, *columns], rows)


def to_text(sweep: Sweep) -> str:
    """Table and verdicts for a terminal."""
    rows = [(sweep.key, *COLUMNS), *_setting_rows(sweep)]
    verdicts = [text for entry in sweep.values for text in (*entry.warnings, entry.verdict_text)]
    return "\n".join([*align(rows), "* best on val", "", *verdicts, "", choice(sweep)])


def choice(sweep: Sweep) -> str:
    """What to pick out of the sweep, by the images that are there to choose by."""
    best = sweep.best_on_val
    return (
        f"If you pick one: val is best with {sweep.key} {best.value} at {best.synthetic_percent} % synthetic "
        f"({percent(best.val_accuracy_mean)} % on val). To pick by test would flatter what is picked."
    )


def to_markdown(sweep: Sweep) -> str:
    """The report of a sweep for a repository page; text from data is escaped."""
    answers = [
        "- "
        + " ".join(map(escape_markdown, (*entry.warnings, entry.verdict_text)))
        + (f" {escape_markdown(entry.real_equivalent.text)}" if entry.real_equivalent else "")
        for entry in sweep.values
    ]
    names = [str(entry.value) for entry in sweep.values]
    parts = [
        f"## {escape_markdown(sweep.key)}: {escape_markdown(', '.join(names))}",
        "\n".join(answers),
        escape_markdown(choice(sweep)),
        "![Test accuracy and gain against synthetic share, a curve a value](sweep.svg)",
        md_table((sweep.key, *COLUMNS), _setting_rows(sweep)),
        *map(escape_markdown, _setup_sentences(sweep)),
        "### The synthetic images",
        md_table(("measure", *map(escape_markdown, names), "what it says"), _fidelity_rows(sweep)),
        "### Reproduce",
        f"```sh\nsynthmix sweep {sweep.key}={','.join(names)}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _setting_rows(sweep: Sweep) -> tables.Rows:
    return [
        (str(entry.value), *_setting_row(setting, entry.chosen_percent))
        for entry in sweep.values
        for setting in entry.settings
    ]


def _setting_row(row: SweepSetting, chosen: int) -> tuple[str, ...]:
    accuracy = f"{percent(row.test_accuracy_low)} to {percent(row.test_accuracy_high)}"
    start = (
        tables.label(row.synthetic_percent, chosen),
        f"{row.num_real:,}",
        percent(row.val_accuracy_mean),
        percent(row.test_accuracy_mean),
        accuracy,
    )
    if row.p_value_holm is None:
        return (*start, "baseline", "", "")
    interval = f"{points(row.difference_low)} to {points(row.difference_high)}"
    return (*start, points(row.difference_mean), interval, tables.p_number(row.p_value_holm))


def _setup_sentences(sweep: Sweep) -> Iterator[str]:
    """What was compared."""
    yield (
        f"Data set {sweep.dataset}, profile {sweep.profile}; every row is the mean of "
        f"{sweep.values[0].settings[0].n} classifiers, one a replicate, with its 95 % t-interval. Each value of "
        f"{sweep.key} is a run of the whole graph; differences are paired by replicate against the same value's 0 %, "
        f"each interval for its row alone; p is the paired t-test's after Holm's correction over all "
        f"{sweep.num_compared} settings. The share marked * is the value's best on val; its verdict rests on that "
        "share's test accuracy alone."
    )
    for mixing in dict.fromkeys(entry.mixing for entry in sweep.values):
        yield f"Synthetic % is {wording.MIXINGS[mixing]}."
    yield from (wording.MODES[mode] for mode in dict.fromkeys(entry.mode for entry in sweep.values))
    yield from (wording.BUDGETS[budget] for budget in dict.fromkeys(entry.budget for entry in sweep.values))
    if curve := sweep.learning_curve:
        yield (
            "The learning curve that the real-image equivalents are read off joins the real-only settings of all "
            f"values, from {curve[0].num_real:,} to {curve[-1].num_real:,} images."
        )
    yield "A replicate has a GAN, a synthetic set and classifiers of its own, for each value."


def _fidelity_rows(sweep: Sweep) -> tables.Rows:
    """A row a measure, a column a value."""
    return [
        (name, *(shown.format(getattr(entry.fidelity, key)) for entry in sweep.values), meaning)
        for key, name, shown, meaning in tables.MEASURES
    ]
