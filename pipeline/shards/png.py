"""PNGs: without compression, so that each pixel is at a known offset, or small.

A PNG's pixels are a zlib stream of scanlines. Here that stream consists of stored (uncompressed) deflate
blocks (RFC 1951, 3.2.4) and every scanline has filter 0, so all images of a shape share one template and
differ only in pixels and checksums. Thousands are packed or read by copying columns of a byte matrix. Small PNGs
are Pillow's, and cost many times as much.
"""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from zlib_ng.zlib_ng import adler32, crc32  # the same sums as zlib's, in a quarter of the time

from pipeline.images import Pixels
from pipeline.runtime.errors import UserError

Bytes = NDArray[np.uint8]
Shape: TypeAlias = tuple[int, int, int]
"""Height, width, channels."""

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 3: 2}  # channels -> PNG's colour type: grey, RGB
LONGEST_BLOCK = 65535  # bytes in a stored deflate block
PACKED = 64  # images at a time: what is written of them is still in the cache when it is read again
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # some of Pillow's other decoders start programs
MOST_PIXELS = 2**24  # of one image: far beyond what a classifier here takes, far below what would fill the memory
EIGHT_BIT_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")  # Pillow's; wider ones would be clipped by convert()


@dataclass(frozen=True)
class Template:
    """What all stored PNGs of one shape have in common.

    Attributes:
        png: the whole file for zero pixels, with both checksums of the pixels left zero.
        blocks: (offset in the file, offset in the scanlines, length) of each deflate block, in bytes.
        fixed: slices of the file that hold neither pixels nor their checksums.
    """

    png: Bytes
    blocks: list[tuple[int, int, int]]
    fixed: list[slice]


def encode_png(images: Pixels) -> Bytes:
    """uint8 NHWC (C = 1 or 3) => stored PNGs, shape (N, bytes of one)."""
    template = _template(_shape(images))
    pngs = np.empty((len(images), len(template.png)), np.uint8)
    for first in range(0, len(images), PACKED):
        _pack(images[first : first + PACKED], template, pngs[first : first + PACKED])
    return pngs


def _pack(images: Pixels, template: Template, pngs: Bytes) -> None:
    """uint8 NHWC => `pngs`, written whole."""
    scanlines = _scanlines(images)
    pngs[...] = template.png
    for to, start, length in template.blocks:
        pngs[:, to : to + length] = scanlines[:, start : start + length]
    pngs[:, -20:-16] = _big_endian([adler32(row) for row in scanlines])
    pngs[:, -16:-12] = _big_endian([crc32(row) for row in pngs[:, 37:-16]])  # from the letters IDAT on


def stored_size(shape: Shape) -> int:
    """Bytes of a stored PNG."""
    return len(_template(shape).png)


def encode_small_png(images: Pixels) -> list[bytes]:
    """uint8 NHWC (C = 1 or 3) => compressed PNGs; the bytes depend on the builds of Pillow and its zlib."""
    from PIL import Image

    buffers = [io.BytesIO() for _ in images]
    for image, buffer in zip(images, buffers, strict=True):
        Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).save(buffer, "PNG", compress_level=9)
    return [buffer.getvalue() for buffer in buffers]


def decode_png(data: Bytes, offsets: NDArray[np.int64], out: Pixels, where: str, first_row: int) -> None:
    """PNGs that lie one after the other => `out`.

    Stored PNGs are copied without reading their checksums (a shard's sha256 covers them); what another
    program encoded again goes through Pillow and is converted to the channels of `out`.

    Args:
        data: the files' bytes, shape (bytes,).
        offsets: N + 1 positions in `data`; image i ends where image i + 1 begins.
        out: uint8 NHWC, written; its height, width and channels are expected of every image.
        where: file to name in an error.
        first_row: row of image 0 in that file.

    Raises:
        UserError: an image that cannot be decoded or has another height or width; names file and row.
    """
    assert out.flags.c_contiguous  # else reshape would write to a copy
    template = _template(_shape(out))
    stored = np.zeros(len(out), np.bool_)
    if (np.diff(offsets) == len(template.png)).all():
        stored = _copy_stored(data[offsets[0] : offsets[-1]].reshape(-1, len(template.png)), template, out)
    for i in np.flatnonzero(~stored):
        image = data[offsets[i] : offsets[i + 1]].tobytes()
        out[i] = _decode_any(image, _shape(out), f"{where}: row {first_row + i}")


def read_shape(image: bytes, where: str) -> Shape:
    """Height, width and channels of an encoded image; where it has colour or alpha, 3 channels.

    Raises:
        UserError: not an image of 8 bits a channel, or a vast one; begins with `where`.
    """
    if image.startswith(SIGNATURE) and len(image) >= 26:
        width, height, depth, colour_type = struct.unpack(">IIBB", image[16:26])
        channels = {kind: channels for channels, kind in COLOUR_TYPES.items()}.get(colour_type)
        if depth == 8 and channels and width and height:
            _check_size(width, height, where)
            return height, width, channels
    pixels = _open(image, where)
    return pixels.shape[0], pixels.shape[1], 1 if pixels.ndim == 2 else 3


