"""Shards: what is written is read back, by us and by others, whatever was interrupted or corrupted before."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.dataset.verify import find_problems
from pipeline.images import LabelledImages
from pipeline.runtime.errors import UserError
from pipeline.shards.digest import ContentDigest
from pipeline.shards.manifest import Manifest, read_manifest, write_manifest
from pipeline.shards.reader import read_column, read_images
from pipeline.shards.writer import write_split
from tests.shard_inputs import NAMES, RECIPE, dataset, failing_at, labelled, recording, tree, write


@given(st.integers(0, 40), st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 3]), st.integers(0, 99))
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_images_survive(
    tmp_path: Path, short_shards: None, count: int, height: int, width: int, channels: int, seed: int
) -> None:
    """Any number and size of images comes back with labels and class names, an empty split included."""
    images = labelled(count, (height, width, channels), seed)
    folder = tmp_path / "val"
    records = write_split(folder, "val", images, index=np.arange(count) * 3, seed=1, generator="source")
    found = read_images(folder)
    assert (found.images == images.images).all()
    assert found.images.shape == images.images.shape
    assert (found.labels == images.labels).all()
    assert found.class_names == NAMES
    assert (read_column(folder, "index") == np.arange(count) * 3).all()
    assert sum(record.rows for record in records) == count
    assert not (tmp_path / ".tmp").exists()


def test_shards_have_the_designed_layout(tmp_path: Path) -> None:
    """16,384 rows a shard, 1,024 a row group, one draw a group, five nullable columns, plain image bytes."""
    images = labelled(16384 + 1500, (2, 2, 3))
    starts: list[int] = []
    records = write(tmp_path / "data", images, recording(images, starts))
    assert starts == list(range(0, 17884, 1024))
    assert [record.file for record in records] == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    assert [(record.rows, record.first_index) for record in records] == [(16384, 0), (1500, 16384)]
    shard = pq.ParquetFile(tmp_path / "data" / records[1].file)
    assert [shard.metadata.row_group(i).num_rows for i in range(2)] == [1024, 476]
    image = shard.metadata.row_group(0).column(0)
    assert (image.compression, image.has_dictionary_page, image.statistics) == ("UNCOMPRESSED", False, None)
    assert {field.name: str(field.type) for field in shard.schema_arrow} == {
        "image": "struct<bytes: binary, path: string>",
        "label": "int64",
        "index": "int64",
        "seed": "int64",
        "generator": "string",
    }
    assert all(field.nullable for field in shard.schema_arrow)
    assert set(read_column(tmp_path / "data", "seed")) == {5}
    assert set(read_column(tmp_path / "data", "generator")) == {"test"}
    assert (read_column(tmp_path / "data", "index") == np.arange(17884)).all()


def test_two_writes_are_equal_to_the_byte(tmp_path: Path, short_shards: None) -> None:
    """A dataset is a function of its inputs: two folders agree in every byte of every file."""
    images = labelled(20)
    first, second = dataset(tmp_path / "a", images), dataset(tmp_path / "deeper" / "b", images)
    assert tree(first) == tree(second)
    assert sorted(path.name for path in first.iterdir()) == ["README.md", "data", "manifest.json"]


def interrupted(folder: Path, images: LabelledImages, row: int) -> None:
    """A write that stops when `row` is to be drawn."""
    with pytest.raises(KeyboardInterrupt):
        write(folder, images, failing_at(images, row))


@pytest.mark.parametrize("row", [0, 5, 9, 23, 29])
def test_an_interrupted_write_resumes(tmp_path: Path, short_shards: None, row: int) -> None:
    """Stopped in any shard and run again: finished shards are not drawn again, the bytes are equal."""
    images = labelled(30)
    expected = dataset(tmp_path / "whole", images)
    interrupted(tmp_path / "cut" / "data", images, row)
    starts: list[int] = []
    write(tmp_path / "cut" / "data", images, recording(images, starts))
    assert starts == list(range(row // 8 * 8, 30, 4))
    assert tree(dataset(tmp_path / "cut", images)) == tree(expected)


def test_a_corrupted_finished_shard_is_redone(tmp_path: Path, short_shards: None) -> None:
    """A resumed write trusts no shard: one with a flipped bit, one cut short and one gone are redone."""
    images = labelled(40)
    expected = tree(dataset(tmp_path / "whole", images))
    folder = tmp_path / "cut" / "data"
    interrupted(folder, images, 36)
    flip_bit(folder / "train-00000-of-00005.parquet")
    cut_short(folder / "train-00001-of-00005.parquet")
    (folder / "train-00002-of-00005.parquet").unlink()
    starts: list[int] = []
    write(folder, images, recording(images, starts))
    assert starts == [0, 4, 8, 12, 16, 20, 32, 36]
    assert {name: data for name, data in expected.items() if name.startswith("data/")} == tree(tmp_path / "cut")


@pytest.mark.parametrize("change", ["digest", "count"])
def test_another_recipe_starts_from_zero(tmp_path: Path, short_shards: None, change: str) -> None:
    """Finished shards and leftovers of another recipe, or of another number of images, are not kept."""
    old, new = labelled(40, seed=1), labelled(40 if change == "digest" else 32, seed=2)
    folder = tmp_path / "cut" / "data"
    interrupted(folder, old, 36)
    (tmp_path / "cut" / ".tmp" / "data-train" / "train-00004-of-00005.parquet.part").write_bytes(b"half")
    write(folder, new, recipe_digest="e" if change == "digest" else "d")
    write(tmp_path / "whole" / "data", new)
    assert tree(tmp_path / "cut") == tree(tmp_path / "whole")


def flip_bit(path: Path) -> None:
    """Corrupts a pixel."""
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


def cut_short(path: Path) -> None:
    """Takes the end of a file."""
    path.write_bytes(path.read_bytes()[:-100])


WRITE_WITH_LITTLE_SPACE = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from pipeline.runtime.errors import UserError
from pipeline.shards.digest import ContentDigest
from pipeline.shards.writer import write_shards
from pipeline.shards import plan
plan.ROW_GROUP_ROWS, plan.SHARD_ROWS = 4, 8
sizes = [2, 2, 60]  # the third shard is larger than a file may be
def draw(start, stop):
    size = sizes[start // 8]
    return np.zeros((stop - start, size, size, 3), np.uint8), np.zeros(stop - start, np.int64)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    split = plan.SplitPlan("train", 24, ("a",), 0, "g", "d", "stored_png")
    write_shards(Path(sys.argv[1]), split, draw, ContentDigest())
except UserError as error:
    sys.exit(str(error))
"""


