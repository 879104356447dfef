"""A set of images that another program made: how it is read, matched, taken and screened."""

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.images import LabelledImages, Pixels
from pipeline.params.graph import check_graph, fit_graph
from pipeline.params.schema import Params, SynthesizeParams
from pipeline.runtime.errors import UserError
from pipeline.shards.imported import CopyCount, find_imported
from pipeline.shards.manifest import read_manifest
from pipeline.shards.reader import read_images
from pipeline.sources.image_folder import open_folder
from pipeline.sources.image_set import LEFT_OUT, match_classes, read_rows
from pipeline.sources.parquet import open_parquet
from pipeline.sources.screened import FILES, Found, Judged, save_screened, screen, write_taken
from pipeline.sources.taken import Draw, Taken, choose_rows, take_images
from tests.project import ROOT, TINY, make_project, run
from tests.shard_inputs import dataset, labelled

OURS = ("cat", "dog")
NO_MAPPING = "theirs,ours\n"


def pictures(count: int, side: int = 16) -> Pixels:
    """RGB noise."""
    return np.random.default_rng(count).integers(0, 256, (count, side, side, 3), np.uint8)


def encoded(image: Pixels, kind: str = "PNG") -> bytes:
    """One picture's file."""
    data = io.BytesIO()
    Image.fromarray(image).save(data, kind)
    return data.getvalue()


def write_folder(root: Path, names: Sequence[str], images: Pixels) -> Path:
    """A class-per-folder set of PNGs: image i is of class i mod the number of names."""
    for row, image in enumerate(images):
        folder = root / names[row % len(names)]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{row:04d}.png").write_bytes(encoded(image))
    return root


def params(path: Path, **values: object) -> SynthesizeParams:
    """As in params.yaml, with a mapping of nothing beside the set."""
    mapping = path.parent / "mapping.csv"
    mapping.touch()
    mapping.write_text(NO_MAPPING)
    fixed = {
        "class_balance": "balanced", "class_shares": [], "latent_std": 1.0, "encoding": "stored_png",
        "licence": "other", "drop_copies": True, "num_images": 6, "source": "folder",
        "path": str(path), "class_mapping": str(mapping),
    }  # fmt: skip
    return SynthesizeParams.model_validate(fixed | values)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_parquet_of_any_encoding_gives_its_images_in_any_order(tmp_path: Path, kind: str) -> None:
    """Two files of two row groups, a struct as Hugging Face writes it, names as text; rows are asked for unsorted."""
    images, names = pictures(10), np.array(["dog", "cat"])
    for number, part in enumerate((range(6), range(6, 10))):
        column = [{"bytes": encoded(images[row], kind), "path": None} for row in part]
        table = pa.table({"label": names[np.array(part) % 2], "image": column})
        pq.write_table(table, tmp_path / f"train-0000{number}-of-00002.parquet", row_group_size=3)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "test-00000-of-00001.parquet")
    found = open_parquet(tmp_path)
    assert found.class_names == ("cat", "dog")
    assert found.labels.tolist() == [1, 0] * 5
    assert found.name(7) == "train-00001-of-00002.parquet: row 1"
    rows = np.array([9, 0, 7, 2])
    read = read_rows(found, rows, (16, 16, 3)).astype(int)
    assert np.abs(read - images[rows]).mean() < (1e-9 if kind == "PNG" else 60)
    wanted = [np.asarray(Image.open(io.BytesIO(encoded(images[row], kind))).convert("RGB")) for row in rows]
    assert np.array_equal(read, wanted)


def test_a_dataset_of_ours_is_such_a_set(tmp_path: Path) -> None:
    """Its names come from the metadata, and grey images stay what they are."""
    images = labelled(40, (16, 16, 1))
    found = open_parquet(dataset(tmp_path / "made", images))
    assert found.class_names == images.class_names
    assert found.labels.tolist() == images.labels.tolist()
    assert np.array_equal(read_rows(found, np.arange(40), (16, 16, 1)), images.images)


def test_a_folder_is_read_by_class(tmp_path: Path) -> None:
    """In the order of class and path, each image under its file's name."""
    images = pictures(6)
    found = open_folder(write_folder(tmp_path / "set", ("dog", "cat"), images))
    assert found.class_names == OURS
    assert found.name(3) == "dog/0000.png"
    assert np.array_equal(read_rows(found, np.array([3]), (16, 16, 3))[0], images[0])


