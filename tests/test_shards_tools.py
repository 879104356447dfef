"""What one does with a finished dataset: look at a row, prove rows, turn it into another form."""

import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.datasets import ImageFolder

from pipeline.dataset.export import Form, export
from pipeline.dataset.regenerate import compare_rows, find_row
from pipeline.images import Indices, LabelledImages, Pixels
from pipeline.runtime.background import BackgroundWorker
from pipeline.runtime.errors import UserError
from pipeline.shards import writer
from pipeline.shards.reader import read_column, read_images
from tests.shard_inputs import NAMES, drawing, labelled, tree, write


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`synthmix dataset`, as a user runs it."""
    words = [sys.executable, "-m", "pipeline", "dataset", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_a_sample_is_the_row_of_its_index(root: Path, images: LabelledImages, tmp_path: Path) -> None:
    """`sample --index` writes that row as a PNG and prints its label; an index that is not there is one line."""
    done = command("sample", root, "--index", 21, "--out", tmp_path / "x.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert "label 1 (dög), row 5 of" in done.stdout
    with Image.open(tmp_path / "x.png") as image:
        assert (np.asarray(image) == images.images[21]).all()
    failed = command("sample", root, "--index", 40, "--out", tmp_path / "y.png")
    assert (failed.returncode, failed.stderr.count("\n")) == (2, 1)
    assert "no row has index 40" in failed.stderr
    assert not (tmp_path / "y.png").exists()


def test_rows_are_drawn_again_and_compared(root: Path, images: LabelledImages) -> None:
    """Equal pixels are no problem; one level in one pixel is, unless it is tolerated; another label always is."""
    assert compare_rows(root / "data", 40, drawing(images), tolerance=0).problems == []
    shifted = LabelledImages(images.images.copy(), images.labels, NAMES)
    shifted.images[9, 0, 0, 0] ^= 1
    found = compare_rows(root / "data", 40, drawing(shifted), tolerance=0)
    assert (found.rows, found.fraction, found.largest) == (40, 1 / images.images.size, 1)
    assert [problem.split(": ")[1] for problem in found.problems] == ["row 1 (index 9)"]
    assert compare_rows(root / "data", 40, drawing(shifted), tolerance=1).problems == []
    other = LabelledImages(images.images, (images.labels + 1) % 4, NAMES)
    assert len(compare_rows(root / "data", 7, drawing(other), tolerance=255).problems) == 7


def test_a_row_is_found_wherever_it_lies(root: Path, images: LabelledImages) -> None:
    """Every index leads to its image, over shards and row groups."""
    for i in range(40):
        found = find_row(root / "data", i)
        assert (found.image == images.images[i]).all()
        assert (found.label, found.row, found.file.name[6:11]) == (images.labels[i], i % 8, f"{i // 8:05d}")


def test_image_folders_are_read_by_torchvision(root: Path, images: LabelledImages, tmp_path: Path) -> None:
    """`export --to image_folder` gives what torchvision's ImageFolder reads, each image in its class."""
    assert command("export", root, "--to", "image_folder", "--out", tmp_path / "folders").returncode == 0
    found = ImageFolder(str(tmp_path / "folders"))
    assert found.classes == sorted(NAMES)
    for file, number in found.samples:
        index = int(Path(file).stem)
        assert found.classes[number] == NAMES[images.labels[index]]
        with Image.open(file) as image:
            assert (np.asarray(image) == images.images[index]).all()
    assert len(found.samples) == 40


def test_a_tar_pairs_images_and_labels(root: Path, images: LabelledImages, tmp_path: Path) -> None:
    """`webdataset`: <index>.png beside <index>.cls, in order, without owner or time."""
    export(root / "data", "webdataset", tmp_path / "set.tar")
    with tarfile.open(tmp_path / "set.tar") as tar:
        members = tar.getmembers()
        assert [member.name for member in members[:3]] == ["00000000.png", "00000000.cls", "00000001.png"]
        assert {(member.mtime, member.uid, member.uname) for member in members} == {(0, 0, "")}
        labels = [tar.extractfile(member).read() for member in members[1::2]]  # type: ignore[union-attr] # all files
        with Image.open(tar.extractfile(members[14])) as image:  # type: ignore[arg-type] # a file
            assert (np.asarray(image) == images.images[7]).all()
    assert [int(label) for label in labels] == images.labels.tolist()