def test_a_full_disk_is_one_line_and_keeps_what_is_finished(tmp_path: Path) -> None:
    """When the disk refuses a shard: one line that names it, no half file, finished shards stay."""
    folder = tmp_path / "root" / "data"
    command = [sys.executable, "-c", WRITE_WITH_LITTLE_SPACE, str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith(f"{folder}/train-00002-of-00003.parquet: cannot write (File too large)")
    assert result.stderr.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == [f"train-0000{i}-of-00003.parquet" for i in range(2)]
    assert not list(tmp_path.rglob("*.part"))
    assert len(list((tmp_path / "root" / ".tmp").rglob("train-*.json"))) == 2


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Where the folder's place is taken by a file, the error is one line with its path."""
    (tmp_path / "data").write_text("")
    with pytest.raises(UserError, match=r"/data: cannot write"):
        write(tmp_path / "data", labelled(1))


def test_a_missing_shard_is_named(tmp_path: Path, short_shards: None) -> None:
    """A folder that lacks a shard, first or last, is refused by the name of that shard."""
    for number in (0, 3):
        write(tmp_path / "data", labelled(30))
        (tmp_path / "data" / f"train-0000{number}-of-00004.parquet").unlink()
        with pytest.raises(UserError, match=f"shard train-0000{number}-of-00004.parquet is missing"):
            read_images(tmp_path / "data")


def test_a_folder_of_two_sets_or_none_is_refused(tmp_path: Path, short_shards: None) -> None:
    """Two splits in one folder, a file of another name, and an empty folder are refused by name."""
    with pytest.raises(UserError, match="holds no Parquet shards"):
        read_images(tmp_path / "absent")
    write(tmp_path / "data", labelled(8))
    shutil.copy(tmp_path / "data/train-00000-of-00001.parquet", tmp_path / "data/test-00000-of-00001.parquet")
    with pytest.raises(UserError, match="holds 2 sets of shards"):
        read_images(tmp_path / "data")
    (tmp_path / "data/test-00000-of-00001.parquet").rename(tmp_path / "data/mine.parquet")
    with pytest.raises(UserError, match=r"mine\.parquet: not named as a shard"):
        read_images(tmp_path / "data")


@pytest.mark.parametrize("keep", [0, 3, 100, 0.5, 0.9])
def test_a_truncated_file_is_named(tmp_path: Path, short_shards: None, keep: float) -> None:
    """A shard cut anywhere is one line with its path, and never fewer images."""
    write(tmp_path / "data", labelled(20))
    path = tmp_path / "data/train-00001-of-00003.parquet"
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep >= 1 else keep * len(data))])
    with pytest.raises(UserError, match=r"train-00001-of-00003\.parquet: not a readable Parquet file") as caught:
        read_images(tmp_path / "data")
    assert "\n" not in str(caught.value)


