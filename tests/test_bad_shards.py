"""Shards, scores and counts that are damaged, of others, or do not belong together."""

import io
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.assessment.assess import check_generator
from pipeline.dataset.verify import find_problems
from pipeline.runtime.errors import UserError
from pipeline.shards.manifest import read_manifest
from pipeline.shards.reader import read_alike, read_file_column, read_images
from pipeline.shards.scores import read_probabilities, read_scores
from pipeline.sources.description import read_description
from tests.bad_files import Check, Spoil, Work, change_json, cut, flip_byte, link_to_itself, make_folder
from tests.shard_inputs import dataset, labelled
from tests.test_sources import png_header

DATA, NAME = "data/synthetic/0/data", "train-00000-of-00001.parquet"
SHARD, TRAIN, SCORES = f"{DATA}/{NAME}", f"data/prepared/0/train/{NAME}", "data/scores/0/scores.parquet"
AGAIN, PREPARED = "dvc repro assess", Path("data/prepared/0")


def rewrite(file: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Writes a Parquet file again after `change` of its table."""
    pq.write_table(change(pq.read_table(file)), file)


def put(file: str, column: str, row: int, value: object) -> None:
    """Sets one value."""

    def change(table: pa.Table) -> pa.Table:
        values, field = table[column].to_pylist(), table.schema.field(column)
        values[row] = value
        return table.set_column(table.schema.get_field_index(column), field, pa.array(values, field.type))

    rewrite(file, change)


def retype(file: str, column: str, kind: pa.DataType) -> None:
    """Casts a column."""

    def change(table: pa.Table) -> pa.Table:
        return table.set_column(table.schema.get_field_index(column), column, table[column].cast(kind))

    rewrite(file, change)


def tell(file: str, key: bytes, value: object) -> None:
    """Replaces one entry of the metadata by JSON."""
    rewrite(file, lambda table: table.replace_schema_metadata(
        dict(table.schema.metadata) | {key: json.dumps(value).encode()}))  # fmt: skip


def names(values: object) -> dict[str, object]:
    """Metadata with these class names."""
    return {"info": {"features": {"label": {"_type": "ClassLabel", "names": values}}}}


def tiff() -> bytes:
    """One image in a format that shards may hold, but of another size."""
    data = io.BytesIO()
    Image.new("L", (5, 5)).save(data, "TIFF")
    return data.getvalue()


def eps() -> bytes:
    """PostScript, for which Pillow would start a program."""
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\nshowpage\n%%EOF\n"


def other_dataset() -> None:
    """Shards of another data set in place of the synthetic ones."""
    shutil.rmtree("data/synthetic/0")
    dataset(Path("data/synthetic/0"), labelled(40))


def fewer_rows(table: pa.Table) -> pa.Table:
    """All but the last row."""
    return table.slice(0, len(table) - 1)


def twice(folder: str) -> None:
    """A second set of shards beside the first."""
    shutil.copy(f"{folder}/{NAME}", f"{folder}/train-00000-of-00002.parquet")


CASES: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "shard: cut off": (lambda: cut(SHARD, 0.9), (SHARD, "dvc checkout")),
    "shard: empty file": (lambda: cut(SHARD, 0), (SHARD, "dvc checkout")),
    "shard: flipped in the footer": (lambda: flip_byte(SHARD, 0.9999), (SHARD,)),
    "shard: text": (lambda: Path(SHARD).write_text("<html>404</html>"), (SHARD, "dvc checkout")),
    "shard: a folder in its place": (lambda: make_folder(SHARD), (SHARD,)),
    "shard: a link to itself": (lambda: link_to_itself(SHARD), (SHARD,)),
    "shard: missing": (lambda: Path(SHARD).unlink(), (DATA, "dvc repro")),
    "shard: one of two missing": (
        lambda: Path(SHARD).rename(f"{DATA}/train-00000-of-00002.parquet"), ("00001-of-00002", "missing")),
    "shard: one too many": (lambda: twice(DATA), (DATA, "2 sets")),
    "shard: foreign name": (lambda: Path(SHARD).rename(f"{DATA}/x.parquet"), ("x.parquet", "not named")),
    "shard: no column image": (lambda: rewrite(SHARD, lambda t: t.drop_columns(["image"])), (SHARD, "image")),
    "shard: no column label": (lambda: rewrite(SHARD, lambda t: t.drop_columns(["label"])), (SHARD, "label")),
    "shard: labels are text": (lambda: retype(SHARD, "label", pa.string()), (SHARD, "string", "int64")),
    "shard: images are text": (
        lambda: rewrite(SHARD, lambda t: t.set_column(0, "image", pa.array(["x"] * len(t)))), (SHARD, "image")),
    "shard: label out of range": (lambda: put(SHARD, "label", 3, 10), (SHARD, "row 3", "label 10")),
    "shard: label negative": (lambda: put(SHARD, "label", 3, -1), (SHARD, "row 3", "label -1")),
    "shard: label missing": (lambda: put(SHARD, "label", 3, None), (SHARD, "row 3")),
    "shard: image missing": (lambda: put(SHARD, "image", 3, None), (SHARD, "row 3", "no image bytes")),
    "shard: image of no bytes": (lambda: put(SHARD, "image", 3, {"bytes": b"", "path": None}), (SHARD, "row 3")),
    "shard: image is no image": (
        lambda: put(SHARD, "image", 3, {"bytes": b"?", "path": None}), (SHARD, "row 3", "not a readable")),
    "shard: image of 60,000 x 60,000": (
        lambda: put(SHARD, "image", 3, {"bytes": png_header(60_000, 60_000), "path": None}),
        (SHARD, "row 3", "decompression bomb")),
    "shard: image of 9,000 x 9,000": (
        lambda: put(SHARD, "image", 3, {"bytes": png_header(9_000, 9_000), "path": None}),
        (SHARD, "row 3", "9000 x 9000")),
    "shard: image of another size": (
        lambda: put(SHARD, "image", 3, {"bytes": tiff(), "path": None}), (SHARD, "row 3", "5x5")),
    "shard: image that starts a program": (
        lambda: put(SHARD, "image", 3, {"bytes": eps(), "path": None}), (SHARD, "row 3", "not a readable")),
    "shard: no class names": (lambda: rewrite(SHARD, lambda t: t.replace_schema_metadata(None)), (SHARD,)),
    "shard: class names are a word": (lambda: tell(SHARD, b"huggingface", names("0123456789")), (SHARD,)),
    "shard: class names are a number": (lambda: tell(SHARD, b"huggingface", names(7)), (SHARD,)),
    "shard: class names are numbers": (lambda: tell(SHARD, b"huggingface", names([*range(10)])), (SHARD,)),
    "shard: a class twice": (lambda: tell(SHARD, b"huggingface", names(["a"] * 10)), (SHARD, "twice")),
    "shard: a class that is no text": (
        lambda: tell(SHARD, b"huggingface", names(["\ud800", *map(str, range(9))])), (SHARD, "no text")),
    "shard: metadata nested": (
        lambda: rewrite(SHARD, lambda t: t.replace_schema_metadata({b"huggingface": b"[" * 10**5})), (SHARD,)),
    "shard: image_shape is vast": (
        lambda: tell(SHARD, b"image_shape", [4096, 4096, 3]), (SHARD, "row 0", "expected 4096x4096")),
    "shard: of another data set": (other_dataset, (DATA, "differ", "dvc repro")),
    "shard: of other classes": (
        lambda: tell(SHARD, b"huggingface", names(list("abcdefghij"))), (DATA, "differ", "dvc repro")),
    "shard: an image of another generator": (
        lambda: put(SHARD, "generator", 3, "0" * 64), (DATA, "drawn by 000000000000…", "synthesize")),
    "shard: without rows": (lambda: rewrite(SHARD, lambda t: t.slice(0, 0)), (DATA, "no image")),
    "assess: without one class": (
        lambda: rewrite(SHARD, lambda t: t.filter(pa.compute.not_equal(t["label"], 4))), ("[4]", "synthesize")),
    "train_classifier: of another data set": (other_dataset, (DATA, "differ", "dvc repro")),
    "train_gan: cut off": (lambda: cut(TRAIN, 0.5), (TRAIN, "dvc checkout")),
    "train_baseline: without rows": (lambda: rewrite(TRAIN, lambda t: t.slice(0, 0)), ("train", "no image")),
    "real: val of other classes": (
        lambda: tell(TRAIN.replace("train", "val"), b"huggingface", names(list("abcdefghij"))),
        ("data/prepared/0/val", "differ")),
    "scores: missing": (lambda: Path(SCORES).unlink(), (SCORES, AGAIN)),
    "scores: cut off": (lambda: cut(SCORES, 0.5), (SCORES, AGAIN)),
    "scores: a row less": (lambda: rewrite(SCORES, fewer_rows), (SCORES, "other images than the 40", AGAIN)),
    "scores: of other images": (
        lambda: rewrite(SCORES, lambda t: t.replace_schema_metadata({"images_sha256": "0" * 64})),
        (SCORES, "other images", AGAIN)),
    "scores: column missing": (
        lambda: rewrite(SCORES, lambda t: t.drop_columns(["confidence"])), (SCORES, "confidence")),
    "scores: no digest": (lambda: rewrite(SCORES, lambda t: t.replace_schema_metadata(None)), (SCORES, "other images")),
    "scores: value missing": (lambda: put(SCORES, "confidence", 3, None), (SCORES, "confidence")),
    "scores: NaN": (lambda: put(SCORES, "confidence", 3, float("nan")), (SCORES, "confidence")),
    "scores: text": (lambda: retype(SCORES, "confidence", pa.string()), (SCORES, "confidence")),
    "counts: missing": (lambda: Path("data/prepared/0/dataset.json").unlink(), ("dataset.json", "prepare")),
    "counts: beyond numbers": (
        lambda: change_json("data/prepared/0/dataset.json", counts={"train": {str(k): 10**15 for k in range(10)},
        "reserve": {str(k): 0 for k in range(10)}}), ("dataset.json", "prepare")),
    "counts: negative": (
        lambda: change_json("data/prepared/0/dataset.json", counts={"train": {str(k): -1 for k in range(10)},
        "reserve": {str(k): 0 for k in range(10)}}), ("dataset.json", "prepare")),
    "counts: no JSON": (lambda: cut("data/prepared/0/dataset.json", 0.5), ("dataset.json", "prepare")),
}  # fmt: skip


def read_drawn() -> None:
    """As assess does."""
    read_alike(PREPARED / "train", PREPARED / "val", Path(DATA))
    check_generator(Path(DATA), Path("models/gan/0"), None)


READERS: dict[str, Work] = {
    **{stage: stage for stage in ("train_gan", "train_baseline", "assess", "train_classifier")},
    "shard": read_drawn,
    "real": lambda: read_alike(PREPARED / "train", PREPARED / "val"),
    "scores": lambda: read_scores(Path(SCORES).parent, ("confidence", "near_copy"), read_images(Path(DATA))),
    "counts": lambda: read_description(PREPARED / "dataset.json").train_counts(),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_shards_are_one_line(case: str, workdir: Path, check_refusal: Check) -> None:
    """Damaged, foreign, missing, surplus, mismatched: one line that names file and row, nothing changed."""
    damage, told = CASES[case]
    damage()
    check_refusal(READERS[case.split(":")[0]], *told)


# ---- any bytes ----------------------------------------------------------------------------------------------


def only_user_errors(work: Callable[[], object]) -> object:
    """What `work` returns, or None where it raised a UserError; any other exception fails the test."""
    try:
        return work()
    except UserError:
        return None


@given(data=st.data())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_to_a_shard_is_told_or_harmless(data: st.DataObject, root: Path) -> None:
    """Bytes changed, cut out, or put in anywhere: rows or a UserError, and what is read of whole rows is right."""
    file = root / "data" / "train-00000-of-00005.parquet"
    whole = file.read_bytes()
    bad = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        place, size = data.draw(st.integers(0, len(bad) - 1)), data.draw(st.integers(0, 40))
        bad[place : place + size] = data.draw(st.binary(max_size=40))
    file.write_bytes(bad)
    try:
        only_user_errors(lambda: read_images(root / "data"))
        only_user_errors(lambda: read_file_column(file, "index"))
        assert bytes(bad) == whole or find_problems(root)
    finally:
        file.write_bytes(whole)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
                    max_leaves=6)  # fmt: skip


@given(data=st.data())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_in_a_manifest_is_told_or_harmless(data: st.DataObject, root: Path) -> None:
    """Any value anywhere in manifest.json: problems, a UserError, or nothing to tell."""
    file = root / "manifest.json"
    whole = file.read_bytes()
    content = json.loads(whole)
    block = data.draw(st.sampled_from([content, content["splits"], content["splits"]["train"][0]]))
    key = data.draw(st.sampled_from(sorted(block)))
    block[key] = data.draw(JSON)
    file.write_text(json.dumps(content))
    try:
        manifest, problems = (only_user_errors(partial(read, root)) for read in (read_manifest, find_problems))
        assert manifest is not None or problems is None, "verify reads no more than what is a manifest"
    finally:
        file.write_bytes(whole)


@given(st.binary(max_size=300), st.integers(0, 3000))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_to_scores_is_told_or_harmless(stages_done: Path, tmp_path: Path, junk: bytes, place: int) -> None:
    """Bytes over any part of scores.parquet: the columns in their types, or a UserError."""
    whole = (stages_done / SCORES).read_bytes()
    (tmp_path / "scores.parquet").write_bytes(whole[:place] + junk + whole[place + len(junk) :])
    images = read_images(stages_done / "data/synthetic/0/data")
    found = only_user_errors(lambda: read_scores(tmp_path, ("confidence", "near_copy"), images))
    assert found is None or all(len(column) == len(images) for column in found.values())  # type: ignore[attr-defined]
    rows = only_user_errors(lambda: read_probabilities(tmp_path, images))
    assert rows is None or np.allclose(np.asarray(rows).sum(1), 1, atol=1e-2)
