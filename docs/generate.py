"""What code decides in the docs: `python -m docs.generate` writes it, `--check` ends with 1 if a page is not current.

README.md and docs/architecture.md get the tree, from the docstrings of modules; docs/params.md the schema of
params.yaml and docs/results.md those of results/ablation.json and of a sweep's file, from their pydantic models;
docs/where-it-pays.md what results/where_it_pays.json holds.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from pipeline.evaluation.result import Result
from pipeline.orchestration.sweep.report import page_sections
from pipeline.orchestration.sweep.result import Sweep, read_sweep
from pipeline.params.schema import Params

ROOT = Path(__file__).resolve().parents[1]
WHERE_IT_PAYS = ROOT / "results/where_it_pays.json"
GROUND = ("images", "randomness", "device", "files")
# The line of what is no module.
NOTES = {
    "params.yaml": "every value in force, written by `synthmix configure`",
    "dvc.yaml": "the graph: who reads and writes what; the only file that knows paths",
    "conf": "what params.yaml is composed from",
    "pipeline": "the package `synthmix`",
    "sources": "the real images: CIFAR-10, digits, folders, Parquet or lists of your own; the split",
    "shards": "the dataset's format: PNGs in Parquet, manifest, card, scores",
    "gan": "the generator: recipes, training, health, sampling",
    "classifier": "the classifiers, their training, and one cell of the grid",
    "assessment": "what the synthetic images are like: fidelity, memorisation, probes of a GAN in training",
    "extend": "new classes from few images: a generator's rows of them, and classifiers of all classes",
    "evaluation": "what the synthetic images are worth: statistics, learning curve, report",
    "params": "params.yaml: its schema, reading it, composing it from conf/",
    "runtime": "entry point, errors, signals, resources, progress, checkpoints, atomic writes, DVC",
    "dataset": "what you do with a finished dataset: verify, regenerate, export, torch datasets",
    "tracking": "MLflow, a view of the files; models to serve",
    "orchestration": "cells side by side, sweeps, the demo, repair of what a killed DVC leaves",
    "stages": "one script a stage, 15 to 40 lines",
    "benchmarks": "one module a claim; each prints a ratio against a limit or a peer",
    "tests": "as pipeline/; tests/recovery plants faults",
    "docs": "one page a question; generate.py writes what code decides",
    "results": "what the committed dvc.lock produced",
}
# The unit of a key, by the first pattern that its name or its text has.
UNITS = {
    r"^\w*percent": "%",
    r"_points\b|\bin points\b": "points",
    r"\bin pixels\b": "pixels",
    r"\bin nats\b": "nats",
    r"^steps\b|_every\b": "steps",
    r"^(num_(images|corrupted|real|synthetic)\w*|\w+_images|(train|val|test|batch)_size)\b": "images",
    r"\b[Ff]raction\b": "fraction",
}

Schema = dict[str, Any]


def pages() -> dict[Path, str]:
    """Every page that holds generated text, as it should be."""
    return {
        ROOT / "README.md": _between_marks(ROOT / "README.md", folder_tree()),
        ROOT / "docs/architecture.md": _between_marks(ROOT / "docs/architecture.md", file_tree()),
        ROOT / "docs/params.md": _between_marks(ROOT / "docs/params.md", key_tables(Params)),
        ROOT / "docs/results.md": _between_marks(ROOT / "docs/results.md", result_tables()),
        ROOT / "docs/where-it-pays.md": _between_marks(ROOT / "docs/where-it-pays.md", where_it_pays()),
    }


def result_tables() -> str:
    """The keys of ablation.json, then those of a sweep's file, whose names all begin with `sweep`."""
    seen: dict[str, str] = {}
    return f"{key_tables(Result, seen=seen)}\n\n{key_tables(Sweep, 'sweep', seen=seen)}"


