"""The docs say what is so: figures are those of results/, and every command, key, path and link exists."""

import json
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from pydantic import BaseModel
from torch.utils.flop_counter import FlopCounterMode

from docs.generate import ROOT, anchor, pages
from pipeline.__main__ import app
from pipeline.classifier.network import Architecture, build_network
from pipeline.orchestration.sweep.sweep import SOURCES
from pipeline.params.schema import Params
from pipeline.shards.png import encode_png

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
CURRENT = [
    page for page in PAGES if page.name not in ("log.md", "CHANGELOG.md")
]  # their commands are those of their commit
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
CHOICES = {"dataset", "profile", "network", "experiment", "preset", "path"}  # what `configure` takes beside block.key


def test_generated_pages_are_current() -> None:
    """`python -m docs.generate` has nothing to write."""
    assert [str(page) for page, text in pages().items() if page.read_text() != text] == []


def test_the_readme_is_short() -> None:
    """One reading: 130 lines."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that is there and, after #, one of its headings."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, heading = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not link.startswith("http"):
            assert target.exists(), link
            assert not heading or heading in _headings(target), link


@pytest.mark.parametrize("page", CURRENT, ids=[str(page.relative_to(ROOT)) for page in CURRENT])
def test_commands_exist(page: Path) -> None:
    """Every `synthmix …` with its options, `python -m …`, import, `make …` and params key that a page names."""
    for text in _code(page):
        for arguments in re.findall(r"(?<!--tag )\bsynthmix\b((?: [^\s&|;#)]+)*)", text):
            assert _is_command(arguments.split()), text
        for module in re.findall(r"python -m ([\w.]+[\w])", text):
            assert find_spec(module), text
        for module, names in re.findall(r"^from (pipeline\S*) import (.*)", text):
            assert all(hasattr(import_module(module), name.strip()) for name in names.split(",")), text
        for target in re.findall(r"\bmake ([a-z-]+)", text):
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), text
        for key in re.findall(r"(?:^|[\s'`])(\w+(?:\.\w+)*)=(?=\S)", text):
            if "configure" in text or "sweep" in text or " -S " in text or key.split(".")[0] in Params.model_fields:
                assert key in {*CHOICES, SOURCES} or _is_key(key) or key.isupper(), f"{key} in {text}"


@pytest.mark.parametrize("page", CURRENT, ids=[str(page.relative_to(ROOT)) for page in CURRENT])
def test_paths_exist(page: Path) -> None:
    """Every file of the repository that a page names."""
    for text in _code(page):
        for path in re.findall(r"(?<![\w./])(?:pipeline|stages|conf|tests|docs|benchmarks|\.ci)/[\w./*-]*\w", text):
            assert list(ROOT.glob(path)), path


def test_diffs_that_contributors_follow_fit_the_code() -> None:
    """Every line that a diff of CONTRIBUTING.md keeps or takes away stands in its file."""
    for block in re.findall(r"```diff\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL):
        for patch in re.split(r"^--- ", block, flags=re.MULTILINE)[1:]:
            old, _, *lines = patch.splitlines()
            known = [""] if old == "/dev/null" else (ROOT / old.removeprefix("a/")).read_text().splitlines()
            kept = [line[1:] for line in lines if line[:1] in (" ", "-")]
            assert [line for line in kept if line not in known] == [], old


def test_the_readme_tells_the_committed_result() -> None:
    """Its line on CIFAR-10, figure by figure, from results/ablation.json."""
    result = _committed()
    chosen, baseline, rival = result["chosen"], result["baseline"], result["over_best_rival"]
    controls = {(entry["control"], entry["synthetic_percent"]): entry for entry in result["controls"]}
    ceiling, placebo = (controls[control, chosen["synthetic_percent"]] for control in ("ceiling", "placebo"))
    best = max(result["controls"], key=lambda entry: entry["test_accuracy_mean"])
    for said in (
        f"{baseline['num_real']:,} real training images",
        f"{result['chosen_percent']} % synthetic",
        f"{_percent(chosen['test_accuracy_mean'])} % test accuracy",
        f"{_percent(baseline['test_accuracy_mean'])} %",
        f"{_difference(chosen)}, n = {chosen['n']} replicates",
        f"{_difference(ceiling)}) at {chosen['synthetic_percent']} %",
        f"{_difference(best)}) at {best['synthetic_percent']} %",
        f"{_difference(placebo)})",
        f"{_difference(rival)})",
    ):
        assert said in _flat(ROOT / "README.md"), said


def test_the_page_on_the_classifier_tells_its_size() -> None:
    """Weights, and arithmetic of a training step in MFLOP an image."""
    page = _flat(ROOT / "docs/classifier.md")
    operations = {}
    for name in ("convnet", "resnet18"):
        network = build_network(Architecture(network=name, width=32, channels=3, num_classes=10), seed=0)
        weights = sum(weight.numel() for weight in network.parameters()) / 1e6
        assert f"| {weights:.{2 if weights < 1 else 1}f} million |" in page
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(2, 3, 32, 32)).sum().backward()
        operations[name] = counter.get_total_flops() / 2e6
    small, large = operations["convnet"], operations["resnet18"]
    assert f"is {large / small:.0f} times the arithmetic" in page
    assert f"({large:,.0f} against {small:.0f} MFLOP an image" in page


def test_the_page_on_the_dataset_tells_the_size_of_an_image() -> None:
    """Bytes of a stored PNG of 32x32 RGB pixels."""
    size = encode_png(np.zeros((1, 32, 32, 3), np.uint8)).shape[1]
    assert f"({size:,} bytes an image at 32x32" in _flat(ROOT / "docs/the-dataset.md")


def _committed() -> dict[str, Any]:
    """results/ablation.json, where it is of the run that the docs speak of."""
    result: dict[str, Any] = json.loads((ROOT / "results/ablation.json").read_text())
    if result["dataset"] != "cifar10":
        pytest.skip("results/ holds another run than the committed one")
    return result


def _difference(entry: dict[str, float]) -> str:
    mean, low, high = (_signed(entry[f"difference_{end}"]) for end in ("mean", "low", "high"))
    return f"{mean} points (95 % interval {low} to {high}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}"


def _signed(fraction: float) -> str:
    text = f"{100 * fraction:+.2f}"
    return text[1:] if float(text) == 0 else text


def _flat(page: Path) -> str:
    return " ".join(page.read_text().split())


def _headings(page: Path) -> set[str]:
    return {anchor(title) for title in re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)}


def _code(page: Path) -> Iterator[str]:
    """Lines of fenced blocks, and inline code."""
    prose, *fenced = re.split(r"^```", page.read_text(), flags=re.MULTILINE)
    for number, part in enumerate(fenced):
        if number % 2:
            prose += part
        else:
            yield from part.replace("`", "").splitlines()
    yield from (" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose))


def _is_command(words: list[str]) -> bool:
    """Whether `words` lead to a sub-command, or to a group of them, that has the options among them."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and words and words[0] != "…":
        word, *words = words
        if word not in command.commands:
            return False
        command = command.commands[word]
    options = {name for param in command.params for name in param.opts} | {"--help"}
    return all(word.split("=")[0] in options for word in words if word.startswith("--"))


def _is_key(key: str) -> bool:
    block: Any = Params
    for part in key.split("."):
        if not (isinstance(block, type) and issubclass(block, BaseModel) and part in block.model_fields):
            return False
        block = block.model_fields[part].annotation
    return True