@given(st.integers(0, 10**9), st.integers(1, 255))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_corrupt_byte_never_passes_as_another_error(
    tmp_path: Path, short_shards: None, place: int, change: int
) -> None:
    """Any byte of a shard changed: reading gives images or a UserError, and `find_problems` always finds it."""
    root = tmp_path / "set"
    if not root.exists():
        dataset(root, labelled(20))
    path = root / "data/train-00001-of-00003.parquet"
    whole = path.read_bytes()
    corrupted = bytearray(whole)
    corrupted[place % len(whole)] ^= change
    path.write_bytes(corrupted)
    try:
        read_images(root / "data")
    except UserError as error:
        assert path.name in str(error) or "class" in str(error)  # noqa: PT017 (images are an answer too)
    assert any("sha256" in problem for problem in find_problems(root))
    path.write_bytes(whole)


def counts(data: bytes) -> tuple[int, int]:
    """Rows as the footer says, in all and in the first group."""
    footer = pq.read_metadata(io.BytesIO(data))
    return footer.num_rows, footer.row_group(0).num_rows


def test_a_wrong_row_count_in_the_footer_is_refused(tmp_path: Path) -> None:
    """A footer that promises a row too many or too few never gives an image that was not read."""
    write(tmp_path / "data", labelled(8))
    path = tmp_path / "data/train-00000-of-00001.parquet"
    whole = path.read_bytes()
    for claimed in (7, 9):
        both = whole
        for expected in ((claimed, 8), (8, claimed)):
            changed, both = patch(whole, both, claimed, expected)
            path.write_bytes(changed)
            with pytest.raises(UserError, match=rf"says it has {expected[0]} rows, its groups {expected[1]}"):
                read_images(tmp_path / "data")
        assert counts(both) == (claimed, claimed)
    path.write_bytes(both)
    with pytest.raises(UserError, match=r"train-00000-of-00001\.parquet"):
        read_images(tmp_path / "data")


def patch(whole: bytes, both: bytes, claimed: int, expected: tuple[int, int]) -> tuple[bytes, bytes]:
    """Finds the byte of the footer that makes `counts` as expected; changes it in both files."""
    for place in range(len(whole) - 5000, len(whole)):
        if whole[place] == 2 * 8:  # thrift writes 8 so
            changed = whole[:place] + bytes([2 * claimed]) + whole[place + 1 :]
            try:
                if counts(changed) == expected:
                    return changed, both[:place] + bytes([2 * claimed]) + both[place + 1 :]
            except (pa.ArrowException, OSError):
                continue
    raise AssertionError(expected)