def where_it_pays() -> str:
    """Answer, figure and table of results/where_it_pays.json, as far as it was run."""
    if not WHERE_IT_PAYS.exists():
        return f"`{WHERE_IT_PAYS.relative_to(ROOT)}` is not there yet; the command below writes it."
    return "\n\n".join(page_sections(read_sweep(WHERE_IT_PAYS), figure="../results/where_it_pays.svg"))


def folder_tree() -> str:
    """The tree with a line a folder, and one for each file on the ground floor of pipeline/."""
    decisive, others = _folders()
    rows = [(name, summary(ROOT / name.rstrip("/"))) for name in ("params.yaml", "dvc.yaml", "conf/")]
    rows.append(("pipeline/", "these decide bytes of the outputs, and are in the `deps` of dvc.yaml:"))
    rows += [(f"  {name}.py", summary(ROOT / f"pipeline/{name}.py")) for name in GROUND]
    rows += [(f"  {folder.name}/", summary(folder)) for folder in decisive]
    rows.append(("", "these cannot:"))
    rows += [(f"  {folder.name}/", summary(folder)) for folder in others]
    rows += [(f"{name}/", summary(ROOT / name)) for name in ("stages", "benchmarks", "tests", "docs", "results")]
    return "\n".join(["```", *(f"{name:17}{text}".rstrip() for name, text in rows), "```"])


def file_tree() -> str:
    """The tree with a line a Python file, a list a folder."""
    decisive, others = _folders()
    folders = [ROOT / "pipeline", *decisive, *others, ROOT / "stages", ROOT / "benchmarks"]
    return "\n\n".join(_file_list(folder) for folder in folders)


def summary(path: Path) -> str:
    """First line of a module's docstring, or the note of what is no module.

    Raises:
        SystemExit: it has none.
    """
    docstring = ast.get_docstring(ast.parse(path.read_text())) if path.suffix == ".py" else NOTES.get(path.name)
    if not docstring:
        sys.exit(
            f"{path.relative_to(ROOT)}: the docs' tree needs a first line of a docstring, or a note in docs/generate.py"
        )
    return docstring.splitlines()[0].rstrip(".:")


def key_tables(model: type[BaseModel], key: str = "", *, seen: dict[str, str] | None = None) -> str:
    """A Markdown table for `model` and for every model within it: key, type, unit, range, meaning.

    Args:
        model: of a file.
        key: what stands before its keys.
        seen: the models that have their table already, with their keys; grows.
    """
    root = model.model_json_schema()
    return "\n\n".join(_tables(root, root, key, {} if seen is None else seen))


def _tables(block: Schema, root: Schema, key: str, seen: dict[str, str]) -> Iterator[str]:
    """The table of a block, then those of the blocks in it, each where it comes first."""
    rows, inner = [], []
    for name, value in block["properties"].items():
        path = f"{key}.{name}" if key else name
        reference, mark = _reference(value)
        meaning = value.get("description", "")
        if reference and reference not in seen:
            seen[reference] = path + mark
            inner.append((root["$defs"][reference], path + mark))
        if reference:
            meaning = meaning or root["$defs"][reference].get("description", "")
            meaning = f"{meaning} Keys: [`{seen[reference]}`](#{anchor(seen[reference])}).".strip()
        rows.append(_row(f"`{name}`", _type(value), _unit(name, value), _range(value), meaning))
    title = f"## `{key}`\n\n" if key else ""
    head = "| key | type | unit | range | meaning |\n|---|---|---|---|---|\n"
    yield f"{title}{_prose(block.get('description', ''))}\n\n{head}" + "\n".join(rows)
    for definition, path in inner:
        yield from _tables(definition, root, path, seen)


def _reference(value: Schema) -> tuple[str, str]:
    """Name of the model that a value holds, and how it holds it: itself, a list (`[]`) or by name (`.*`)."""
    for option in value.get("anyOf", [value]):
        for held, mark in ((option, ""), (option.get("items"), "[]"), (option.get("additionalProperties"), ".*")):
            if isinstance(held, dict) and "$ref" in held:
                return held["$ref"].rsplit("/", 1)[-1], mark
    return "", ""


