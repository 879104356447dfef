"""Many pictures, read one after the other; what cannot be read is named all at once."""

import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from pipeline.images import Pixels
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import Progress
from pipeline.runtime.resources import need_memory
from pipeline.sources.pictures import DEPTHS, decode

NUM_LISTED = 10


class Pictures(NamedTuple):
    """Encoded pictures."""

    origin: str
    """Where they come from, as messages name it."""
    names: Sequence[str]
    """What messages call each."""
    open: Callable[[int], Path | BinaryIO]
    """The n-th of them."""


def read_pictures(pictures: Pictures, size: int) -> Pixels:
    """uint8 NHWC, C = 3, at `size`. Those of 16 bits a level have one white, that of the fewest bits that hold all.

    Raises:
        UserError: some cannot be read; the first ten are named, with their reasons.
        ExhaustedError: there is no memory for them.
    """
    count = len(pictures.names)
    what = f"{pictures.origin}: {count} images at dataset.image_size {size}"
    need_memory(count * size * size * 3, what, "lower it")
    images, depths = np.empty((count, size, size, 3), np.uint8), np.zeros(count, np.int64)
    _decode_into(images, depths, pictures, range(count), None)
    bits = int(depths.max(initial=0))
    if 0 < bits < DEPTHS[-1]:
        logging.getLogger(__name__).warning(
            "%s: no 16-bit picture has a level of %s or more: read as %s bits", pictures.origin, 1 << bits, bits
        )
    deep = np.flatnonzero((depths > 0) & ((depths < bits) | (bits < DEPTHS[-1])))
    _decode_into(images, depths, pictures, deep.tolist(), bits)
    return images


def _decode_into(images: Pixels, depths: np.ndarray, pictures: Pictures, rows: Sequence[int], bits: int | None) -> None:
    """Decodes the pictures of `rows`; reads on after a bad one, so that one error can name them all."""
    bad = []
    with warnings.catch_warnings(), Progress(f"reading {pictures.origin}", total=len(rows), unit="image") as progress:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # an error of `decode`
        for row in rows:
            try:
                images[row], depths[row] = decode(pictures.open(row), images.shape[1], bits=bits)
            except ValueError as error:
                bad.append(f"{pictures.names[row]} ({error})")
            progress.advance(1)
    if bad:
        raise _unreadable(pictures, bad)


def _unreadable(pictures: Pictures, bad: Sequence[str]) -> UserError:
    more = f" and {len(bad) - NUM_LISTED} more" if len(bad) > NUM_LISTED else ""
    return UserError(
        f"{pictures.origin}: {len(bad)} of {len(pictures.names)} files cannot be read: {', '.join(bad[:NUM_LISTED])}"
        f"{more}; repair or remove them"
    )
