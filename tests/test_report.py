import base64
import csv
import io
import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from pipeline.evaluation import wording
from pipeline.evaluation.report import tables
from pipeline.evaluation.report.write import to_markdown, to_text
from pipeline.evaluation.result import Result
from tests.evaluation_inputs import (
    CLASSES,
    FIDELITY,
    Gain,
    evaluate_and_write,
    make_params,
    plant,
    write_helping,
    write_inputs,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A folder of inputs in which 50 % helps, evaluated into `out`."""
    folder = tmp_path_factory.mktemp("inputs")
    return folder, write_helping(folder)[1]


@pytest.fixture(scope="module")
def html(written: tuple[Path, Result]) -> str:
    """The page of it."""
    return (written[0] / "out" / "report.html").read_text(encoding="utf-8")


# ---- files ------------------------------------------------------------------------------------------------


def test_files_depend_on_their_inputs_alone(
    written: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same inputs elsewhere, under a user's own matplotlibrc, give every file byte for byte."""
    folder, _ = written
    monkeypatch.setitem(mpl.rcParams, "axes.linewidth", 5)
    write_helping(tmp_path / "moved")
    names = {"ablation.json", "ablation.csv", "ablation.svg", "report.md", "report.html"}
    assert {path.name for path in (folder / "out").iterdir()} == names
    for name in names:
        assert (folder / "out" / name).read_bytes() == (tmp_path / "moved" / "out" / name).read_bytes(), name


def test_every_figure_is_named(html: str) -> None:
    """What a figure refers to for its name is there, once, with words in it."""
    labels = re.findall(r'aria-labelledby="([^"]+)"', html)
    assert len(labels) == len(set(labels)) == html.count('role="img"') > 0
    for label in labels:
        (words,) = re.findall(rf'<title id="{re.escape(label)}">([^<]+)</title>', html)
        assert words.strip()


def test_generator_and_images_are_named(html: str) -> None:
    """The page says which weights drew which images."""
    for digest in (FIDELITY.generator, FIDELITY.synthetic_digest):
        assert f"<code>{digest:.12}…</code>" in html


def test_near_duplicates_are_shown_where_images_are_not_trained_on(html: str) -> None:
    """In train, and in reserve in brackets; train and reserve themselves have none to count."""
    table = html[html.index("near-duplicates in train (reserve)") :]
    cells = [re.findall(r"<td>([^<]*)</td>", row)[2] for row in re.findall(r"<tr><th scope=\"row\">.*</tr>", table)[:5]]
    assert cells == ["–", "–", "2 (3)", "1 (4)", "5 (7)"]


def test_files_name_no_path_and_no_time(written: tuple[Path, Result]) -> None:
    """No file names the folder it was made in, or the year."""
    folder, _ = written
    for path in (folder / "out").iterdir():
        text = re.sub(r"base64,[^\"]*", "", path.read_text(encoding="utf-8"))
        assert str(folder) not in text
        assert not re.search(r"\b20[2-9]\d-\d\d", text), path.name


def test_csv_is_the_settings(written: tuple[Path, Result]) -> None:
    """ablation.csv holds one row a percent with the numbers of ablation.json."""
    folder, _ = written
    settings = json.loads((folder / "out" / "ablation.json").read_text())["settings"]
    with (folder / "out" / "ablation.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(settings)
    for row, setting in zip(rows, settings, strict=True):
        assert row["replicates"] == "0 1 2 3 4"
        for key in ("synthetic_percent", "test_accuracy_mean", "difference_low", "p_value", "p_value_holm"):
            assert float(row[key]) == setting[key]


def test_terminal_table_holds_the_numbers(written: tuple[Path, Result]) -> None:
    """The text ends with the answer; the chosen row bears the star and fits a terminal."""
    result = written[1]
    lines = to_text(result).splitlines()
    chosen = next(line for line in lines if " *" in line)
    assert chosen.split()[0] == "50"
    assert f"{100 * result.chosen.test_accuracy_mean:.2f}" in chosen
    told = wording.answer(result)
    assert result.verdict_text in told
    assert lines[-len(told) :] == told
    assert max(map(len, lines[:5])) <= 100


# ---- hostile names ----------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Collects tags, ids, text and whatever an HTML page would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.references: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes the tag and its addresses."""
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
                self.loads.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            self.references += re.findall(r"url\(#([^)]*)\)", value or "")

    def handle_data(self, data: str) -> None:
        """Gathers the text."""
        self.text += data


def test_class_names_are_text_in_html(html: str) -> None:
    """A class named <script> is shown, not run."""
    page = Page(html)
    assert "script" not in page.tags
    assert all(name in page.text for name in CLASSES)


def test_class_names_are_text_in_markdown(written: tuple[Path, Result]) -> None:
    """A name with a pipe, a backtick or a tag stays in its cell."""
    rows = [line for line in to_markdown(written[1], CLASSES).splitlines() if line.startswith("| ")]
    row = next(line for line in rows if line.startswith("| a"))
    assert row.startswith("| a\\|b \\`c\\` |")
    assert len(re.findall(r"(?<!\\)\|", row)) == 6
    assert any(line.startswith("| &lt;script&gt;alert(1)&lt;/script&gt; |") for line in rows)


def test_page_loads_nothing(html: str) -> None:
    """The page is one file: no address in src, href, @import or url(), every reference inside it resolves."""
    page = Page(html)
    assert page.loads
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in page.loads)
    assert "@import" not in html
    assert not re.search(r"url\(\s*['\"]?(?!#)", html)
    assert len(page.ids) == len(set(page.ids))
    assert {address[1:] for address in page.loads if address[0] == "#"} | set(page.references) <= set(page.ids)


def test_page_shows_its_pictures(written: tuple[Path, Result], html: str) -> None:
    """Of the replicate to take, samples are in the page unchanged; of its neighbours each class has its own two rows."""
    folder, result = written
    take = result.dataset_replicate
    assert base64.b64encode((folder / f"results/gan/samples-{take}.png").read_bytes()).decode() in html
    whole = np.asarray(Image.open(folder / f"data/scores/{take}/neighbours.png"))
    bands = re.findall(r'base64,([^"]*)" alt="([^"]*): synthetic images above', html)
    assert [unescape(name) for _, name in bands] == list(CLASSES)
    for place, (band, _) in enumerate(bands):
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(band))))
        assert np.array_equal(shown, whole[36 * place : 36 * place + 32])


