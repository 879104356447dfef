"""One's own images, one sub-folder a class (torchvision's `ImageFolder` convention), of any size and mode."""

import logging
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.images import LabelledImages, Pixels
from pipeline.params.schema import DatasetParams
from pipeline.runtime.errors import UserError, printable
from pipeline.runtime.progress import Progress
from pipeline.runtime.resources import need_memory
from pipeline.sources.splits import RealImages

# torchvision's suffixes and .gif; decoders are named too, because some of Pillow's others start programs.
SUFFIXES = {".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp", ".gif"}
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
MOST_PIXELS = 1 << 26  # of one image: 8,192 x 8,192 take 200 MB while they are read
NUM_LISTED = 10


def load(params: DatasetParams) -> RealImages:
    """Every image below `path`, as RGB at `image_size`, ordered by class and then by relative path.

    A class's images may lie in folders within its folder. Files with other suffixes are left out with a
    warning, hidden ones without. There is no official test set.

    Raises:
        UserError: there are not two folders with images, or files cannot be read (all are named).
    """
    root = Path(os.path.expanduser(params.path))  # noqa: PTH111 - Path's own raises where there is no such user
    folders = _class_folders(root)
    files = {folder.name: _image_files(folder) for folder in folders}
    if empty := [name for name, found in files.items() if not found]:
        raise UserError(
            f"{root}: no images in {', '.join(empty)} (looked for {' '.join(sorted(SUFFIXES))}): "
            "add some, or remove the folder"
        )
    images = _read_all(root, [file for found in files.values() for file in found], params.image_size)
    labels = np.repeat(np.arange(len(files), dtype=np.int64), [len(found) for found in files.values()])
    return RealImages(LabelledImages(images, labels, tuple(files)), None)


def square(image: Image.Image, size: int) -> Image.Image:
    """Resized (bicubic, antialiased) until the shorter side is `size`, then cut to the central square."""
    return ImageOps.fit(image, (size, size), method=Image.Resampling.BICUBIC)


def decode(source: Path | BinaryIO, size: int) -> Pixels:
    """One image as the networks know it: RGB (uint8 HWC) at `size`, its first frame, turned as its EXIF says.

    Raises:
        ValueError: no image, a broken one, or one of more than MOST_PIXELS.
    """
    try:
        return _read(source, size)
    except Exception as error:  # noqa: BLE001 - broken bytes make decoders raise any type
        raise ValueError(_reason(error)) from None


def _class_folders(root: Path) -> list[Path]:
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"dataset.path: {root} is not a folder that can be read ({reason})") from None
    if broken := [folder for folder in folders if not _is_utf8(folder.name)]:
        raise UserError(f"dataset.path: {broken[0]}: its name, which names a class, is not UTF-8; rename it")
    if len(folders) < 2:
        found = f"one sub-folder only, '{folders[0].name}'" if folders else "no sub-folders"
        raise UserError(
            f"dataset.path: {root} has {found}: put the images of each class, two classes at least, "
            "into a sub-folder of its own"
        )
    return folders


def _image_files(folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file() and not _is_hidden(path, folder)]
    if others := Counter(path.suffix for path in files if path.suffix.lower() not in SUFFIXES):
        kinds = printable(
            ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in sorted(others.items()))
        )
        logging.getLogger(__name__).warning(
            "%s: left out what is no image by its suffix: %s", printable(str(folder)), kinds
        )
    images = [path for path in files if path.suffix.lower() in SUFFIXES]
    return sorted(images, key=lambda path: path.relative_to(folder).as_posix())


def _is_utf8(name: str) -> bool:
    """Whether a name, as Python got it from the file system, can be written into a file."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _read_all(root: Path, files: Sequence[Path], size: int) -> Pixels:
    """uint8 NHWC, C = 3; reads on after a bad file, so that one error can name them all."""
    need_memory(len(files) * size * size * 3, f"{root}: {len(files)} images at dataset.image_size {size}", "lower it")
    images = np.empty((len(files), size, size, 3), np.uint8)
    bad = []
    with warnings.catch_warnings(), Progress(f"reading {root}", total=len(files), unit="image") as progress:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # an error of `decode`
        for row, file in enumerate(files):
            try:
                images[row] = decode(file, size)
            except ValueError as error:
                bad.append(f"{file} ({error})")
            progress.advance(1)
    if bad:
        more = f" and {len(bad) - NUM_LISTED} more" if len(bad) > NUM_LISTED else ""
        raise UserError(
            f"{root}: {len(bad)} of {len(files)} files cannot be read: {', '.join(bad[:NUM_LISTED])}"
            f"{more}; repair or remove them"
        )
    return images


def _read(source: Path | BinaryIO, size: int) -> Pixels:
    with Image.open(source, formats=FORMATS) as image:
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"{image.width} x {image.height} pixels are too many")
        image.draft(None, (2 * size, 2 * size))  # decodes a JPEG at 1/2, 1/4 or 1/8: faster
        return np.asarray(square(_to_rgb(ImageOps.exif_transpose(image)), size))


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any mode => RGB: 16-bit levels are scaled to 8 bits, transparent parts lie on white."""
    if image.mode == "F" or image.mode.startswith("I"):
        image = _to_grey(np.asarray(image))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def _to_grey(levels: NDArray[Any]) -> Image.Image:
    """Levels 0-65535 => 0-255; Pillow's own conversion would cut them off at 255."""
    if levels.dtype.kind == "f" or levels.min() < 0 or levels.max() > 65535:
        raise ValueError("its levels are not 8 or 16 bits, so what is white is unknown")
    return Image.fromarray((levels // 257).astype(np.uint8))


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    return " ".join(str(error).split()) or type(error).__name__
