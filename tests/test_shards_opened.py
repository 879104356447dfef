"""The tools that people use open the shards, and read the same pixels, labels and class names."""

import io
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from pipeline.dataset.torch_dataset import ImageDataset, ImageStream
from pipeline.images import LabelledImages, Pixels
from pipeline.shards.reader import read_images
from tests.shard_inputs import NAMES, dataset


def opened(encoded: bytes) -> Pixels:
    """Pixels of an encoded image, by Pillow."""
    with Image.open(io.BytesIO(encoded)) as image:
        return np.asarray(image)


def check_rows(found: list[tuple[bytes, int]], images: LabelledImages) -> None:
    """Encoded images and labels are those of `images`, in order."""
    assert (np.stack([opened(encoded) for encoded, _ in found]) == images.images).all()
    assert [label for _, label in found] == images.labels.tolist()


def test_pandas_opens_the_shards(root: Path, images: LabelledImages) -> None:
    """pandas.read_parquet of the data folder gives every image, pixel by pixel."""
    table = pd.read_parquet(root / "data")
    check_rows([(image["bytes"], label) for image, label in zip(table["image"], table["label"], strict=True)], images)


def test_pyarrow_opens_the_shards(root: Path, images: LabelledImages) -> None:
    """pyarrow.parquet.read_table of the data folder gives every image, pixel by pixel."""
    rows = pq.read_table(root / "data").to_pylist()
    check_rows([(row["image"]["bytes"], row["label"]) for row in rows], images)


def test_duckdb_opens_the_shards(root: Path, images: LabelledImages) -> None:
    """DuckDB reads the files with a glob, orders and filters by index."""
    query = f"SELECT image.bytes, label FROM '{root}/data/*.parquet' ORDER BY index"  # noqa: S608
    check_rows(duckdb.execute(query).fetchall(), images)
    query = f"SELECT count(*) FROM '{root}/data/*.parquet' WHERE label = 1 AND index >= 20"  # noqa: S608
    assert duckdb.execute(query).fetchall() == [(5,)]


def test_polars_opens_the_shards(root: Path, images: LabelledImages) -> None:
    """polars.read_parquet of the data folder gives every image, pixel by pixel."""
    table = pl.read_parquet(root / "data")
    check_rows([(image["bytes"], label) for image, label in table.select("image", "label").iter_rows()], images)


@pytest.fixture
def datasets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Hugging Face datasets, offline and with all its files in the test's folder."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    import datasets  # here, because it reads these variables when it is imported

    return datasets


def check_hugging_face(found: Any, images: LabelledImages) -> None:
    """Decoded images, labels and class names are those of `images`."""
    assert found.features["label"].names == list(NAMES)
    assert (np.stack([np.asarray(image) for image in found["image"]]) == images.images).all()
    assert list(found["label"]) == images.labels.tolist()


def test_hugging_face_opens_the_shards(datasets: Any, root: Path, images: LabelledImages, tmp_path: Path) -> None:
    """load_dataset gives decoded images and class names, from the files alone and by the folder's card."""
    cache = str(tmp_path / "cache")
    files = str(root / "data" / "*.parquet")
    from_files = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=cache)
    check_hugging_face(from_files, images)
    check_hugging_face(datasets.load_dataset(str(root), split="train", cache_dir=cache), images)


def test_hugging_face_streams_the_shards(datasets: Any, root: Path, images: LabelledImages, tmp_path: Path) -> None:
    """streaming=True gives the rows one by one, without a cache, decoded and with class names."""
    stream = datasets.load_dataset(str(root), split="train", streaming=True)
    rows = list(stream)
    assert stream.features["label"].names == list(NAMES)
    assert (np.stack([np.asarray(row["image"]) for row in rows]) == images.images).all()
    assert [row["label"] for row in rows] == images.labels.tolist()


def test_hugging_face_refuses_a_dataset_that_lacks_a_shard(datasets: Any, root: Path, tmp_path: Path) -> None:
    """The card's row count makes load_dataset stop where a shard is missing."""
    (root / "data/train-00002-of-00005.parquet").unlink()
    with pytest.raises(datasets.utils.info_utils.NonMatchingSplitsSizesError):
        datasets.load_dataset(str(root), split="train", cache_dir=str(tmp_path / "cache"))


def test_what_hugging_face_writes_again_is_read(
    datasets: Any, root: Path, images: LabelledImages, tmp_path: Path
) -> None:
    """A dataset mapped over its images and written by datasets comes back to us, class names included."""
    found = datasets.load_dataset(str(root), split="train", cache_dir=str(tmp_path / "cache"))
    mirrored = found.map(lambda row: {"image": row["image"].transpose(Image.Transpose.FLIP_LEFT_RIGHT)})
    (tmp_path / "again").mkdir()
    mirrored.to_parquet(str(tmp_path / "again" / "train-00000-of-00001.parquet"))
    again = read_images(tmp_path / "again")
    assert (again.images == images.images[:, :, ::-1]).all()
    assert again.class_names == NAMES