def _type(value: Schema) -> str:
    """The JSON type in words."""
    if "anyOf" in value:
        return " or ".join(_type(option) for option in value["anyOf"])
    if "$ref" in value:
        return "block"
    if "enum" in value or "const" in value:
        return ", ".join(f"`{choice}`" for choice in value.get("enum", [value.get("const")]))
    if value.get("type") == "array":
        return f"list of {_type(value['items'])}" if "items" in value else "list"
    if value.get("type") == "object":
        held = value.get("additionalProperties")
        return f"{_type(held)} by name" if isinstance(held, dict) else "block"
    return {"string": "text"}.get(value["type"], str(value["type"]))


def _range(value: Schema) -> str:
    """Bounds of a number, of a list's items, and of its length."""
    value = value | value.get("items", {}) if isinstance(value.get("items"), dict) else value
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    parts = [f"{sign} {value[bound]:,}" for bound, sign in signs.items() if bound in value]
    if "multipleOf" in value:
        parts.append(f"multiple of {value['multipleOf']}")
    if "minItems" in value:
        parts.append(f"length ≥ {value['minItems']}")
    return ", ".join(parts)


def _unit(name: str, value: Schema) -> str:
    """The unit that the name or the description of a number says."""
    if not re.search("integer|number", _type(value)):
        return ""
    said = f"{name} {value.get('description', '')}"
    return next((unit for pattern, unit in UNITS.items() if re.search(pattern, said)), "")


def _row(*cells: str) -> str:
    return "| " + " | ".join(_prose(cell).replace("|", "\\|") for cell in cells) + " |"


def _prose(text: str) -> str:
    return " ".join(text.split())


def anchor(title: str) -> str:
    """The fragment that leads to a heading of a Markdown page."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _folders() -> tuple[list[Path], list[Path]]:
    """Folders of pipeline/ that are in the deps of a stage, in their order there, and the others."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    named = dict.fromkeys(ROOT / dep for stage in stages for dep in stage.get("deps", []))
    decisive = [path for path in named if path.parent == ROOT / "pipeline" and path.is_dir()]
    others = sorted(path.parent for path in ROOT.glob("pipeline/*/__init__.py") if path.parent not in decisive)
    return decisive, others


def _file_list(folder: Path) -> str:
    """Every module of a folder and, where they are no packages of the first floor, of the folders in it."""
    name = folder.relative_to(ROOT)
    files = folder.glob("*.py") if folder == ROOT / "pipeline" else folder.rglob("*.py")
    modules = sorted(path for path in files if path.name != "__init__.py")
    lines = [f"- `{path.relative_to(folder)}`: {summary(path)}" for path in modules]
    title = f"### {name}/\n\n" + ("" if folder == ROOT / "pipeline" else f"{_sentence(summary(folder))}\n\n")
    return title + "\n".join(lines)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _between_marks(page: Path, text: str) -> str:
    """The page with `text` between its two marks."""
    before, first, rest = page.read_text().partition("<!-- generated -->\n")
    _, last, after = rest.partition("<!-- /generated -->")
    if not (first and last):
        sys.exit(f"{page.relative_to(ROOT)}: lacks the marks <!-- generated --> and <!-- /generated -->")
    return f"{before}{first}{text}\n{last}{after}"


def main() -> None:
    """Writes the pages that are not current or, with `--check`, names them."""
    check = "--check" in sys.argv
    stale = {page: text for page, text in pages().items() if page.read_text() != text}
    for page, text in stale.items():
        if not check:
            page.write_text(text)
        print(f"{page.relative_to(ROOT)}: {'not current; run python -m docs.generate' if check else 'written'}")
    sys.exit(1 if check and stale else 0)


if __name__ == "__main__":
    main()
