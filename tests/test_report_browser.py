import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation_files import write_helping

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HEIGHT = 900

# a frame, because a browser's own window is never as narrow as a phone
PROBE = """<body style="margin:0">
<iframe id="f" style="border:0;width:{width}px;height:{height}px" srcdoc="{page}"></iframe>
<script>
document.getElementById("f").onload = function () {{
  const page = this.contentDocument, bottom = (name) => page.querySelector(name).getBoundingClientRect().bottom;
  document.title = JSON.stringify({{
    width: page.documentElement.scrollWidth,
    pictures: [...page.images].map((image) => image.complete && image.naturalWidth > 0 && image.alt.length > 0),
    figures: [...page.querySelectorAll("figure > svg")].map((figure) => figure.getBoundingClientRect().right),
    titles: [...page.querySelectorAll("figure > svg > title")].map((title) => title.textContent),
    beyond: [...page.querySelectorAll(".scroll")].map((table) => table.scrollWidth - table.clientWidth),
    ends: [bottom("h1"), bottom(".tile:nth-child(4) b"), bottom(".first svg")],
  }});
}};
</script>"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a result in which 50 % helps."""
    folder = tmp_path_factory.mktemp("report")
    write_helping(folder)
    return (folder / "out" / "report.html").read_text(encoding="utf-8")


def measure(page: str, width: int, folder: Path) -> dict[str, Any]:
    """What a browser without a network makes of `page` in a window of `width` pixels."""
    assert CHROMIUM is not None
    probe = folder / "probe.html"
    probe.write_text(PROBE.format(width=width, height=HEIGHT, page=escape(page)), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"]
    command = [CHROMIUM, *flags, f"--user-data-dir={folder / 'profile'}", f"--window-size={max(width, 600)},{HEIGHT}"]
    shown = subprocess.run([*command, probe.as_uri()], capture_output=True, text=True, timeout=120, check=True).stdout
    title = re.search("<title>(.*?)</title>", shown)
    assert title, "the page did not load"
    found: dict[str, Any] = json.loads(unescape(title[1]))
    return found


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine to open the page in")
@pytest.mark.parametrize("width", [390, 1280])
def test_page_reads_on_a_phone_and_on_a_desk(report: str, width: int, tmp_path: Path) -> None:
    """Nothing sticks out to the right, every picture is drawn and described.

    Verdict, curve and real-image equivalent meet the eye first. On a desk no table hides a column.
    """
    seen = measure(report, width, tmp_path)
    assert seen["width"] <= width
    assert all(right <= width for right in seen["figures"])
    assert len(seen["pictures"]) == 2 + 4 + 12  # samples and real images, neighbours of each class, mistakes
    assert all(seen["pictures"])
    assert len(seen["titles"]) == len(seen["figures"]) == 5
    heading, equivalent, curve = seen["ends"]
    first_screen = 720 if width > 1000 else 664  # of a small phone, its browser's own bars taken off
    assert heading < curve < first_screen
    assert equivalent < first_screen
    if width > 1000:
        assert seen["beyond"] == [0] * 10