def rewritten(folder: Path, table: pa.Table, **options: Any) -> None:
    """The table as a single shard of another program."""
    folder.mkdir()
    pq.write_table(table, folder / "train-00000-of-00001.parquet", **options)


def test_rows_encoded_again_are_read(tmp_path: Path) -> None:
    """Compressed PNGs, other row groups, Snappy, dictionaries: only the pixels count."""
    images = labelled(50)
    write(tmp_path / "data", images)
    table = pq.read_table(tmp_path / "data")
    pngs = []
    for row, value in enumerate(table["image"].to_pylist()):
        buffer = io.BytesIO()
        Image.open(io.BytesIO(value["bytes"])).save(buffer, "PNG")
        pngs.append({"bytes": buffer.getvalue() if row % 3 else value["bytes"], "path": "x.png"})
    changed = table.set_column(0, table.schema.field("image"), pa.array(pngs, table.schema.field("image").type))
    rewritten(tmp_path / "other", changed, row_group_size=7)
    found = read_images(tmp_path / "other")
    assert (found.images == images.images).all()
    assert (found.labels == images.labels).all()
    assert found.class_names == NAMES


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("label", 4, "row 5: label 4 is none of the 4 classes"),
        ("label", None, "row 5: label None is none of the 4 classes"),
        ("image", None, "row 5: holds no image bytes"),
        ("image", {"bytes": None, "path": "x.png"}, "row 5: holds no image bytes"),
        ("image", {"bytes": b"?", "path": None}, "row 5: not a readable image"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, column: str, value: object, message: str) -> None:
    """A row without a usable image or label is one line with file and row."""
    write(tmp_path / "data", labelled(9))
    table = pq.read_table(tmp_path / "data")
    values = table[column].to_pylist()
    values[5] = value
    field = table.schema.field(column)
    place = table.schema.get_field_index(column)
    rewritten(tmp_path / "other", table.set_column(place, field, pa.array(values, field.type)))
    with pytest.raises(UserError, match=rf"other/train-00000-of-00001\.parquet: {message}"):
        read_images(tmp_path / "other")


def test_a_foreign_file_is_refused_by_what_it_lacks(tmp_path: Path) -> None:
    """A Parquet file without our columns or class names says which it lacks."""
    rewritten(tmp_path / "a", pa.table({"x": [1]}))
    with pytest.raises(UserError, match="lacks column image"):
        read_images(tmp_path / "a")
    rewritten(tmp_path / "b", pa.table({"image": [b"x"], "label": [0]}))
    with pytest.raises(UserError, match="columns image and label are binary and int64"):
        read_images(tmp_path / "b")
    write(tmp_path / "data", labelled(3))
    rewritten(tmp_path / "c", pq.read_table(tmp_path / "data").replace_schema_metadata(None))
    with pytest.raises(UserError, match="names no classes"):
        read_images(tmp_path / "c")
    with pytest.raises(UserError, match="lacks column score"):
        read_column(tmp_path / "data", "score")


def digest(files: list[Path]) -> str:
    """sha256 of what the files hold."""
    digest = ContentDigest()
    for file in files:
        digest.add_shard("train", file)
    return digest.sha256()


def test_the_content_digest_is_of_content(tmp_path: Path, short_shards: None) -> None:
    """The digest is equal for one shard or many and any compression, and differs for another order."""
    images = labelled(20)
    write(tmp_path / "many", images)
    rewritten(tmp_path / "one", pq.read_table(tmp_path / "many"), compression="zstd")
    many, one = (sorted((tmp_path / name).glob("*.parquet")) for name in ("many", "one"))
    assert len(many) == 3
    assert digest(many) == digest(one)
    assert digest(many) != digest(many[::-1])