def test_what_polars_writes_again_is_read(root: Path, images: LabelledImages, tmp_path: Path) -> None:
    """A selection by polars, in its own types, is read once it has the class names of the original."""
    table = pl.scan_parquet(root / "data" / "*.parquet").filter(pl.col("index") % 2 == 1).collect().to_arrow()
    names = pq.read_schema(next((root / "data").iterdir())).metadata
    (tmp_path / "again").mkdir()
    pq.write_table(table.replace_schema_metadata(names), tmp_path / "again" / "train-00000-of-00001.parquet")
    assert (read_images(tmp_path / "again").images == images.images[1::2]).all()


def test_the_code_on_the_card_runs(
    datasets: Any, root: Path, images: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the card says on how to load the dataset, tool by tool, is code that runs in its folder."""
    monkeypatch.chdir(root)
    code = (root / "README.md").read_text().split("```python\n")[1].split("```")[0]
    found: dict[str, Any] = {}
    exec(code, found)  # noqa: S102 - our own card
    assert (found["pixels"].numpy() == images.images).all()
    check_hugging_face(found["dataset"], images)


def test_small_pngs_hold_the_same_images(tmp_path: Path, images: LabelledImages) -> None:
    """Encoding `png` gives other tools and our reader the same pixels; smooth images take less than half the bytes."""
    ramp = np.arange(32, dtype=np.uint8)
    smooth = LabelledImages(np.broadcast_to(4 * ramp[:, None, None], (40, 32, 32, 3)).copy(), images.labels, NAMES)
    for name, given in (("noise", images), ("smooth", smooth)):
        small, stored = (dataset(tmp_path / f"{name}-{kind}", given, kind) for kind in ("png", "stored_png"))
        assert (read_images(small / "data").images == given.images).all()
        table = pq.read_table(small / "data").to_pylist()
        check_rows([(row["image"]["bytes"], row["label"]) for row in table], given)
        assert "content_sha256" in (small / "manifest.json").read_text()
    sizes = [sum(file.stat().st_size for file in (root / "data").iterdir()) for root in (small, stored)]
    assert sizes[0] < sizes[1] / 2


def keys(rows: list[tuple[torch.Tensor, int]]) -> list[tuple[bytes, int]]:
    """Images and labels that can be compared and counted."""
    return sorted((image.numpy().tobytes(), int(label)) for image, label in rows)


def wanted(images: LabelledImages) -> list[tuple[bytes, int]]:
    """The same of the images that were written, each once."""
    chw = np.ascontiguousarray(images.images.transpose(0, 3, 1, 2))
    return sorted((image.tobytes(), int(label)) for image, label in zip(chw, images.labels, strict=True))


def test_a_torch_dataset_gives_rows_by_number(root: Path, images: LabelledImages) -> None:
    """ImageDataset: uint8 CHW and label of a row, class names, a transform; a DataLoader batches it."""
    found = ImageDataset(root / "data")
    assert (len(found), found.class_names) == (40, NAMES)
    image, label = found[7]
    assert (image.numpy() == images.images[7].transpose(2, 0, 1)).all()
    assert label == images.labels[7]
    batches = list(DataLoader(ImageDataset(root / "data", lambda x: x.float() / 255), batch_size=16))
    assert [len(labels) for _, labels in batches] == [16, 16, 8]
    assert batches[0][0].dtype == torch.float32


@pytest.mark.parametrize(("workers", "ranks"), [(0, 1), (2, 1), (0, 3), (2, 2)])
def test_a_torch_stream_gives_each_image_once(root: Path, images: LabelledImages, workers: int, ranks: int) -> None:
    """ImageStream: over all workers of all ranks together each image comes exactly once, in an order of its epoch."""
    rows = []
    for rank in range(ranks):
        stream = ImageStream(root / "data", seed=1, rank=rank, world_size=ranks)
        rows.append(list(DataLoader(stream, batch_size=None, num_workers=workers)))
    assert keys([row for part in rows for row in part]) == wanted(images)
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_a_torch_stream_orders_each_epoch_anew(root: Path, images: LabelledImages) -> None:
    """The order is a function of seed and epoch, and workers that persist see the epoch change."""
    stream = ImageStream(root / "data", seed=1)
    loader = DataLoader(stream, batch_size=None, num_workers=1, persistent_workers=True)
    orders = []
    for epoch in (0, 1, 0):
        stream.set_epoch(epoch)
        orders.append([image.numpy().tobytes() for image, _ in loader])
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


def test_a_torch_stream_asks_the_launcher_for_its_rank(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RANK and WORLD_SIZE, as torchrun sets them, cut the stream; a rank that cannot be is refused."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert len(list(ImageStream(root / "data", seed=0))) == 10
    with pytest.raises(ValueError, match="rank 4 is none of 4"):
        ImageStream(root / "data", seed=0, rank=4)