def test_a_torch_file_has_the_airbench_shape(root: Path, images: LabelledImages, tmp_path: Path) -> None:
    """`pt`: a dict of images (uint8 NHWC), labels and classes that torch.load takes with weights_only."""
    export(root / "data", "pt", tmp_path / "set.pt")
    found = torch.load(tmp_path / "set.pt", weights_only=True)
    assert (found["images"].numpy() == images.images).all()
    assert found["images"].dtype == torch.uint8
    assert found["labels"].tolist() == images.labels.tolist()
    assert found["classes"] == list(NAMES)


@pytest.mark.parametrize("form", ["image_folder", "webdataset", "pt"])
def test_an_export_is_whole_or_absent(root: Path, tmp_path: Path, form: Form) -> None:
    """Two exports are equal to the byte; a path that exists and a truncated shard are one line and leave nothing."""
    places = [tmp_path / name / "set" for name in "ab"]
    for place in places:
        export(root / "data", form, place)
    assert len({str(tree(place)) if place.is_dir() else place.read_bytes().hex() for place in places}) == 1
    with pytest.raises(UserError, match="is there already"):
        export(root / "data", form, places[0])
    shard = sorted((root / "data").iterdir())[-1]
    shard.write_bytes(shard.read_bytes()[:-50])
    with pytest.raises(UserError, match="not a readable Parquet file"):
        export(root / "data", form, tmp_path / "c" / "set")
    assert list((tmp_path / "c").iterdir()) == []


def test_a_class_that_cannot_name_a_folder_is_refused(tmp_path: Path) -> None:
    """A class called `..` must not write outside the folder that was named."""
    images = LabelledImages(labelled(8).images, labelled(8).labels, ("..", "a", "b", "c"))
    write(tmp_path / "set/data", images)
    with pytest.raises(UserError, match=r"class name '\.\.' cannot name a folder"):
        export(tmp_path / "set/data", "image_folder", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 40), st.integers(1, 40))
def test_a_grown_dataset_keeps_its_rows(tmp_path: Path, short_shards: None, before: int, after: int) -> None:
    """More or fewer images: rows with the same index are the same."""
    shutil.rmtree(tmp_path / "set", ignore_errors=True)
    images = labelled(40)
    found = []
    for count in (before, after):
        write(tmp_path / "set/data", images.select(np.arange(count)))
        assert (read_column(tmp_path / "set/data", "index") == np.arange(count)).all()
        found.append(read_images(tmp_path / "set/data"))
    kept = min(before, after)
    assert (found[0].images[:kept] == found[1].images[:kept]).all()
    assert (found[0].labels[:kept] == found[1].labels[:kept]).all()


def test_a_worker_stops_with_the_error_of_its_work() -> None:
    """An error in the thread beside comes out where items are put, also while the queue is full."""

    def work(items: Iterator[int]) -> None:
        raise UserError("disk full")

    with pytest.raises(UserError, match="disk full"), BackgroundWorker(work, depth=1) as worker:
        for i in range(1000):
            worker.put(i)


def test_drawing_is_never_far_ahead_of_writing(
    tmp_path: Path, short_shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was drawn and not yet stored is bounded, so that memory does not grow with the number of images."""
    images, folder = labelled(400), tmp_path / "data"
    ahead: list[int] = []

    def draw(start: int, stop: int) -> tuple[Pixels, Indices]:
        ahead.append(stop - 8 * len(list(folder.glob("*.parquet"))))
        return drawing(images)(start, stop)

    monkeypatch.setattr(os, "fsync", lambda _: time.sleep(0.002))  # a slow disk
    write(folder, images, draw)
    groups = 2 * writer.QUEUE_GROUPS + 4  # two queues, and what each thread holds
    assert max(ahead) <= 4 * groups
