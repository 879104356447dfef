"""Classes held out of all splits, and what is kept of them apart."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.images import LabelledImages
from pipeline.params.schema import DatasetParams, Params
from pipeline.runtime.errors import UserError
from pipeline.shards.reader import read_images
from pipeline.sources.held_out import keep_classes, split_held_out
from pipeline.sources.splits import RealImages, content_keys, split
from pipeline.sources.write import write_novel, write_splits

OLD, ALL = ("a", "c", "d"), ("a", "c", "d", "b")


@pytest.fixture(scope="module")
def source() -> RealImages:
    """40 images of each of four classes; every tenth of b has the pixels of one of a."""
    images = np.random.default_rng(3).integers(0, 256, (160, 16, 16, 1), np.uint8)
    images[1:160:40] = images[:160:40]
    return RealImages(LabelledImages(images, np.arange(160) % 4, ("a", "b", "c", "d")), None)


def params_of(tiny: Params, *held_out: str) -> DatasetParams:
    """Sizes for three classes."""
    sizes = {f"{name}_size": 12 for name in ("test", "val", "select", "train")}
    return tiny.dataset.model_copy(update={**sizes, "held_out": list(held_out)})


@pytest.mark.parametrize("official", [False, True])
def test_others_are_split_as_if_there_were_no_more(source: RealImages, tiny: Params, official: bool) -> None:
    """Held-out images are in no split of the others, whose labels count up without a gap; none is in two splits."""
    data = source._replace(test=source.pool.select(np.arange(80)), pool=source.pool.select(np.arange(80, 160)))
    data, params = data if official else source, params_of(tiny, "b")
    others = RealImages(keep_classes(data.pool, OLD), data.test and keep_classes(data.test, OLD))
    splits, novel = split_held_out(data, params, replicate=1)
    alone = split(others, params, replicate=1).images
    assert {name: images.digest() for name, images in splits.images.items()} == {
        name: images.digest() for name, images in alone.items()
    }
    assert {name: (images.class_names, set(images.labels.tolist())) for name, images in novel.images.items()} == {
        name: (ALL, {3}) for name in ("test", "val", "shots")
    }
    keys = [key for part in (splits, novel) for images in part.images.values() for key in content_keys(images)]
    assert len(keys) == len(set(keys))
    assert [len(novel.images[name]) for name in ("test", "val")] == [4, 4]
    if not official:
        assert len(novel.images["shots"]) == 40 - 4 - 4 - 4  # the last: pixels that are in a class of the others


def test_replicates_share_the_test_images_alone(source: RealImages, tiny: Params, tmp_path: Path) -> None:
    """On disk too: novel beside the splits of its replicate, its test beside test."""
    params = params_of(tiny, "b", "d")
    for replicate in (0, 1):
        splits, novel = split_held_out(source, params, replicate=replicate)
        write_splits(tmp_path, replicate, splits, params)
        write_novel(tmp_path, replicate, novel, params)
        assert read_images(tmp_path / "novel_test").digest() == novel.images["test"].digest()
    shots = [read_images(tmp_path / f"{replicate}/novel/shots") for replicate in (0, 1)]
    assert shots[0].digest() != shots[1].digest()
    assert shots[0].labels[:4].tolist() == [2, 3, 2, 3]


@pytest.mark.parametrize(
    ("held_out", "line"),
    [(("e",), "names 'e', but the classes are"), (("a", "b", "c"), "leaves the classes \\['d'\\]")],
)
def test_what_cannot_be_held_out(source: RealImages, tiny: Params, held_out: tuple[str, ...], line: str) -> None:
    """One line, before anything is drawn."""
    with pytest.raises(UserError, match=line):
        split_held_out(source, params_of(tiny, *held_out), replicate=0)
