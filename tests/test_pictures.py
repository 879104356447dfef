"""Pictures of 16 bits a level, and vast ones: what is white, and what is decoded at all."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.runtime.errors import UserError
from pipeline.sources import image_folder
from pipeline.sources.pictures import MOST_PIXELS, decode
from tests.test_sources import ask


def deep_png(level: int, *, colour: int, channels: int) -> bytes:
    """A flat 16-bit PNG of 20 x 20 pixels, of PNG's colour type `colour`; alpha is full."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixel = struct.pack(f">{channels}H", *[level] * (channels - (colour >= 4)), *[65535] * (colour >= 4))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 20, 20, 16, colour, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress((b"\0" + pixel * 20) * 20))
    return b"\x89PNG\r\n\x1a\n" + head + data + chunk(b"IEND", b"")


def grey(level: int) -> bytes:
    """16-bit grey."""
    return deep_png(level, colour=0, channels=1)


def load(root: Path, files: dict[str, bytes]) -> list[int]:
    """Levels of the first pixels of these files, as prepare reads them."""
    for name, data in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(data)
    levels: list[int] = image_folder.load(ask("image_folder", 16, root)).pool.images[:, 0, 0, 0].tolist()
    return levels


def test_twelve_bits_in_sixteen_are_as_bright_as_they_look(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Levels of all pictures together say what is white, so that a dark one stays dark; the choice is said."""
    files = {"ant/0.png": grey(4095), "ant/1.png": grey(2048), "bee/2.png": grey(100)}
    assert load(tmp_path, files) == [255, 127, 6]
    assert caplog.messages == [f"{tmp_path}: no 16-bit picture has a level of 4096 or more: read as 12 bits"]


def test_sixteen_bits_stay_sixteen(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One bright picture, grey or in colours, is enough to know, and pictures of 8 bits say nothing."""
    bright = deep_png(65535, colour=2, channels=3)
    eight = io.BytesIO()
    Image.new("L", (20, 20), 200).save(eight, "PNG")
    files = {"ant/0.png": grey(4095), "bee/1.png": bright, "bee/2.png": eight.getvalue()}
    assert load(tmp_path, files) == [15, 255, 200]
    assert caplog.messages == []


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_colours_of_twelve_bits_are_refused(colour: int, channels: int, tmp_path: Path) -> None:
    """Pillow keeps their upper 8 bits, so they would come out with 16 levels, nearly black; alpha does not count."""
    files = {"ant/0.png": grey(4095), "bee/1.png": deep_png(4095, colour=colour, channels=channels)}
    with pytest.raises(UserError, match=r"1 of 2 files cannot be read: .*1.png \(its 16-bit colours use 12 bits"):
        load(tmp_path, files)


def test_a_picture_alone_is_as_bright_as_its_levels() -> None:
    """A served classifier gets one at a time."""
    assert decode(io.BytesIO(grey(4095)), 16).pixels.max() == 255


@pytest.mark.parametrize("source", ["file", "bytes"])
def test_a_vast_jpeg_is_decoded_at_reduced_size(source: str, tmp_path: Path) -> None:
    """190 megapixels, more than Pillow opens; a PNG of that size is refused."""
    file = tmp_path / "vast.jpg"
    Image.new("L", (19_000, 10_000), 100).save(file)
    assert decode(file if source == "file" else io.BytesIO(file.read_bytes()), 16).pixels.max() <= 101


def test_a_picture_that_would_be_decoded_whole_is_refused(tmp_path: Path) -> None:
    """Just beyond the limit, where Pillow has none."""
    Image.new("1", (MOST_PIXELS // 8192 + 1, 8192)).save(tmp_path / "vast.png")
    with pytest.raises(ValueError, match="8193 x 8192 pixels are too many"):
        decode(tmp_path / "vast.png", 16)


def test_a_progressive_jpeg_has_a_limit_of_its_own(tmp_path: Path) -> None:
    """Its coefficients are all in memory before the first pixel is: 300 megapixels are two gigabytes in colours."""
    file = tmp_path / "small.jpg"
    Image.new("L", (64, 64), 100).save(file, progressive=True)
    start = file.read_bytes().index(b"\xff\xc2")  # the frame header, whose height and width follow
    data = bytearray(file.read_bytes())
    data[start + 5 : start + 9] = struct.pack(">2H", 20_000, 15_000)
    with pytest.raises(ValueError, match="15000 x 20000 pixels are too many"):
        decode(io.BytesIO(bytes(data)), 16)
    assert np.ptp(decode(file, 16).pixels) == 0
