"""A sweep for people: tables, CSV, Markdown and figure."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from pipeline.evaluation import wording
from pipeline.evaluation.report import tables
from pipeline.evaluation.report.write import align, csv_text, md_table
from pipeline.evaluation.result import rounded
from pipeline.evaluation.statistics import SIGNIFICANCE
from pipeline.evaluation.wording import RIVALS, p_text, percent, points
from pipeline.files import escape_markdown, write_json
from pipeline.orchestration.sweep.figure import sweep_svg
from pipeline.orchestration.sweep.result import Difference, Sweep, SweepPercent, SweepSetting
from pipeline.orchestration.sweep.rows import rows_svg
from pipeline.runtime.atomic import write_bytes

COLUMNS = (
    "setting",
    "synthetic %",
    "real images",
    "val accuracy %",
    "test accuracy %",
    "95 % interval",
    "difference in points",
    "95 % interval",
    "p (Holm)",
)
OVER_RIVAL = (
    "setting",
    "what it changes",
    "accuracy is",
    "n",
    "synthetic %",
    "best rival",
    "over it, points (95 % interval)",
    "cross-fitted",
    "p (Holm)",
    "over real only",
    "fresh real images over real only",
)


def write_sweep(out: Path, sweep: Sweep) -> None:
    """Writes <name>.json, .csv, .svg and .md; the figure has a curve a setting where all differ in one value alone."""
    write_json(out / f"{sweep.name}.json", rounded(sweep.model_dump()))
    for form, text in (
        ("csv", to_csv(sweep)),
        ("svg", sweep_svg(sweep) if sweep.key else rows_svg(sweep)),
        ("md", to_markdown(sweep)),
    ):
        write_bytes(out / f"{sweep.name}.{form}", text.encode())


def to_csv(sweep: Sweep) -> str:
    """One row a setting and percent; accuracies as fractions, p_value_holm empty for the baselines."""
    columns = [key for key in SweepPercent.model_fields if key != "test_accuracy"]
    rows = [
        [entry.name, *(rounded(getattr(row, key)) for key in columns)]
        for entry in sweep.settings
        for row in entry.percents
    ]
    return csv_text(["setting", *columns], rows)


def to_text(sweep: Sweep) -> str:
    """Table and verdicts for a terminal."""
    rows = [COLUMNS, *_percent_rows(sweep)]
    verdicts = [text for entry in sweep.settings for text in _answer(entry)]
    return "\n".join([*align(rows), "* best on val", "", *verdicts, *_choice(sweep), summary(sweep)]).rstrip()


def to_markdown(sweep: Sweep) -> str:
    """The report of a sweep for a repository page; text from data is escaped."""
    answers = [
        "- "
        + " ".join(map(escape_markdown, _answer(entry)))
        + (f" {escape_markdown(entry.real_equivalent.text)}" if entry.real_equivalent else "")
        for entry in sweep.settings
    ]
    names = [entry.name for entry in sweep.settings]
    parts = [
        f"## {escape_markdown(sweep.name)}: {escape_markdown(', '.join(names))}",
        escape_markdown(summary(sweep)),
        "\n".join(answers),
        *map(escape_markdown, _choice(sweep)),
        f"![{escape_markdown(figure_title(sweep))}]({sweep.name}.svg)",
        over_rival_table(sweep),
        md_table(COLUMNS, _percent_rows(sweep)),
        *map(escape_markdown, setup_sentences(sweep)),
        "### The synthetic images",
        md_table(("measure", *map(escape_markdown, names), "what it says"), _fidelity_rows(sweep)),
        "### Reproduce",
        f"```sh\n{command(sweep)}\n```",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def page_sections(sweep: Sweep, figure: str) -> list[str]:
    """What a page of docs/ shows of a sweep: the answer, the figure, the table, how to read it, warnings."""
    warnings = [f"- {escape_markdown(warning)}" for entry in sweep.settings for warning in entry.warnings]
    return [
        f"**{escape_markdown(summary(sweep))}**",
        f"![{escape_markdown(figure_title(sweep))}]({figure})",
        over_rival_table(sweep),
        *map(escape_markdown, setup_sentences(sweep)),
        *(["\n".join(warnings)] if warnings else []),
    ]


def summary(sweep: Sweep) -> str:
    """In which settings synthetic images surely add to the best rival, or take from it; empty where none was run."""
    found = [(entry, entry.over_best_rival) for entry in sweep.settings if entry.over_best_rival]
    if not found:
        return ""
    sure = [(entry.name, over.difference) for entry, over in found if over.p_value_holm < SIGNIFICANCE]
    better = [f"{name} ({points(gain.mean)} points)" for name, gain in sure if gain.mean > 0]
    worse = [f"{name} ({points(gain.mean)} points)" for name, gain in sure if gain.mean < 0]
    texts = [f"Of {len(found)} settings, synthetic images beat the best rival in {', '.join(better) or 'none'}."]
    if worse:
        texts.append(f"They stay behind it in {', '.join(worse)}.")
    if len(sure) < len(found):
        texts.append(f"In {len(found) - len(sure)} no difference is shown.")
    return " ".join(texts)


def figure_title(sweep: Sweep) -> str:
    """What the figure shows, for those who cannot see it."""
    if sweep.key:
        return f"Test accuracy and gain against the share of synthetic images, by {sweep.key}"
    return "What synthetic images add over the best rival, a row a setting"


def over_rival_table(sweep: Sweep) -> str:
    """A row a setting: synthetic images against the best rival, real images alone and fresh real images."""
    return md_table(OVER_RIVAL, [_over_rival_row(entry) for entry in sweep.settings])


def command(sweep: Sweep) -> str:
    """What runs the sweep."""
    if not sweep.key:
        return f"synthmix run experiment={sweep.name}"
    values = ",".join(str(entry.changes[sweep.key]) for entry in sweep.settings)
    return f"synthmix sweep {shlex.quote(f'{sweep.key}={values}')}"


def _answer(entry: SweepSetting) -> list[str]:
    """Warnings, verdict, and what is added over the best rival."""
    texts, found = [*entry.warnings, entry.verdict_text], entry.over_best_rival
    if found:
        texts.append(
            f"Over {RIVALS[found.rival]}, its best rival on val: {_difference(found.difference)} points, "
            f"{p_text(found.p_value_holm)} after Holm's correction over the settings."
        )
    return texts


def _choice(sweep: Sweep) -> Iterator[str]:
    """What to pick out of the sweep, by the images that are there to choose by, if settings can be compared."""
    if best := sweep.best_on_val:
        yield (
            f"If you pick one: val is best with {best.setting} at {best.synthetic_percent} % synthetic "
            f"({percent(best.val_accuracy_mean)} % on val). To pick by test would flatter what is picked."
        )


def changes_text(entry: SweepSetting) -> str:
    """What a setting changes, as on a command line."""
    changes = (
        f"{key}={'[' + ','.join(map(str, value)) + ']' if isinstance(value, tuple) else value}"
        for key, value in entry.changes.items()
    )
    return " ".join(changes) or "nothing"


def _over_rival_row(entry: SweepSetting) -> tuple[str, ...]:
    found, chosen = entry.over_best_rival, entry.chosen
    start = (entry.name, changes_text(entry), entry.accuracy, f"{chosen.n}", f"{chosen.synthetic_percent}")
    rival = ("none run", "", "", "")
    if found:
        holm = tables.p_number(found.p_value_holm)
        rival = (RIVALS[found.rival], _difference(found.difference), points(found.difference_cross_fitted), holm)
    ceiling = _difference(entry.ceiling) if entry.ceiling else "not run"
    return (*start, *rival, _difference(entry.over_real_only), ceiling)


def _difference(found: Difference) -> str:
    return f"{points(found.mean)} ({points(found.low)} to {points(found.high)})"


def _percent_rows(sweep: Sweep) -> tables.Rows:
    return [
        (entry.name, *_percent_row(row, entry.chosen_percent)) for entry in sweep.settings for row in entry.percents
    ]


def _percent_row(row: SweepPercent, chosen: int) -> tuple[str, ...]:
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


def setup_sentences(sweep: Sweep) -> Iterator[str]:
    """What was compared."""
    compared = sum(entry.over_best_rival is not None for entry in sweep.settings)
    yield (
        f"Data set {sweep.dataset}, profile {sweep.profile}; every row is the mean of "
        f"{sweep.settings[0].chosen.n} classifiers, one a replicate, with its 95 % t-interval. Each setting is a run "
        "of the whole graph; differences are paired by replicate, each interval for its row alone. Those to real "
        "images only are against the same setting's 0 %, and p is the paired t-test's after Holm's correction over all "
        f"{sweep.num_compared} shares. The share marked * is the setting's best on val; its verdict rests on that "
        "share's test accuracy alone."
    )
    if compared:
        yield (
            "A rival is what else the compute buys on the same real images, plain training among them. Share and rival "
            "are each setting's best on val. Cross-fitted is the mean difference where each replicate has the share "
            "and the rival that the others choose, so that no classifier is judged by its own luck; p is the larger of "
            f"both paired t-tests' after Holm's correction over {compared} settings."
        )
    for mixing, maker in dict.fromkeys((entry.mixing, entry.maker) for entry in sweep.settings):
        yield f"Synthetic % is {wording.MIXINGS[mixing].format(maker)}."
    yield from (wording.MODES[mode] for mode in dict.fromkeys(entry.mode for entry in sweep.settings))
    yield from (wording.BUDGETS[budget] for budget in dict.fromkeys(entry.budget for entry in sweep.settings))
    if curve := sweep.learning_curve:
        yield (
            "The learning curve that the real-image equivalents are read off joins the real-only cells of all "
            f"settings, from {curve[0].num_real:,} to {curve[-1].num_real:,} images."
        )
    yield from dict.fromkeys(entry.replicates_text for entry in sweep.settings)


def _fidelity_rows(sweep: Sweep) -> tables.Rows:
    """A row a measure, a column a setting."""
    return [
        (name, *(shown.format(getattr(entry.fidelity, key)) for entry in sweep.settings), meaning)
        for key, name, shown, meaning in tables.MEASURES
    ]
