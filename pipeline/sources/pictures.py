"""One picture of any size, mode and depth, made what the networks know: RGB, square, 8 bits."""

from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, JpegImagePlugin, UnidentifiedImageError

from pipeline.images import Pixels

# torchvision's suffixes and what else these decoders read; they are named, because some of Pillow's start programs.
SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi"),
    *(".png", ".apng", ".gif", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".ppm", ".pgm", ".pbm", ".pnm"),
}
FORMATS = ("BMP", "DIB", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
MOST_PIXELS = 1 << 26  # that are decoded of one picture: 8,192 x 8,192 take 200 MB
MOST_PROGRESSIVE_PIXELS = 1 << 28  # of a JPEG that keeps all its coefficients in memory, however small it is decoded
MOST_LEVEL = (1 << 16) - 1
DEPTHS = (8, 10, 12, 14, 16)  # bits of grey levels that cameras and scanners store in 16


class Picture(NamedTuple):
    """A picture as decoded."""

    pixels: Pixels
    """uint8 HWC, RGB."""
    bits: int
    """The least of DEPTHS that holds its levels, where the file has 16 bits a level; else 0."""


def decode(source: Path | BinaryIO, size: int, *, bits: int | None = None) -> Picture:
    """The first frame at `size`, turned as its EXIF says.

    A file of 16 bits a level does not say how many of them its scanner used: white is the largest level of `bits`,
    or of the fewest bits that hold the levels.

    Raises:
        ValueError: no picture, a broken one, one of too many pixels, or one whose white is unknown.
    """
    try:
        return _read(source, size, bits)
    except Exception as error:  # noqa: BLE001 - broken bytes make decoders raise any type
        raise ValueError(_reason(error)) from None


def read_size(source: Path) -> tuple[int, int] | None:
    """Width and height, from the header alone; None where there is none that can be read."""
    try:
        with _open(source) as image:
            return image.size
    except Exception:  # noqa: BLE001 - `decode` says what is wrong
        return None


def square(image: Image.Image, size: int) -> Image.Image:
    """Resized (bicubic, antialiased) until the shorter side is `size`, then cut to the central square."""
    return ImageOps.fit(image, (size, size), method=Image.Resampling.BICUBIC)


def _read(source: Path | BinaryIO, size: int, bits: int | None) -> Picture:
    with _open(source) as image:
        width, height = image.size
        image.draft(None, (2 * size, 2 * size))  # decodes a JPEG at 1/2, 1/4 or 1/8: faster, and never too large
        progressive = "progressive" in image.info and width * height > MOST_PROGRESSIVE_PIXELS
        if image.width * image.height > MOST_PIXELS or progressive:
            raise ValueError(f"{width} x {height} pixels are too many")
        found = _used_bits(image)
        rgb = _to_rgb(ImageOps.exif_transpose(image), found, bits)
        return Picture(np.asarray(square(rgb, size)), found)


def _open(source: Path | BinaryIO) -> ImageFile.ImageFile:
    """Opens a JPEG of any size: Pillow counts its pixels before it can be told to decode fewer."""
    try:
        return Image.open(source, formats=FORMATS)
    except Image.DecompressionBombError as too_large:
        if not isinstance(source, Path):
            source.seek(0)
        try:
            return JpegImagePlugin.JpegImageFile(source)
        except SyntaxError:  # no JPEG
            raise too_large from None


def _used_bits(image: ImageFile.ImageFile) -> int:
    """Loads the picture."""
    if _is_deep_grey(image):
        top = MOST_LEVEL if image.format == "PPM" else int(_levels(image).max())  # a PGM says which level is white
    elif image.format in {"PNG", "TIFF"} and ";16" in str(image.tile):  # 16-bit colours, of which Pillow keeps 8 bits
        top = int(np.asarray(image)[..., :3].max()) * 256 + 255
    else:
        return 0
    return next(bits for bits in DEPTHS if top < 1 << bits)


def _to_rgb(image: Image.Image, found: int, bits: int | None) -> Image.Image:
    """Any mode => RGB; transparent parts lie on white."""
    if _is_deep_grey(image):
        eight_bits = np.arange(MOST_LEVEL + 1) * 255 // ((1 << (bits or found)) - 1)
        image = Image.fromarray(eight_bits.clip(max=255).astype(np.uint8)[_levels(image)])
    elif found and bits and bits < DEPTHS[-1]:
        raise ValueError(f"its 16-bit colours use {bits} bits, which would be nearly black: convert it to 8 bits")
    if image.has_transparency_data:
        white_page = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white_page, image.convert("RGBA"))
    return image.convert("RGB")


def _is_deep_grey(image: Image.Image) -> bool:
    return image.mode == "F" or image.mode.startswith("I")


def _levels(image: Image.Image) -> NDArray[Any]:
    """Grey levels 0-65535, which Pillow's own conversion would cut off at 255."""
    levels: NDArray[Any] = np.asarray(image)
    if levels.dtype.kind == "f" or levels.min() < 0 or levels.max() > MOST_LEVEL:
        raise ValueError("its levels are not 8 or 16 bits, so what is white is unknown")
    return levels


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    return " ".join(str(error).split()) or type(error).__name__