@pytest.mark.parametrize(
    ("mode", "budget", "gains"),
    [
        ("add", "real_epochs", {25: 0.0, 50: 0.001}),
        ("replace", "steps", {25: 0.004, 50: 0.01}),
    ],
)
def test_every_text_holds_the_question_and_the_numbers(
    tmp_path: Path, mode: str, budget: str, gains: dict[int, float]
) -> None:
    """Mode, budget, power, real-image equivalent, optimism, calibration and errors removed stand in every text."""
    choices = [f"ablation.mode={mode}", f"ablation.budget={budget}", "ablation.synthetic_percent=[25,50]"]
    params = make_params(*choices)
    write_inputs(tmp_path, params, gains.__getitem__)
    result = evaluate_and_write(tmp_path, params, tmp_path / "out")
    page = " ".join(Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8")).text.split())
    markdown = (tmp_path / "out" / "report.md").read_text(encoding="utf-8").replace("\\", "")
    chosen = next(row for row in tables.trust_rows(result) if row[0].endswith(" *"))
    removed = tables.removed_text(result.chosen)
    for text in (page, markdown):
        for words, stated in ((wording.MODES, mode), (wording.BUDGETS, budget)):
            assert [kind for kind in words if words[kind] in text] == [stated]
        assert result.power_text in text
        assert result.real_equivalent.text in text
        assert result.optimism_text in text
        assert all(part in text for part in removed.removesuffix(")").split(" ("))
        assert all(cell.removesuffix(" *") in text for cell in chosen)
    assert all(sentence in to_text(result) for sentence in wording.answer(result))
    assert bool(result.power_text) == (result.verdict == "no_difference")


def test_a_faultless_baseline_gives_no_number(written: tuple[Path, Result]) -> None:
    """Where the baseline makes no error, no share of its errors is invented."""
    no_number = dict.fromkeys(f"errors_removed_percent{end}" for end in ("", "_low", "_high"))
    assert tables.removed_text(written[1].chosen.model_copy(update=no_number)) == "–"
