"""Own images as Parquet files in Hugging Face's layout, and as a CSV list of files and labels."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.files import to_json
from pipeline.runtime.errors import UserError
from pipeline.sources import csv_list, parquet
from pipeline.sources.splits import RealImages
from tests.test_sources import ask


def encoded(level: int, form: str = "PNG") -> bytes:
    """A flat grey picture."""
    buffer = io.BytesIO()
    Image.new("L", (20, 24), level).save(buffer, form)
    return buffer.getvalue()


def write_parquet(
    file: Path, levels: list[int], labels: list[Any], *, names: list[str] | None = None, plain: bool = False
) -> Path:
    """A file as `datasets` writes it, rows in groups of two; `plain`: bytes without a struct, columns img, labels."""
    images: list[Any] = [encoded(level) for level in levels]
    if not plain:
        images = [{"bytes": image, "path": None} for image in images]
    table = pa.table({"img": images, "labels": labels} if plain else {"image": images, "label": labels})
    if names:
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({b"huggingface": to_json({"info": {"features": features}})})
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file, row_group_size=2)
    return file


def load_parquet(path: Path) -> RealImages:
    """What prepare would read, at 16 pixels."""
    return parquet.load(ask("parquet", 16, path))


def levels_of(images: Any) -> list[int]:
    """The first pixel of each."""
    levels: list[int] = images.images[:, 0, 0, 0].tolist()
    return levels


def test_parquet_in_the_layout_of_hugging_face(tmp_path: Path) -> None:
    """Splits by file names, rows over groups and shards in their order, names from the metadata."""
    names = ["cat", "ant"]
    write_parquet(tmp_path / "data/train-00000-of-00002.parquet", [0, 10, 20], [0, 1, 1], names=names)
    write_parquet(tmp_path / "data/train-00001-of-00002.parquet", [30], [0], names=names)
    write_parquet(tmp_path / "data/test-00000-of-00001.parquet", [40, 50], [1, 0], names=names)
    pool, test = load_parquet(tmp_path)
    assert test is not None
    assert pool.class_names == test.class_names == ("cat", "ant")
    assert (levels_of(pool), pool.labels.tolist()) == ([0, 10, 20, 30], [0, 1, 1, 0])
    assert (levels_of(test), test.labels.tolist()) == ([40, 50], [1, 0])
    assert pool.images.shape == (4, 16, 16, 3)


def test_parquet_splits_by_folder(tmp_path: Path) -> None:
    """As the Hub converts every data set; without test, validation is the official test set."""
    write_parquet(tmp_path / "default/train/0000.parquet", [0, 10], ["b", "a"])
    write_parquet(tmp_path / "default/validation/0000.parquet", [20, 30], ["a", "b"])
    pool, test = load_parquet(tmp_path)
    assert test is not None
    assert (levels_of(pool), levels_of(test)) == ([0, 10], [20, 30])


@pytest.mark.parametrize(
    ("labels", "class_names"),
    [([10, 9, 10], ("9", "10")), (["b", "B", "b"], ("B", "b")), (["10", "9", "9"], ("9", "10"))],
)
def test_parquet_without_names(labels: list[Any], class_names: tuple[str, ...], tmp_path: Path) -> None:
    """One file, other columns, plain bytes: classes are the labels that occur, numbers in their order."""
    pool, test = load_parquet(write_parquet(tmp_path / "test.parquet", [0, 10, 20], labels, plain=True))
    assert test is None
    assert pool.class_names == class_names
    assert [pool.class_names[label] for label in pool.labels] == list(map(str, labels))


@pytest.mark.parametrize(
    ("labels", "names", "said"),
    [
        ([0, 2, 1], ["a", "b"], r"a.parquet: row 1: its label is 2, which names no class"),
        ([0, -1, 1], None, "row 1: its label is -1"),
        ([0, None, 1], None, "row 1: its label is None"),
        ([[0], [1], [1]], None, r"row 0: its label is \[0\]"),
        ([0, 0, 0], None, "one class only, 0"),
    ],
)
def test_parquet_labels_that_name_no_class(
    labels: list[Any], names: list[str] | None, said: str, tmp_path: Path
) -> None:
    """One line with file and row."""
    with pytest.raises(UserError, match=said):
        load_parquet(write_parquet(tmp_path / "a.parquet", [0, 10, 20], labels, names=names))


def test_parquet_rows_that_are_no_images_are_named(tmp_path: Path) -> None:
    """A row of no bytes and one of other bytes, by their rows in the file."""
    file = tmp_path / "a.parquet"
    images = [{"bytes": data, "path": "x"} for data in (encoded(0), None, encoded(9), b"?")]
    pq.write_table(pa.table({"image": images, "label": [0, 1, 0, 1]}), file, row_group_size=2)
    with pytest.raises(UserError) as error:
        load_parquet(file)
    assert f"2 of 4 files cannot be read: {file}: row 1 (not an image), {file}: row 3 (not an image)" in str(
        error.value
    )


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"picture": [b""], "label": [0]}, r"has no column image or img \(it has picture, label\)"),
        ({"image": [b""], "kind": [0]}, "has no column label or labels or class"),
        ({"image": ["a.png"], "label": [0]}, "column image is string: expected encoded images"),
    ],
)
def test_parquet_of_other_columns_is_refused(table: dict[str, list[Any]], said: str, tmp_path: Path) -> None:
    """With what there is and what is looked for."""
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=said):
        load_parquet(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda root: root / "none", "none is not a folder that can be read"),
        (lambda root: root, r"holds no Parquet files"),
        (lambda root: root / ("x" * 5000), "File name too long"),
        (lambda root: write_parquet(root / "test/a.parquet", [0], [0]).parents[1], "no file of train, only of test"),
    ],
)
def test_parquet_that_is_not_there(spoil: Any, said: str, tmp_path: Path) -> None:
    """The path, and what is wrong with it."""
    with pytest.raises(UserError, match=said):
        load_parquet(spoil(tmp_path))


def test_parquet_that_is_cut_off(tmp_path: Path) -> None:
    """Half a file."""
    file = write_parquet(tmp_path / "a.parquet", [0, 10], [0, 1])
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(UserError, match=r"a.parquet: not a readable Parquet file"):
        load_parquet(file)


# CSV --------------------------------------------------------------------------------------------------------


def write_csv(root: Path, text: str) -> RealImages:
    """What prepare would read of a list, whose pictures a.png, b/c.png and d.jpeg are there."""
    for level, (file, form) in enumerate({"a.png": "PNG", "b/c.png": "PNG", "d.jpeg": "JPEG"}.items()):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(encoded(10 * level, form))
    (root / "list.csv").write_bytes(text.encode())
    return csv_list.load(ask("csv", 16, root / "list.csv"))


def test_a_csv_list(tmp_path: Path) -> None:
    """Files beside the list, other columns, quotes, a byte order mark and Windows's line ends."""
    pool, test = write_csv(tmp_path, '\ufefflabel,size,file\r\n"cat, old",1,b/c.png\r\nant,2,a.png\r\n')
    assert test is None
    assert pool.class_names == ("ant", "cat, old")
    assert (levels_of(pool), pool.labels.tolist()) == ([10, 0], [1, 0])


