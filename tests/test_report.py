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
from tests.bad_files import change_json
from tests.evaluation_files import evaluate_and_write, write_helping, write_inputs
from tests.evaluation_inputs import CLASSES, FIDELITY, make_params


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A folder of inputs in which 50 % helps, evaluated into `out`."""
    folder = tmp_path_factory.mktemp("inputs")
    return folder, write_helping(folder)[1]


@pytest.fixture(scope="module")
def html(written: tuple[Path, Result]) -> str:
    """The page of it."""
    return (written[0] / "out" / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def doubtful(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The same where nothing can be told: no ceiling to reach, a GAN that failed, another that lost a class."""
    folder, params = tmp_path_factory.mktemp("inputs"), make_params()
    write_inputs(folder, params, {25: 0.004, 50: 0.01, 100: -0.03}.__getitem__, ceiling=lambda percent: 0.0)
    change_json(str(folder / "data/collected/gan/1/generator.json"), degraded=True)
    shares = dict.fromkeys(CLASSES, 0.9) | {"a|b `c`": 0.01}
    change_json(str(folder / "results/assess/3.json"), gan_test_accuracy_per_class=shares)
    return folder, evaluate_and_write(folder, params, folder / "out")


# ---- files ------------------------------------------------------------------------------------------------


def test_files_depend_on_their_inputs_alone(
    written: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same inputs elsewhere, under a user's own matplotlibrc, give every file byte for byte."""
    folder, _ = written
    monkeypatch.setitem(mpl.rcParams, "axes.linewidth", 5)
    write_helping(tmp_path / "moved")
    names = {"ablation.json", "metrics.json", "ablation.csv", "ablation.svg", "report.md", "report.html"}
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


# ---- what must be said first --------------------------------------------------------------------------------


def test_warnings_stand_above_the_verdict(doubtful: tuple[Path, Result]) -> None:
    """A GAN that failed and a class that it lost: in the terminal, in Markdown and on the page, before any answer."""
    folder, result = doubtful
    page = (folder / "out/report.html").read_text(encoding="utf-8")
    body = page[page.index("<body>") :]
    markdown = (folder / "out/report.md").read_text(encoding="utf-8").replace("\\", "")
    degraded, lost = result.warnings
    assert "replicate 1 " in degraded
    assert "replicate 3 has lost a|b `c`:" in lost
    for text in (to_text(result), markdown, Page(body).text):
        assert text.index(degraded) < text.index(lost) < text.index("This setting cannot tell")


def test_where_nothing_can_be_told_no_figure_suggests_it(doubtful: tuple[Path, Result]) -> None:
    """Headline and reason say so; the real-image equivalent is withheld from texts and figure."""
    folder, result = doubtful
    page = (folder / "out/report.html").read_text(encoding="utf-8")
    assert '<h1 class="cannot_tell">This setting cannot tell</h1>\n<p>Not even fresh real images' in page
    assert "withheld: this setting cannot tell" in page
    for text in (page, (folder / "out/report.md").read_text(encoding="utf-8"), to_text(result)):
        assert "real images alone (95" not in text
        assert "real-image equivalent" not in text
        assert "as good as equal" not in text
    assert "real-image equivalent" not in (folder / "out/ablation.svg").read_text(encoding="utf-8")


def test_controls_rivals_and_replicates_are_tables(doubtful: tuple[Path, Result]) -> None:
    """Page and Markdown hold every control, every rival, and every replicate with its GAN's failure and the star."""
    folder, result = doubtful
    page = unescape((folder / "out/report.html").read_text(encoding="utf-8"))
    markdown = unescape((folder / "out/report.md").read_text(encoding="utf-8").replace("\\", ""))
    rows = [*tables.control_rows(result), *tables.rival_rows(result), *tables.replicate_rows(result)]
    assert len(rows) == 2 * 3 + 6 + 5
    for row in rows:
        assert f"| {' | '.join(row)} |" in markdown
        assert f'<th scope="row">{row[0]}</th>' in page
    names = [row[0] for row in tables.replicate_rows(result)]
    assert names[result.dataset_replicate].endswith(" *")
    assert [("degraded" in name) for name in names] == [False, True, False, False, False]


def test_the_confusion_matrix_is_that_of_the_test_images(html: str) -> None:
    """Every row sums to 100 %; what the planted classifiers get wrong, they take for the next class."""
    (table,) = re.findall(r'<table class="confusion">(.*?)</table>', html, re.DOTALL)
    cells = [re.findall(r"<td[^>]*>([\d.]+)</td>", row) for row in re.findall(r"<tr>.*?</tr>", table)[1:]]
    shares = np.array(cells, np.float64)
    assert shares.shape == (len(CLASSES), len(CLASSES))
    assert shares.sum(1) == pytest.approx(np.full(len(CLASSES), 100), abs=0.11)
    following = np.roll(np.eye(len(CLASSES), dtype=bool), 1, axis=1)
    assert (shares[following] > 0).all()
    assert (shares[~following & ~np.eye(len(CLASSES), dtype=bool)] == 0).all()


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
    """Samples of the replicate to take are in the page unchanged; each class has its two rows of its neighbours."""
    folder, result = written
    take = result.dataset_replicate
    assert base64.b64encode((folder / f"results/gan/samples-{take}.png").read_bytes()).decode() in html
    whole = np.asarray(Image.open(folder / f"data/collected/scores/{take}/neighbours.png"))
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
    controls = "ceiling,placebo,real_only" if budget == "real_epochs" else "ceiling,placebo"
    choices = [f"ablation.mode={mode}", f"ablation.budget={budget}", f"ablation.controls=[{controls}]"]
    params = make_params(*choices, "ablation.synthetic_percent=[25,50]")
    write_inputs(tmp_path, params, gains.__getitem__)
    result = evaluate_and_write(tmp_path, params, tmp_path / "out")
    page = " ".join(Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8")).text.split())
    markdown = (tmp_path / "out" / "report.md").read_text(encoding="utf-8").replace("\\", "")
    chosen = next(row for row in tables.trust_rows(result) if row[0].endswith(" *"))
    removed, setting = tables.removed_text(result.chosen), result.chosen_setting
    over_images = f"{wording.points(setting.difference_images_low)} and "
    assert result.real_equivalent
    for text in (page, markdown):
        for words, stated in ((wording.MODES, mode), (wording.BUDGETS, budget)):
            assert [kind for kind in words if words[kind] in text] == [stated]
        for sentence in (result.controls_text, result.power_text, result.real_equivalent.text, result.optimism_text):
            assert sentence in text
        assert over_images in text
        assert all(part in text for part in removed.removesuffix(")").split(" ("))
        assert all(cell.removesuffix(" *") in text for cell in chosen)
    assert all(sentence in to_text(result) for sentence in wording.answer(result))
    assert bool(result.power_text) == (result.verdict == "equivalent")


def test_a_faultless_baseline_gives_no_number(written: tuple[Path, Result]) -> None:
    """Where the baseline makes no error, no share of its errors is invented."""
    no_number = dict.fromkeys(f"errors_removed_percent{end}" for end in ("", "_low", "_high"))
    assert tables.removed_text(written[1].chosen.model_copy(update=no_number)) == "–"
