"""Images that are read from shards as they are asked for: the same rows, and the same cells to the byte."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.images import ImageSet, LabelledImages, concatenate
from pipeline.runtime.errors import UserError
from pipeline.shards import plan, stored
from pipeline.shards.reader import read_images, shard_files
from pipeline.shards.stored import open_alike, open_files
from tests.bad_files import cut, run
from tests.shard_inputs import labelled, tree, write

SHAPES = {"grey": (16, 16, 1), "rgb": (32, 32, 3), "of several deflate blocks": (160, 160, 3)}
Rows = st.lists(st.integers(0, 29), max_size=80)


@pytest.fixture(scope="module", params=SHAPES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 images in four shards of two row groups."""
    folder: Path = tmp_path_factory.mktemp("stored") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "ROW_GROUP_ROWS", 4)
        patch.setattr(plan, "SHARD_ROWS", 8)
        write(folder, labelled(30, SHAPES[request.param]))
    return folder


@given(rows=Rows, chosen=Rows, first=st.integers(-40, 40), last=st.integers(-40, 40))
def test_rows_are_those_of_the_images_in_memory(
    folder: Path, rows: list[int], chosen: list[int], first: int, last: int
) -> None:
    """In any order and any of them twice, as a slice, chosen first, or behind others; labels and digest as well."""
    there, here = read_images(folder), open_files(shard_files(folder))
    assert not isinstance(here, LabelledImages)
    assert here.images.shape == there.images.shape
    assert here.digest() == there.digest()
    index, wanted = np.array(chosen, np.int64), np.array(rows, np.int64)
    assert np.array_equal(here.images[wanted], there.images[wanted])
    assert np.array_equal(here.images[first:last], there.images[first:last])
    pairs: list[tuple[ImageSet, ImageSet]] = [
        (here.select(index), there.select(index)),
        (concatenate(here, there.select(index)), concatenate(there, there.select(index))),
        (concatenate(here.select(index), here), concatenate(there.select(index), there)),
    ]
    for lazy, resident in pairs:
        assert lazy.digest() == resident.digest()
        turned = np.flip(np.arange(len(lazy)))
        assert np.array_equal(lazy.images[turned], resident.images[turned])


def test_large_shards_of_many_pages_are_found(tmp_path: Path) -> None:
    """Row groups whose images fill several pages, which pyarrow ends after about a megabyte."""
    images = labelled(100, (128, 128, 3))
    write(tmp_path / "data", images)
    here = open_files(shard_files(tmp_path / "data"))
    assert not isinstance(here, LabelledImages)
    assert here.digest() == images.digest()


def test_small_pngs_are_read_into_memory(tmp_path: Path) -> None:
    """Their lengths differ, so only decoding finds them."""
    smooth = labelled(9, (1, 1, 3))  # noise of 8x8 would not compress
    images = LabelledImages(smooth.images.repeat(8, 1).repeat(8, 2), smooth.labels, smooth.class_names)
    write(tmp_path / "data", images, encoding="png")
    here = open_files(shard_files(tmp_path / "data"))
    assert isinstance(here, LabelledImages)
    assert here.digest() == images.digest()


def spoil_image(file: Path) -> None:
    """Makes the second image no PNG."""
    data = file.read_bytes()
    at = data.index(b"IHDR", data.index(b"IHDR") + 1)
    file.write_bytes(data[:at] + b"JUNK" + data[at + 4 :])


def spoil_page(file: Path) -> None:
    """Makes the first header of a page none."""
    data = file.read_bytes()
    file.write_bytes(data[:4] + b"\xff" * 8 + data[12:])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_image, "train-00000-of-00001.parquet: row 1: not a readable image"),
        (spoil_page, "train-00000-of-00001.parquet: no page of images at byte 4"),
        (lambda file: cut(str(file), 0.5), "train-00000-of-00001.parquet: not a readable Parquet file"),
    ],
)
def test_a_damaged_shard_is_one_line(tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
    """That names file and row."""
    write(tmp_path, labelled(5))
    spoil(tmp_path / "train-00000-of-00001.parquet")
    with pytest.raises(UserError, match=message):
        _ = open_files(shard_files(tmp_path)).images[np.array([4, 1, 0])]


def test_a_shard_that_shrinks_while_it_is_read_is_one_line(tmp_path: Path) -> None:
    """What is missing is no image, and no zeros either."""
    write(tmp_path, labelled(5))
    here = open_files(shard_files(tmp_path))
    cut(str(tmp_path / "train-00000-of-00001.parquet"), 0.1)
    with pytest.raises(UserError, match=r"train-00000-of-00001\.parquet: row 3: not a readable image"):
        _ = here.images[3:]


def test_small_sets_are_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And all splits or none are."""
    for name in ("train", "val"):
        write(tmp_path / name, labelled(5))
    assert all(isinstance(part, LabelledImages) for part in open_alike(tmp_path / "train", tmp_path / "val"))
    monkeypatch.setattr(stored, "RESIDENT_SHARE", 0.0)
    assert not any(isinstance(part, LabelledImages) for part in open_alike(tmp_path / "train", tmp_path / "val"))


@pytest.mark.parametrize("stage", ["train_baseline", "train_control", "train_classifier"])
def test_cells_are_equal_to_the_byte(workdir: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    """A cell whose images stay in their files writes what one with all of them in memory writes."""
    written = []
    for share in (1.0, 0.0):
        monkeypatch.setattr(stored, "RESIDENT_SHARE", share)
        for folder in ("models/" + stage, "results"):
            shutil.rmtree(folder, ignore_errors=True)
        assert run(stage, monkeypatch) == 0
        written.append([tree(workdir / "models" / stage), tree(workdir / "results")])
    assert written[0] == written[1]
    assert written[0][0]