def test_bad_parquet_is_one_line(tmp_path: Path) -> None:
    """Errors name the param of the set, and the row."""
    with pytest.raises(UserError, match=r"^synthesize\.path: .*/none is not a folder"):
        open_parquet(tmp_path / "none")
    images = pa.array([encoded(pictures(1)[0]), None], pa.binary())
    pq.write_table(pa.table({"image": images, "label": [0, 1]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet: row 1 \(not an image\)"):
        read_rows(open_parquet(tmp_path / "a.parquet"), np.arange(2), (16, 16, 3))


@pytest.mark.parametrize(
    ("name", "text"),
    [("m.csv", "theirs,ours\nkitten,cat\nbird,\n"), ("m.json", '{"kitten": "cat", "bird": ""}')],
)
def test_classes_match_by_name_or_by_the_mapping(tmp_path: Path, name: str, text: str) -> None:
    """Those mapped to no name are left out; what the mapping changed is told."""
    images = open_folder(write_folder(tmp_path / "set", ("bird", "dog", "kitten"), pictures(6)))
    (tmp_path / name).write_text(text)
    labels, changed = match_classes(images, OURS, tmp_path / name)
    assert labels.tolist() == [LEFT_OUT, LEFT_OUT, 1, 1, 0, 0]
    assert changed == {"bird": "", "kitten": "cat"}


@pytest.mark.parametrize(
    ("names", "mapping", "message"),
    [
        (("kitten", "dog"), NO_MAPPING, r"\['dog', 'kitten'\] are not the real images' \['cat', 'dog'\].*match none"),
        (("dog", "puppy"), NO_MAPPING + "puppy,dog\n", r"none matches \['cat'\]"),
        (OURS, NO_MAPPING + "bird,cat\n", r"maps \['bird'\], which .* has not; its classes: \['cat', 'dog'\]"),
        (OURS, "cat,dog\n", r"no mapping of classes \(expected two columns with the header theirs,ours"),
        (OURS, NO_MAPPING + "cat,dog\ncat,cat\n", "names a class twice"),
    ],
)
def test_classes_that_do_not_match_are_one_line(
    tmp_path: Path, names: Sequence[str], mapping: str, message: str
) -> None:
    """Both sides are listed."""
    images = open_folder(write_folder(tmp_path / "set", names, pictures(4)))
    (tmp_path / "m.csv").write_text(mapping)
    with pytest.raises(UserError, match=message):
        match_classes(images, OURS, tmp_path / "m.csv")


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    left_out=st.integers(0, 5),
    num_replicates=st.integers(2, 4),
    share=st.floats(0.01, 1),
)
def test_replicates_share_images_only_where_they_must(
    counts: list[int], left_out: int, num_replicates: int, share: float
) -> None:
    """Disjoint where there are enough; never an image twice, nor one that is left out; any prefix keeps the balance."""
    labels = np.repeat([LEFT_OUT, *range(len(counts))], [left_out, *counts]).astype(np.int64)
    size = max(1, int(share * sum(counts)))
    draws = [Draw(7 + place, place, num_replicates, 0) for place in range(num_replicates)]
    subsets, rows = zip(*(choose_rows(labels, size, draw) for draw in draws), strict=True)
    for taken in rows:
        assert len(set(taken.tolist())) == size == len(taken)
        assert (labels[taken] >= 0).all()
    assert len(set(subsets)) == 1
    together = len(set(np.concatenate(rows).tolist()))
    assert (together == num_replicates * size) == (subsets[0] == "disjoint")
    if subsets[0] == "disjoint":
        assert num_replicates * size <= sum(counts)
    for label, count in enumerate(counts):
        prefix = (labels[rows[0]] == label).cumsum()
        fair = np.arange(1, size + 1) * count / sum(counts)
        assert np.abs(prefix - fair).max() <= len(counts)


def test_too_few_images_are_one_line(tmp_path: Path) -> None:
    """Nothing is taken twice to make up for them."""
    real = LabelledImages(pictures(2), np.array([0, 1]), OURS)
    path = write_folder(tmp_path / "set", OURS, pictures(6))
    with pytest.raises(
        UserError, match=r"has 6 images of the real classes, synthesize\.num_images asks for 7: lower it"
    ):
        take_images(params(path, num_images=7), real, Draw(0, 0, 2, 0))
    taken = take_images(params(path), real, Draw(0, 0, 2, 0))
    assert (taken.subset, sorted(taken.files)[:2]) == ("whole", ["cat/0000.png", "cat/0002.png"])


NO_COPIES = CopyCount(exact=0, near=0, near_expected_percent=1.0)


def found(*rows: int, count: int = 6) -> Found:
    """Copies at `rows`."""
    flags = np.isin(np.arange(count), rows)
    return Found(flags, NO_COPIES.model_copy(update={"exact": len(rows)}))


@pytest.mark.parametrize("drop", [True, False])
def test_copies_of_judged_images_are_counted_and_left_out(tmp_path: Path, drop: bool) -> None:
    """By default; the dataset that follows names the file of every image that is left."""
    path = tmp_path / "set"
    taken = Taken(LabelledImages(pictures(6), np.arange(6) % 2, OURS), list("abcdef"), 9, "overlapping", {})
    copies: dict[Judged, Found] = {"test": found(1, 2), "val": found(2), "select": found()}
    screened = screen(taken, copies, params(path, drop_copies=drop), replicate=4)
    assert (screened.record.num_images, screened.record.num_dropped) == (6, 2 if drop else 0)
    assert screened.record.copies["test"].exact == 2
    save_screened(tmp_path / "out", screened)
    record = find_imported(tmp_path / "out")
    assert record == screened.record
    assert record
    write_taken(tmp_path / "made", tmp_path / "out", record, "stored_png")
    left = [0, 3, 4, 5] if drop else list(range(6))
    assert np.array_equal(read_images(tmp_path / "made" / "data").images, taken.images.images[left])
    lines = (tmp_path / "made" / FILES).read_text().splitlines()
    assert lines == ["index,file", *(f"{index},{'abcdef'[row]}" for index, row in enumerate(left))]
    assert read_manifest(tmp_path / "made").imported == record


def test_a_class_of_copies_alone_is_one_line(tmp_path: Path) -> None:
    """A set that is the test set leaves nothing to train on."""
    taken = Taken(LabelledImages(pictures(6), np.arange(6) % 2, OURS), list("abcdef"), 6, "whole", {})
    copies: dict[Judged, Found] = {"test": found(0, 2, 4), "val": found(), "select": found()}
    with pytest.raises(UserError, match=r"no image of \['cat'\] is left among the 6 taken: all copy images of test"):
        screen(taken, copies, params(tmp_path / "set"), replicate=0)


def test_the_graph_has_the_stages_of_its_source(tiny: Params, tmp_path: Path) -> None:
    """There and back, the committed dvc.yaml is the same to the byte; in between it is refused for a GAN."""
    sets = {kind: params(tmp_path / "set", source=kind) for kind in ("folder", "parquet")}
    made_by = {"gan": tiny} | {kind: tiny.model_copy(update={"synthesize": values}) for kind, values in sets.items()}
    file, committed = tmp_path / "dvc.yaml", (ROOT / "dvc.yaml").read_bytes()
    file.write_bytes(committed)
    check_graph(file, made_by["gan"])
    fit_graph(file, made_by["parquet"])
    check_graph(file, made_by["folder"])
    with pytest.raises(UserError, match=r"train_gan \$\{ablation\.replicates\} and that of screen_set \[\]"):
        check_graph(file, made_by["gan"])
    fit_graph(file, made_by["gan"])
    assert file.read_bytes() == committed
    file.write_text(file.read_text().replace("  screen_set:\n    matrix:", "  screen_set:\n    foreach:"))
    with pytest.raises(UserError, match="stage screen_set has no line `replicate:`"):
        fit_graph(file, made_by["folder"])


def test_dvc_has_no_stage_of_a_gan(tmp_path: Path) -> None:
    """After `configure` alone; evaluate depends on the set instead, and back again on the GAN."""
    project = make_project(tmp_path / "project")
    chosen = ["gan.recipe=none", "synthesize.source=folder", f"synthesize.path={tmp_path / 'my set'}"]
    for choices, stage, other in ((chosen, "screen_set", "train_gan"), ([], "train_gan", "screen_set")):
        configured = run(
            project, sys.executable, "-m", "pipeline", "configure", *TINY, *choices, PYTHONPATH=str(project)
        )
        assert configured.returncode == 0, configured.stdout
        names = run(project, "dvc", "stage", "list", "--name-only").stdout.split()
        assert {f"{stage}@0", f"{stage}@1", "synthesize@0", "evaluate"} <= set(names)
        assert not any(name.startswith(other) for name in names)