def verify(root: Path) -> subprocess.CompletedProcess[str]:
    """The command, as a user runs it."""
    command = [sys.executable, "-m", "pipeline", "dataset", "verify", str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_verify_says_ok_in_one_line(tmp_path: Path) -> None:
    """A whole dataset gives one line and exit code 0."""
    result = verify(dataset(tmp_path / "set", labelled(20)))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(
        f"OK: {tmp_path / 'set'}: 20 images, 4 classes of 5 to 5 images, 1 shards, content sha256 "
    )
    assert result.stdout.count("\n") == 1


def test_verify_exits_with_2_and_one_line_a_problem(tmp_path: Path, short_shards: None) -> None:
    """A flipped bit and a missing shard are two lines and exit code 2; a missing manifest is one."""
    root = dataset(tmp_path / "set", labelled(30))
    flip_bit(root / "data/train-00001-of-00004.parquet")
    (root / "data/train-00003-of-00004.parquet").unlink()
    result = verify(root)
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert "train-00001-of-00004.parquet: its sha256 is" in lines[0]
    assert "train-00003-of-00004.parquet: missing" in lines[1]
    result = verify(tmp_path / "nowhere")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "manifest.json: not found" in result.stderr


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("num_images",), 29, "num_images is 29, its shards have 30 rows"),
        (("splits", "train", 1, "rows"), 9, "has 8 rows, the manifest says 9"),
        (("splits", "train", 1, "first_index"), 9, "begins at 9, not 8"),
        (("splits", "train", 1, "bytes"), 9, "bytes, the manifest says 9"),
        (("content_sha256",), "0" * 64, "content_sha256 is 0000"),
        (("class_counts", "train"), [7, 9, 7, 7], "the shards have {'train': (8, 8, 7, 7)}"),
        (("class_names",), ["other"] * 4, "columns or class names are not those of the dataset"),
        (("recipe", "seed"), 6, "column seed is not the manifest's, 6"),
        (("recipe", "generator_sha256"), "another", "column generator is not the manifest's, another"),
    ],
)
def test_a_manifest_that_is_wrong_is_found(
    tmp_path: Path, short_shards: None, keys: tuple[str | int, ...], value: object, message: str
) -> None:
    """Any value of the manifest that does not agree with the shards is reported."""
    root = dataset(tmp_path / "set", labelled(30))
    assert find_problems(root) == []
    manifest = json.loads((root / "manifest.json").read_text())
    block = manifest
    for key in keys[:-1]:
        block = block[key]
    block[keys[-1]] = value
    (root / "manifest.json").write_text(json.dumps(manifest))
    assert any(message in problem for problem in find_problems(root))


def test_leftovers_and_a_missing_card_are_found(tmp_path: Path) -> None:
    """A dataset without its card is not finished; a strange file in data/ would be read by others."""
    root = dataset(tmp_path / "set", labelled(3))
    (root / "README.md").unlink()
    (root / "data" / "x.parquet.tmp").write_bytes(b"")
    (root / ".tmp").mkdir()
    named = [problem.split(": ")[0] for problem in find_problems(root)]
    assert named == [f"{root}/data/x.parquet.tmp", f"{root}/README.md", f"{root}/.tmp"]


def test_the_manifest_is_read_as_written(tmp_path: Path, short_shards: None) -> None:
    """The manifest holds files, counts, hashes, recipe and environment, and comes back equal."""
    images = labelled(30)
    digest = ContentDigest()
    splits = {"train": write(tmp_path / "data", images, digest=digest)}
    written = write_manifest(tmp_path, splits, digest, recipe=RECIPE, environment={"torch": "2"})
    assert read_manifest(tmp_path) == written
    assert isinstance(written, Manifest)
    assert written.num_images == 30
    assert written.splits["train"][3].file == "data/train-00003-of-00004.parquet"
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(UserError, match=r"manifest\.json: corrupted"):
        read_manifest(tmp_path)


def test_the_card_says_what_is_in_the_folder(root: Path) -> None:
    """The card names licence, counts of each class, recipe, seed, generator and how to load it."""
    text = (root / "README.md").read_text()
    for part in ("license: other", "40 **synthetic** images of 4 classes, 8x8 pixels, RGB", "| dög | 10 |"):
        assert part in text
    for part in ("Generator test, seed 5", '"seed": 5', 'split="train"', "num_examples: 40"):
        assert part in text
