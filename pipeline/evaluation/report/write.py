"""A result for people: terminal text, CSV, Markdown, and one HTML page that needs no network."""

import base64
import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from pipeline.evaluation import origin, wording
from pipeline.evaluation.headline import headline_numbers
from pipeline.evaluation.report import new_classes, tables
from pipeline.evaluation.report.evidence import Evidence
from pipeline.evaluation.report.history import history_svgs
from pipeline.evaluation.report.plots import ablation_svg, accuracy_svg, inline, learning_curve_svg
from pipeline.evaluation.result import Change, Result, SettingSummary, rounded
from pipeline.files import escape_markdown, write_json
from pipeline.runtime.atomic import write_bytes
from pipeline.sources.description import DatasetDescription


def write_report(out: Path, result: Result, evidence: Evidence) -> list[Path]:
    """Writes ablation.json, .csv and .svg, metrics.json, report.md and report.html; returns their paths."""
    texts = {
        "ablation.csv": to_csv(result),
        "ablation.svg": ablation_svg(result, *new_classes.panels(result)),
        "report.md": to_markdown(result, evidence.dataset.class_names),
        "report.html": to_html(result, evidence),
    }
    write_json(out / "ablation.json", rounded(result.model_dump()))
    write_json(out / "metrics.json", rounded({"verdict": result.verdict} | headline_numbers(result)))
    for name, text in texts.items():
        write_bytes(out / name, text.encode())
    return [out / "ablation.json", out / "metrics.json", *(out / name for name in texts)]


def to_csv(result: Result) -> str:
    """The settings, one row a percent; accuracies as fractions, replicates separated by spaces."""
    columns = list(SettingSummary.model_fields)
    rows = [
        [*(rounded(getattr(setting, key)) for key in columns), " ".join(map(str, setting.replicates))]
        for setting in result.settings
    ]
    return csv_text([*columns, "replicates"], rows)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A CSV table; None is an empty field."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([header, *rows])
    return buffer.getvalue()


def to_text(result: Result) -> str:
    """Table, warnings and answer for a terminal."""
    rows = [[row[column] for column in tables.TERMINAL] for row in (tables.SETTINGS, *tables.setting_rows(result))]
    return "\n".join([*align(rows), "* best on val", "", *result.warnings, *wording.answer(result)])


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line a row, columns flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def to_markdown(result: Result, class_names: tuple[str, ...]) -> str:
    """The report for a pull request or a repository page; text from data is escaped."""
    parts = [
        *(f"> {escape_markdown(warning)}" for warning in result.warnings),
        f"## {wording.headline(result.verdict, result.mode)}",
        *map(escape_markdown, wording.answer(result)),
        "![Test accuracy against synthetic share, and the learning curve](ablation.svg)",
        md_table(tables.SETTINGS, tables.setting_rows(result)),
        *map(escape_markdown, wording.setup_sentences(result)),
        *_classes_alike(result),
        "### Controls",
        md_table(tables.CONTROLS, tables.control_rows(result)),
        "### Rivals",
        md_table(tables.RIVALS, tables.rival_rows(result)),
        *_new_classes_section(result),
        "### Replicates",
        md_table(tables.REPLICATES, tables.replicate_rows(result)),
        "### Confidence and corruption",
        escape_markdown(wording.trust_note(result)),
        md_table(tables.TRUST, tables.trust_rows(result)),
        "### The synthetic images",
        escape_markdown(wording.fidelity_note(result)),
        md_table(tables.FIDELITY, tables.fidelity_rows(result)),
        "<details><summary>Every class, every corruption</summary>",
        escape_markdown(wording.class_note(result)),
        md_table(tables.CLASSES, tables.class_rows(result, class_names)),
        md_table(tables.CORRUPTIONS, tables.corruption_rows(result)),
        "</details>",
        "### Reproduce",
        "\n".join(["```sh", *tables.commands(result), "```"]),
    ]
    return "\n\n".join(parts) + "\n"


def _classes_alike(result: Result) -> list[str]:
    """The section on balanced accuracy and macro F1, where classes are unequal."""
    if not result.class_metrics:
        return []
    table = md_table(tables.ALIKE, tables.alike_rows(result))
    return ["### Unequal classes", escape_markdown(wording.ALIKE_NOTE), table]


def _new_classes_section(result: Result) -> list[str]:
    found = result.new_classes
    if not found:
        return []
    return [
        "### New classes",
        escape_markdown(new_classes.introduction(found)),
        md_table(new_classes.ARMS, new_classes.arm_rows(found)),
        md_table(new_classes.COMPARISONS, new_classes.comparison_rows(found)),
    ]


def md_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; what stands in `rows` is escaped."""
    lines = [header, ["---"] * len(header), *([escape_markdown(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def to_html(result: Result, evidence: Evidence) -> str:
    """The whole report as one page: figures inline, images embedded, nothing loaded from anywhere."""
    jinja = Environment(
        loader=PackageLoader("pipeline.evaluation.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawn = {
        "accuracy": accuracy_svg(result),
        "curve": learning_curve_svg(result),
        **(history_svgs(evidence.history) if evidence.history else {}),
        **({"new_classes": new_classes.new_classes_svg(result.new_classes)} if result.new_classes else {}),
    }
    return jinja.get_template("report.html.jinja").render(
        result=result,
        evidence=evidence,
        headline=wording.headline(result.verdict, result.mode),
        scale=_scale,
        most_confused=_most_confused(evidence.confusion),
        bands=neighbour_bands(evidence.neighbours, evidence.dataset),
        figures={name: Markup(inline(svg, name)) for name, svg in drawn.items()},  # noqa: S704 - drawn by us
        samples=base64.b64encode(evidence.samples).decode(),
        tables=tables,
        new_classes=new_classes,
        wording=wording,
        words=origin.words(result.sets),
    )


def neighbour_bands(picture: bytes, dataset: DatasetDescription) -> list[tuple[str, str]]:
    """Each class's name and its two rows of the picture that `assess` drew, as PNG in base64."""
    whole, size = Image.open(io.BytesIO(picture)), dataset.image_size
    bands = []
    for label, name in enumerate(dataset.class_names):
        top = label * (2 * size + size // 4)  # two rows of images, a white line of a quarter
        buffer = io.BytesIO()
        whole.crop((0, top, whole.width, top + 2 * size)).save(buffer, "PNG")
        bands.append((name, base64.b64encode(buffer.getvalue()).decode()))
    return bands


def _scale(changes: Mapping[str, Change]) -> float:
    """What to multiply fractions by so that the longest end of a table's intervals is drawn at 100."""
    longest = max(max(abs(change.difference_low), abs(change.difference_high)) for change in changes.values())
    return 100 / longest if longest else 0.0


def _most_confused(confusion: Sequence[Sequence[float]]) -> float:
    """The largest share of a class that is taken for another, 0 to 1."""
    return max((share for label, row in enumerate(confusion) for k, share in enumerate(row) if k != label), default=0.0)
