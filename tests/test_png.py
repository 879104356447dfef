"""Stored PNGs: pixel-exact for every tool, and whatever else a row holds is decoded or refused by name."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.images import Pixels
from pipeline.runtime.errors import UserError
from pipeline.shards.png import Bytes, decode_png, encode_png, read_shape

shapes = st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]))


def pixels(shape: tuple[int, ...], seed: int = 0) -> Pixels:
    """Random levels."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def decode(rows: list[bytes], shape: tuple[int, int, int]) -> Pixels:
    """The rows of a shard, decoded."""
    out = np.empty((len(rows), *shape), np.uint8)
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    decode_png(np.frombuffer(b"".join(rows), np.uint8), offsets, out, "file", 7)
    return out


def by_pillow(image: Pixels, **options: Any) -> bytes:
    """A compressed image file."""
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze()).save(buffer, **{"format": "PNG", **options})
    return buffer.getvalue()


@given(shapes, st.integers(0, 2**32))
def test_any_size_survives_both_ways(shape: tuple[int, int, int, int], seed: int) -> None:
    """Encoding and decoding any N, H, W, C gives the same pixels; all PNGs of a shape have one size."""
    images = pixels(shape, seed)
    pngs = encode_png(images)
    assert pngs.ndim == 2
    assert (decode([png.tobytes() for png in pngs], shape[1:]) == images).all()
    assert read_shape(pngs[0].tobytes(), "file") == shape[1:]


@pytest.mark.parametrize("shape", [(2, 32, 32, 3), (2, 8, 9, 1), (1, 1, 1, 1), (2, 200, 150, 3), (1, 21845, 1, 1)])
def test_pillow_opens_a_stored_png(shape: tuple[int, int, int, int]) -> None:
    """Pillow, which checks all checksums, sees the same pixels, also where one deflate block is too short."""
    images = pixels(shape)
    pngs = encode_png(images)
    for image, png in zip(images, pngs, strict=True):
        with Image.open(io.BytesIO(png.tobytes())) as opened:
            assert (np.asarray(opened).reshape(shape[1:]) == image).all()
    assert (decode([png.tobytes() for png in pngs], shape[1:]) == images).all()


def test_size_of_a_32x32_image() -> None:
    """A stored PNG of 32x32 RGB is 3,172 bytes: 100 more than its pixels."""
    assert encode_png(pixels((3, 32, 32, 3))).shape == (3, 3172)


def test_rows_encoded_by_another_program_are_decoded() -> None:
    """Ours, compressed PNGs and lossless WebPs side by side give the pixels they hold."""
    images = pixels((3, 16, 16, 3))
    ours = encode_png(images)[0].tobytes()
    rows = [ours, by_pillow(images[1]), by_pillow(images[2], format="WEBP", lossless=True)]
    assert (decode(rows, (16, 16, 3)) == images).all()


def checksums(png: Bytes) -> Bytes:
    """Adler and CRC of a stored PNG of one block, as bytes."""
    adler = struct.pack(">I", zlib.adler32(png[48:-20].tobytes()))
    crc = struct.pack(">I", zlib.crc32(png[37:-20].tobytes() + adler))
    return np.frombuffer(adler + crc, np.uint8)


def test_a_filtered_png_of_our_size_is_not_taken_for_ours() -> None:
    """A PNG as long as ours, but with another filter on one line, is decoded instead of copied."""
    images = np.repeat(pixels((1, 16, 1, 3)), 16, axis=2)
    ours = encode_png(images)[0]
    scanline = 48 + 5 * (1 + 16 * 3)
    filtered = ours.copy()
    filtered[scanline] = 1  # the filter Sub adds the pixel to the left
    filtered[-20:-12] = checksums(filtered)
    changed = decode([filtered.tobytes()], (16, 16, 3))
    with Image.open(io.BytesIO(filtered.tobytes())) as opened:
        assert (changed[0] == np.asarray(opened)).all()
    assert (changed[0, 5] != images[0, 5]).any()


def test_a_stored_png_of_another_shape_but_our_size_is_refused() -> None:
    """32x1 and 8x5 RGB make files of one length; the header decides."""
    tall = encode_png(pixels((1, 32, 1, 3)))[0].tobytes()
    assert len(tall) == encode_png(pixels((1, 8, 5, 3))).shape[1]
    with pytest.raises(UserError, match="file: row 7: the image is 32x1, expected 8x5"):
        decode([tall], (8, 5, 3))


@pytest.mark.parametrize("place", [0, 20, 40, 44])
def test_a_corrupted_frame_is_refused(place: int) -> None:
    """A changed signature, width, zlib header or block length is not read as pixels."""
    corrupted = encode_png(pixels((1, 8, 8, 3)))[0].copy()
    corrupted[place] ^= 1
    with pytest.raises(UserError, match="file: row 7: "):
        decode([corrupted.tobytes()], (8, 8, 3))


def test_colour_and_grey_are_converted() -> None:
    """A grey row among RGB ones is repeated over the channels; an alpha channel is dropped."""
    grey = pixels((1, 8, 8, 1))
    rgba = np.concatenate([pixels((1, 8, 8, 3)), np.full((1, 8, 8, 1), 255, np.uint8)], axis=3)
    found = decode([by_pillow(grey[0]), by_pillow(rgba[0])], (8, 8, 3))
    assert (found[0] == grey[0]).all()
    assert (found[1] == rgba[0, :, :, :3]).all()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (b"no image", "file: row 8: not a readable image"),
        (b"", "file: row 8: not a readable image"),
        (by_pillow(pixels((1, 9, 8, 3))[0]), "file: row 8: the image is 9x8, expected 8x8"),
        (by_pillow(np.zeros((8, 8), np.uint16)), "file: row 8: the image's mode is I;16"),
        (by_pillow(pixels((1, 8, 8, 3))[0])[:-40], "file: row 8: not a readable image"),
    ],
)
def test_a_row_that_cannot_be_decoded_is_named(row: bytes, message: str) -> None:
    """A broken, wrongly sized or 16-bit image is one line with file and row."""
    with pytest.raises(UserError, match=message) as caught:
        decode([encode_png(pixels((1, 8, 8, 3)))[0].tobytes(), row], (8, 8, 3))
    assert "\n" not in str(caught.value)
