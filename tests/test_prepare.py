"""The stage prepare: the splits of every replicate on disk, and the test images that all share."""

import shutil
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.params.compose import write_params
from pipeline.params.graph import fit_graph
from pipeline.params.load import load_all_params
from pipeline.shards.reader import read_images
from pipeline.sources.description import read_description
from tests.bad_files import Check, run
from tests.project import make_project
from tests.project import run as run_in
from tests.shard_inputs import tree

PREPARED = Path("data/prepared")
DRAWN = ("train", "reserve", "val", "select")


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with 22 pictures of two classes, of which 4 + 4 + 4 + 8 are asked for, by replicates 0 and 3."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIPELINE_TRACKING", "off")
    monkeypatch.delenv("DVC_STAGE", raising=False)
    noise = np.random.default_rng(0).integers(0, 256, (22, 16, 16, 3), np.uint8)
    for number, pixels in enumerate(noise):
        file = Path("pictures", ("ant", "bee")[number % 2], f"{number}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    ask()


def ask(*choices: str) -> None:
    """Writes params.yaml."""
    sizes = [f"dataset.{split}_size={size}" for split, size in
             {"test": 4, "val": 4, "select": 4, "train": 8}.items()]  # fmt: skip
    write_params(Path("params.yaml"), [
        "dataset=image_folder", "dataset.path=pictures", "dataset.image_size=16", "profile=demo", *sizes,
        "ablation.replicates=[0,3]", "ablation.real_percent=[100]", *choices,
    ])  # fmt: skip


def contents(folder: Path) -> set[bytes]:
    """The pixels of each image."""
    return {image.tobytes() for image in read_images(folder).images}


@pytest.mark.usefixtures("configure")
def test_every_replicate_has_its_own_draw_and_all_one_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds every image but those of test, in splits that share none; dataset.json says what lies where."""
    assert run("prepare", monkeypatch) == 0
    assert sorted(path.name for path in PREPARED.iterdir()) == ["0", "3", "test"]
    test = contents(PREPARED / "test")
    for folder in (PREPARED / "0", PREPARED / "3"):
        splits = [test, *(contents(folder / split) for split in DRAWN)]
        assert [len(images) for images in splits] == [4, 8, 2, 4, 4]
        assert not any(first & second for first, second in combinations(splits, 2))
        digests = {split: read_images(folder / split).digest() for split in DRAWN}
        digests["test"] = read_images(PREPARED / "test").digest()
        assert read_description(folder / "dataset.json").digests == digests
    for split in DRAWN:
        assert contents(PREPARED / "0" / split) != contents(PREPARED / "3" / split)


@pytest.mark.usefixtures("configure")
def test_replicates_may_share_one_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ablation.replicate_split all splits are the same bytes for each, and test is what it was."""
    assert run("prepare", monkeypatch) == 0
    test = tree(PREPARED / "test")
    ask("ablation.replicate_split=false")
    assert run("prepare", monkeypatch) == 0
    assert tree(PREPARED / "0") == tree(PREPARED / "3")
    assert tree(PREPARED / "test") == test


@pytest.mark.usefixtures("configure")
def test_a_ceiling_without_reserve_is_refused(check_refusal: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any training, in one line and with nothing written; without that control the same params will do."""
    ask("dataset.train_size=10")
    check_refusal("prepare", "ablation.controls has ceiling", "lower dataset.train_size")
    ask("dataset.train_size=10", "ablation.controls=[placebo]")
    assert run("prepare", monkeypatch) == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("configure")
def test_other_pictures_are_split_anew(tmp_path: Path) -> None:
    """By DVC itself: after a picture came, changed or went, and not after one was only touched."""
    project, values = make_project(tmp_path / "project"), Path("params.yaml").read_text(encoding="utf-8")
    fit_graph(project / "dvc.yaml", load_all_params())
    (project / "params.yaml").write_text(values.replace("path: pictures", f"path: {tmp_path / 'pictures'}"))
    picture, other = tmp_path / "pictures/ant/0.png", tmp_path / "pictures/ant/99.png"
    changes: list[Callable[[], object]] = [
        lambda: None,  # the first run
        picture.touch,
        lambda: shutil.copy(tmp_path / "pictures/bee/1.png", other),
        lambda: Image.new("RGB", (16, 16), "red").save(picture),
        other.unlink,
    ]
    runs = []
    for change in changes:
        change()
        done = run_in(project, sys.executable, "-m", "dvc", "repro", "prepare", PYTHONPATH=str(project))
        assert done.returncode == 0, done.stdout
        runs.append("Running stage 'prepare'" in done.stdout)
    assert runs == [True, False, True, True, True]