def test_a_csv_list_with_splits(tmp_path: Path) -> None:
    """The official test set is used."""
    text = "file,label,split\na.png,1,train\nb/c.png,2,\nd.jpeg,1,Test\na.png,2,test\n"
    pool, test = write_csv(tmp_path, text)
    assert test is not None
    assert (levels_of(pool), levels_of(test)) == ([0, 10], [20, 0])
    assert np.array_equal(pool.labels, [0, 1])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "its first line is empty: name the columns file and label"),
        ("a.png,ant\nb/c.png,bee\n", "its first line is a.png,ant"),
        ("file,label\na.png,ant\nb/c.png,\n", "line 3 lacks its file or its label"),
        ("file,label,split\na.png,ant,none\n", "line 2: its split is none"),
        ("file,label\na.png,ant\nnone.png,bee\n", r"none.png \(.*No such file"),
        ("file,label\na.png,ant\n", "one class only, ant"),
        ("file,label\n", "lists no picture of train"),
        ('file,label\n"a.png,ant\n', "is no CSV file in UTF-8 that can be read"),
        ("file,label,split\na.png,ant,\nd.jpeg,bee,\na.png,ant,test\nd.jpeg,cow,test\n", r"same classes \(bee, cow in"),
    ],
)
def test_a_wrong_csv_list_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    """The line, and what to do."""
    with pytest.raises(UserError, match=said):
        write_csv(tmp_path, text)


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"file,label\na\xe9.png,b\n"])
def test_a_csv_list_of_other_bytes_is_refused(data: bytes, tmp_path: Path) -> None:
    """Not UTF-8."""
    (tmp_path / "list.csv").write_bytes(data)
    with pytest.raises(UserError, match="is no CSV file in UTF-8"):
        csv_list.load(ask("csv", 16, tmp_path / "list.csv"))
