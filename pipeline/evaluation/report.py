"""The story of a result for people: table, CSV, Markdown, and one HTML page that needs no network."""

import base64
import csv
import io
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from pipeline.evaluation import tables
from pipeline.evaluation.history import History, history_svgs, read_history
from pipeline.evaluation.inputs import read_dataset, read_picture
from pipeline.evaluation.plots import ablation_svg, accuracy_svg, inline, learning_curve_svg
from pipeline.evaluation.statistics import headline, points
from pipeline.files import escape_markdown, write_json
from pipeline.params.schema import Params
from pipeline.runtime.atomic import write_bytes

LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "pyarrow")


@dataclass(frozen=True)
class Evidence:
    """What the report shows besides the result.

    Attributes:
        dataset: content of dataset.json.
        params: all values of params.yaml, as YAML.
        gan_samples: PNG, synthetic images of every class.
        neighbours: PNG, synthetic images beside their nearest real ones.
        history: columns of train_gan.csv.
        versions: of Python and the libraries that computed the numbers.
    """

    dataset: dict[str, Any]
    params: str
    gan_samples: bytes
    neighbours: bytes
    history: History
    versions: dict[str, str]


def read_evidence(params: Params, dataset: Path, gan_samples: Path, gan_history: Path, scores: Path) -> Evidence:
    """Collects what the report shows.

    Raises:
        UserError: a file is missing or damaged; the line names the stage that writes it.
    """
    return Evidence(
        dataset=read_dataset(dataset),
        # from the values, not from the file: its comments are no input of a stage
        params=yaml.safe_dump(params.model_dump(), sort_keys=False),
        gan_samples=read_picture(gan_samples, "train_gan"),
        neighbours=read_picture(scores / "neighbours.png", "assess"),
        history=read_history(gan_history),
        versions={"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
    )


def write_report(out: Path, result: dict[str, Any], evidence: Evidence) -> list[Path]:
    """Writes ablation.json, ablation.csv, ablation.svg, report.md and report.html; returns their paths."""
    texts = {
        "ablation.csv": to_csv(result),
        "ablation.svg": ablation_svg(result),
        "report.md": to_markdown(result, evidence.dataset),
        "report.html": to_html(result, evidence),
    }
    write_json(out / "ablation.json", rounded(result))
    for name, text in texts.items():
        write_bytes(out / name, text.encode())
    return [out / "ablation.json", *(out / name for name in texts)]


def to_csv(result: dict[str, Any]) -> str:
    """The settings, one row a percent; accuracies as fractions, seeds separated by spaces."""
    columns = [key for key, value in result["settings"][0].items() if not isinstance(value, list)]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*columns, "seeds"])
    for setting in rounded(result["settings"]):
        writer.writerow([*(setting[key] for key in columns), " ".join(map(str, setting["seeds"]))])
    return buffer.getvalue()


def to_text(result: dict[str, Any]) -> str:
    """Table, verdict and worth for a terminal."""
    rows = [[row[place] for place in tables.TERMINAL] for row in (tables.SETTINGS, *tables.setting_rows(result))]
    return "\n".join([*align(rows), "* best on val", "", *tables.answer(result)])


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line a row, columns flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def to_markdown(result: dict[str, Any], dataset: dict[str, Any]) -> str:
    """The report for a pull request or a repository page; text from data is escaped."""
    parts = [
        f"## {headline(result['verdict'], result['mode'])}",
        *map(escape_markdown, tables.answer(result)),
        "![Test accuracy against synthetic share, and the learning curve](ablation.svg)",
        md_table(tables.SETTINGS, tables.setting_rows(result)),
        *map(escape_markdown, tables.setup_sentences(result)),
        "### Trust and damage",
        escape_markdown(tables.trust_note(result)),
        md_table(tables.TRUST, tables.trust_rows(result)),
        "### The synthetic images",
        escape_markdown(tables.fidelity_note(result)),
        md_table(tables.FIDELITY, tables.fidelity_rows(result)),
        "<details><summary>Every class, every damage</summary>",
        escape_markdown(tables.class_note(result)),
        md_table(tables.CLASSES, tables.class_rows(result, dataset["class_names"])),
        md_table(tables.CORRUPTIONS, tables.corruption_rows(result)),
        "</details>",
        "### Reproduce",
        "\n".join(["```sh", *tables.commands(result), "```"]),
    ]
    return "\n\n".join(parts) + "\n"


def to_html(result: dict[str, Any], evidence: Evidence) -> str:
    """The whole story as one page: figures inline, images embedded, nothing loaded from anywhere."""
    jinja = Environment(
        loader=PackageLoader("pipeline.evaluation", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawn = {
        "accuracy": accuracy_svg(result),
        "curve": learning_curve_svg(result),
        **history_svgs(evidence.history),
    }
    return jinja.get_template("report.html.jinja").render(
        result=result,
        evidence=evidence,
        headline=headline(result["verdict"], result["mode"]),
        chosen=next(s for s in result["settings"] if s["synthetic_percent"] == result["chosen_percent"]),
        scale=_scale,
        bands=neighbour_bands(evidence.neighbours, evidence.dataset),
        figures={name: Markup(inline(svg, name)) for name, svg in drawn.items()},  # noqa: S704 - drawn by us
        samples=base64.b64encode(evidence.gan_samples).decode(),
        tables=tables,
        points=points,
    )


def neighbour_bands(picture: bytes, dataset: dict[str, Any]) -> list[tuple[str, str]]:
    """Each class's name and its two rows of the picture that `assess` drew, as PNG in base64."""
    whole, size = Image.open(io.BytesIO(picture)), dataset["image_size"]
    bands = []
    for place, name in enumerate(dataset["class_names"]):
        top = place * (2 * size + size // 4)  # two rows of images, a white line of a quarter
        buffer = io.BytesIO()
        whole.crop((0, top, whole.width, top + 2 * size)).save(buffer, "PNG")
        bands.append((name, base64.b64encode(buffer.getvalue()).decode()))
    return bands


def _scale(changes: dict[str, dict[str, float]]) -> float:
    """What to multiply fractions by so that the longest end of a table's intervals is drawn at 100."""
    longest = max(abs(change[f"difference_{end}"]) for change in changes.values() for end in ("low", "high"))
    return 100 / longest if longest else 0.0


def rounded(content: Any) -> Any:
    """`content` with every float at six decimals, as it is written."""
    if isinstance(content, float):
        return round(content, 6)
    if isinstance(content, dict):
        return {key: rounded(value) for key, value in content.items()}
    return [rounded(value) for value in content] if isinstance(content, list) else content


def md_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; what stands in `rows` is escaped."""
    lines = [header, ["---"] * len(header), *([escape_markdown(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
