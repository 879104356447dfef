import json
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from pipeline.tracking import backfill, store
from pipeline.tracking.execution import store_uri
from pipeline.tracking.view import ALL, ONE, view_url
from tests.tracking_inputs import open_parent, read_params, write_results

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TRIES = 5


def browse(address: str, folder: Path, *awaited: str) -> str:
    """The page that MLflow makes of an address, opened again where a busy machine answered the browser too late."""
    assert CHROMIUM is not None
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=30000", "--dump-dom"]
    place = [f"--user-data-dir={folder / 'profile'}", "--window-size=1400,900"]
    for _ in range(TRIES):
        done = subprocess.run(
            [CHROMIUM, *flags, *place, address], capture_output=True, text=True, timeout=120, check=True
        )
        if all(text in done.stdout for text in awaited):
            break
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine to open the pages in")
@pytest.mark.usefixtures("server")
def test_pages_show_what_users_look_for(repo: Path) -> None:
    """A real server in a real browser: accuracy against percent, seeds grouped; two executions in one chart.

    Comparing cells offers what tells them apart: percent and seed.
    """
    write_results()
    for seed in (0, 1):
        params = read_params()
        params["gan"]["seed"] = seed
        Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        backfill.sync(params)
    parent = open_parent()
    groups = ("Group: 0", "Group: 50", "Group: 100")
    charts = ("test_accuracy_mean vs test_accuracy_low vs test_accuracy_high", "synthetic_percent vs. test_accuracy")
    page = browse(view_url(store_uri(), parent.experiment.id, ONE), repo, *groups, *charts)
    assert not [text for text in (*groups, *charts) if text not in page]
    page = browse(view_url(store_uri(), parent.experiment.id, ALL), repo, "(test_accuracy_mean)")
    assert page.count("(test_accuracy_mean)") == 2  # of the legend
    cells = [run.info.run_id for run in store.children(parent) if run.data.tags["stage"] == "train_classifier"]
    runs, experiments = (quote(json.dumps(ids)) for ids in (cells, [parent.experiment.id]))
    page = browse(f"{store_uri()}/#/compare-runs?runs={runs}&experiments={experiments}", repo, "axis-title")
    assert {"synthetic_percent", "seed"} < set(re.findall(r'class="axis-title"[^>]*>([^<]*)<', page))