@lru_cache(maxsize=8)  # one shape a data set
def _template(shape: Shape) -> Template:
    """The file around the pixels: signature, IHDR, one IDAT, IEND (W3C PNG specification, section 11.2)."""
    height, width, channels = shape
    size = height * (1 + width * channels)
    header = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    png = bytearray(SIGNATURE + _chunk(b"IHDR", header))
    stream_start = len(png) + 8
    stream = bytearray(b"\x78\x01")  # zlib header: window of 32 KiB, fastest level
    blocks = []
    for start in range(0, size, LONGEST_BLOCK):
        length = min(LONGEST_BLOCK, size - start)
        stream += struct.pack("<BHH", start + length == size, length, length ^ 0xFFFF)
        blocks.append((stream_start + len(stream), start, length))
        stream += bytes(length)
    png += struct.pack(">I", len(stream) + 4) + b"IDAT" + stream + bytes(8) + _chunk(b"IEND", b"")
    ends = [0, *(to + length for to, _, length in blocks)]
    fixed = [slice(end, to) for end, (to, _, _) in zip(ends, blocks, strict=False)]
    return Template(np.frombuffer(bytes(png), np.uint8), blocks, [*fixed, slice(len(png) - 12, len(png))])


def _chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk: length, type, body, CRC of type and body."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc32(kind + body))


def _shape(images: Pixels) -> Shape:
    assert images.ndim == 4
    assert images.dtype == np.uint8
    _, height, width, channels = images.shape
    return height, width, channels


def _scanlines(images: Pixels) -> Bytes:
    """uint8 NHWC => (N, H * (1 + W * C)): each line preceded by its filter type, 0."""
    count, height, width, channels = images.shape
    lines = np.zeros((count, height, 1 + width * channels), np.uint8)
    lines[:, :, 1:] = images.reshape(count, height, width * channels)
    return lines.reshape(count, height * (1 + width * channels))


def _big_endian(checksums: list[int]) -> Bytes:
    """N checksums => (N, 4) bytes, the highest first."""
    return np.array(checksums, ">u4").view(np.uint8).reshape(-1, 4)


def _copy_stored(rows: Bytes, template: Template, out: Pixels) -> NDArray[np.bool_]:
    """(N, bytes) => `out`, and which rows are stored PNGs: all but pixels and checksums agrees."""
    height, width, channels = _shape(out)
    parts = [rows[:, to : to + length] for to, _, length in template.blocks]
    scanlines = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    lines = np.lib.stride_tricks.as_strided(  # reshape would copy: rows are longer than their scanlines
        scanlines,
        (len(rows), height, 1 + width * channels),
        (scanlines.strides[0], 1 + width * channels, 1),
        writeable=False,
    )
    out.reshape(len(out), height, width * channels)[...] = lines[:, :, 1:]
    stored = _agree(lines[:, :, 0], np.zeros(height, np.uint8))
    for part in template.fixed:
        stored &= _agree(rows[:, part], template.png[part])
    return stored


def _agree(found: Bytes, expected: Bytes) -> NDArray[np.bool_]:
    """Which rows of (N, bytes) are `expected`; where all are, it is enough to compare one long string."""
    if found.tobytes() == expected.tobytes() * len(found):
        return np.ones(len(found), np.bool_)
    agree: NDArray[np.bool_] = (found == expected).all(axis=1)
    return agree


def _decode_any(image: bytes, shape: Shape, where: str) -> Pixels:
    """One encoded image => uint8 HWC of `shape`, by Pillow."""
    pixels = _open(image, where, mode="L" if shape[2] == 1 else "RGB")
    if pixels.shape[:2] != shape[:2]:
        found, expected = (f"{height}x{width}" for height, width in (pixels.shape[:2], shape[:2]))
        raise UserError(f"{where}: the image is {found}, expected {expected}; resize it")
    return pixels.reshape(shape)


def _open(image: bytes, where: str, mode: str | None = None) -> Pixels:
    """One encoded image => uint8 HW or HWC, converted to Pillow's `mode`, or to L or RGB as it is."""
    from PIL import Image  # here, because our own shards never need it

    try:
        with _quiet_bombs(), Image.open(io.BytesIO(image), formats=FORMATS) as opened:
            _check_size(*opened.size, where)  # only the header has been read
            _check_mode(opened.mode, where)
            grey = opened.mode in ("1", "L", "LA")
            return np.asarray(opened.convert(mode or ("L" if grey else "RGB")))
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - broken bytes make decoders raise any type
        raise UserError(f"{where}: not a readable image ({error}); write the file again") from None


@contextmanager
def _quiet_bombs() -> Iterator[None]:
    """Vast images are refused by `_check_size`, so Pillow's warning of them is one line too many."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _check_mode(mode: str, where: str) -> None:
    if mode not in EIGHT_BIT_MODES:
        raise UserError(f"{where}: the image's mode is {mode}; convert it to 8 bits a channel")


def _check_size(width: int, height: int, where: str) -> None:
    if width * height > MOST_PIXELS:
        raise UserError(
            f"{where}: an image of {width} x {height} pixels is refused, a few bytes may hold it; resize it"
        )
