"""MLflow's own pages, opened in a real browser from a real server, show what users look for: no state is planted."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.tracking.commands import chart_url, experiment_url
from pipeline.tracking.execution import store_uri
from tests.tracking_inputs import change_params, open_parent, sync, write_results

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TRIES = 5


def browse(address: str, folder: Path, awaited: str) -> list[str]:
    """The texts of the page that MLflow makes of an address, opened again where a busy machine answered too late."""
    assert CHROMIUM is not None
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=120000", "--dump-dom"]
    view = [f"--user-data-dir={folder / 'profile'}", "--window-size=1400,3000"]
    for _ in range(TRIES):
        done = subprocess.run(
            [CHROMIUM, *flags, *view, address], capture_output=True, text=True, timeout=120, check=True
        )
        texts = re.findall(r">([^<>]+)<", done.stdout)
        if awaited in " ".join(texts):
            break
    return texts


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine to open the pages in")
@pytest.mark.usefixtures("server")
def test_pages_show_what_users_look_for(repo: Path) -> None:
    """The address of `track ui` charts accuracy against percent; the list of runs charts one line an execution."""
    for steps in (8, 9):
        change_params(gan={"steps": steps})
        write_results()
        sync()
    parent = open_parent()
    curve = f"{parent.execution.name} (test_accuracy_mean)"
    texts = browse(chart_url(store_uri(), parent.experiment.id, parent.run_id), repo, curve)
    assert {"difference", "real_equivalent", "Step"} < set(texts)
    last = texts[texts.index("test_accuracy_mean") :]
    assert [text for text in last if text in ("0", "50", "100")] == ["0", "50", "100"]  # the axis
    texts = browse(f"{experiment_url(store_uri(), parent.experiment.id)}?compareRunsMode=CHART", repo, curve)
    assert len([text for text in texts if "(test_accuracy_mean)" in text]) == 2  # of the legend
