"""What a shard is: its name, its size, its Arrow schema and the tables that fit it."""

import json
import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from pipeline.files import parse_json
from pipeline.images import Indices, Pixels
from pipeline.runtime.errors import UserError
from pipeline.shards.png import COLOUR_TYPES, MOST_PIXELS, Shape, encode_png, encode_small_png

Encoding: TypeAlias = Literal["stored_png", "png"]
"""PNGs without compression, or small ones; every reader takes both."""

ROW_GROUP_ROWS = 1024  # 3 MB at 32x32: buffers that stay in the cache
SHARD_ROWS = 16 * ROW_GROUP_ROWS
SHARD_NAME = re.compile(r"(?P<split>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.parquet")

# Hugging Face datasets shows images and class names only if the fields are exactly these, all nullable.
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FIELDS = [
    ("image", IMAGE),
    ("label", pa.int64()),
    ("index", pa.int64()),
    ("seed", pa.int64()),
    ("generator", pa.string()),
]
FEATURES_KEY = b"huggingface"
SHAPE_KEY = b"image_shape"  # height, width, channels: an empty split has no image to ask


def image_schema(class_names: Sequence[str], shape: Shape) -> pa.Schema:
    """Columns image (encoded), label, index, seed and generator, with class names and shape as metadata."""
    metadata = {FEATURES_KEY: _to_json(_features(class_names)), SHAPE_KEY: _to_json(list(shape))}
    return pa.schema(FIELDS, metadata=metadata)


def describe_format(encoding: Encoding) -> dict[str, str | int]:
    """What, besides the rows, the bytes of a shard depend on: pyarrow's version is in each footer."""
    versions: dict[str, str | int] = {"encoding": encoding, "pyarrow": pa.__version__}
    return versions | ({"pillow": version("pillow")} if encoding == "png" else {})


def shard_name(split: str, number: int, count: int) -> str:
    """File name of a shard; Hugging Face datasets takes the split from it."""
    return f"{split}-{number:05d}-of-{count:05d}.parquet"


def make_table(
    images: Pixels,
    labels: Indices,
    index: Indices,
    *,
    seed: int,
    generator: str,
    class_names: Sequence[str],
    encoding: Encoding,
) -> pa.Table:
    """Rows of a shard.

    Args:
        images: uint8 NHWC.
        labels: int64, shape N, 0 <= label < len(class_names).
        index: int64, shape N: which draw of the generator, or which row of the source.
        seed: drew the latents, or the split.
        generator: names what made the images.
        class_names: one name a class.
        encoding: of the images.
    """
    num_images, height, width, channels = images.shape
    assert labels.shape == index.shape == (num_images,)
    assert ((labels >= 0) & (labels < len(class_names))).all()
    columns = [
        _image_column(_stored_pngs(images) if encoding == "stored_png" else _small_pngs(images)),
        pa.array(labels, pa.int64()),
        pa.array(index, pa.int64()),
        pa.array(np.full(num_images, seed, np.int64)),
        pa.array([generator] * num_images, pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=image_schema(class_names, (height, width, channels)))


def read_class_names(schema: pa.Schema, where: str) -> tuple[str, ...]:
    """Class names in the metadata of a shard, ours or one written by Hugging Face datasets.

    Raises:
        UserError: there are none; begins with `where`.
    """
    try:
        names = parse_json((schema.metadata or {})[FEATURES_KEY])["info"]["features"]["label"]["names"]
    except (KeyError, TypeError, ValueError):
        names = None
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise UserError(
            f"{where}: its metadata names no classes; write it with this program, or with "
            "datasets.Dataset.to_parquet and a ClassLabel"
        )
    if len(set(names)) < len(names) or any("\ud800" <= letter <= "\udfff" for letter in "".join(names)):
        raise UserError(f"{where}: its metadata names a class twice, or in what is no text; write the file again")
    return tuple(names)


def stored_shape(schema: pa.Schema) -> Shape | None:
    """Height, width and channels of the images as our shards' metadata say; None where others wrote them."""
    try:
        shape = parse_json((schema.metadata or {})[SHAPE_KEY])
    except (KeyError, ValueError):
        return None
    if not (isinstance(shape, list) and len(shape) == 3 and all(type(size) is int and size > 0 for size in shape)):
        return None
    height, width, channels = shape
    return (height, width, channels) if channels in COLOUR_TYPES and height * width <= MOST_PIXELS else None


def _stored_pngs(images: Pixels) -> pa.Array:
    """uint8 NHWC => one stored PNG an image, without copying them."""
    pngs = encode_png(images)
    num_images, size = pngs.shape
    offsets = np.arange(num_images + 1, dtype=np.int64) * size
    assert offsets[-1] < 2**31  # Arrow's binary type has 32-bit offsets
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(pngs)]
    return pa.Array.from_buffers(pa.binary(), num_images, buffers)


def _small_pngs(images: Pixels) -> pa.Array:
    """uint8 NHWC => one compressed PNG an image."""
    return pa.array(encode_small_png(images), pa.binary())


def _image_column(encoded: pa.Array) -> pa.StructArray:
    """Encoded images => one struct {bytes, path: null} each."""
    return pa.StructArray.from_arrays([encoded, pa.nulls(len(encoded), pa.string())], fields=list(IMAGE))


def _features(class_names: Sequence[str]) -> dict[str, Any]:
    """The columns in the words of Hugging Face datasets."""
    features: dict[str, Any] = {name: {"_type": "Value", "dtype": str(kind)} for name, kind in FIELDS[2:]}
    features["image"] = {"_type": "Image"}
    features["label"] = {"_type": "ClassLabel", "names": list(class_names)}
    return {"info": {"features": features}}


def _to_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
