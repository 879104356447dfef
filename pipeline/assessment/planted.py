"""Copies of known images, made as a generator that learned them by heart might: how many does a detector find?"""

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from pipeline.images import Pixels

NUM_PLANTED = 500  # copies of each kind
DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
BRIGHTER = 25  # levels
BLUR = 1 / 32  # standard deviation over the side
VISIBLE = 7 / 8  # share of the side that an enlarged image still shows
OPACITY = 0.7  # of an image over which the next one is laid


def plant_copies(images: Pixels) -> dict[str, Pixels]:
    """Copies of `images` (NHWC levels, side a multiple of 16) by their kind; `exact` ones are the images."""
    side = images.shape[1]
    return {
        "exact": images,
        "mirrored": images[:, :, ::-1],
        "shifted": shift(images, side // 16),
        "shifted_far": shift(images, side // 8),
        "brightened": _levels(images.astype(np.float32) + BRIGHTER),
        "blurred": _levels(gaussian_filter(images.astype(np.float32), (0, side * BLUR, side * BLUR, 0))),
        "enlarged": _enlarge(images),
        "blended": _levels(OPACITY * images + (1 - OPACITY) * np.roll(images, 1, axis=0)),
    }


def shift(images: Pixels, distance: int) -> Pixels:
    """Each image moved by `distance` pixels to one of eight sides in turn; the border is repeated."""
    size, moved = images.shape[1:3], np.empty_like(images)
    padded = np.pad(images, ((0, 0), (distance, distance), (distance, distance), (0, 0)), mode="edge")
    for turn, (down, right) in enumerate(DIRECTIONS):
        top, left = distance * (1 - down), distance * (1 - right)
        step = len(DIRECTIONS)
        moved[turn::step] = padded[turn::step, top : top + size[0], left : left + size[1]]
    return moved


def _enlarge(images: Pixels) -> Pixels:
    """The middle of each image, drawn to its full size (bilinear)."""
    count, height, width, channels = images.shape
    margin = (1 - VISIBLE) / 2
    rows, columns = (np.linspace(margin * (n - 1), (1 - margin) * (n - 1), n) for n in (height, width))
    at = np.meshgrid(np.arange(count), rows, columns, np.arange(channels), indexing="ij")
    return _levels(map_coordinates(images.astype(np.float32), at, order=1))


def _levels(values: np.ndarray) -> Pixels:
    return values.clip(0, 255).round().astype(np.uint8)
