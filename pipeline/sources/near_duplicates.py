"""How many images of one set have a near-duplicate in another: the same picture but for noise, light or a mirror.

Barz & Denzler 2020 ("Do we train on test data?", J. Imaging 6(6):41) call two images near-duplicates that come from one
camera shot, and found some for 3.3 % of CIFAR-10's test images, by the features of a CNN and by eye. The definition
here is stricter and needs no network: an image is averaged down to GRID x GRID cells, each cell loses the mean of the
3 x 3 cells around it (or any two pictures with a bright sky would be alike), and what is left is scaled to length 1.
Two images are near-duplicates if the cosine of these descriptors, or of one and the other's mirrored, is MIN_COSINE
or more.

MIN_COSINE was set by looking at the pairs between the 10,000 test and the 50,000 other images of CIFAR-10. At 0.95
there are 121, to the eye all one shot but for two pairs of very similar vehicles; at 0.94 the first different scenes
appear. Of 2,000 copies it finds 99 % or more with noise of 10 levels, 20 levels brighter, mirrored, or as JPEG of
quality 75. It misses those shifted or cropped by 2 pixels (1 % found) and some without colours (75 % found): a lower
bound on photographs. Where all images are centred and show little detail, different ones come as close (5 % of 797
handwritten digits): an upper bound there.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.images import Pixels
from pipeline.runtime.resources import need_memory

GRID = 8
MIN_COSINE = 0.95
LENGTH = 2048  # of a descriptor, rounded to integers: their products are exact in float32, whatever sums them up
BLOCK, CHUNK = 4000, 1000  # reference images and queries of one matrix of cosines: bound the memory
FLOAT_BYTES = 4


class Descriptors(NamedTuple):
    """One row an image (float32): the descriptor plus its mirrored self, and minus it, of each the left half."""

    even: NDArray[np.float32]
    odd: NDArray[np.float32]


def count_near_duplicates(queries: Mapping[str, Pixels], reference: Pixels) -> dict[str, int]:
    """The number of images of each set in `queries` that have a near-duplicate in `reference`, mirrored or not.

    Images are uint8 NHWC of one shape, their side a multiple of GRID. One of a single level has no near-duplicate.

    Raises:
        ExhaustedError: the descriptors of `queries` do not fit into memory.
    """
    sizes = {name: len(images) for name, images in queries.items()}
    size = FLOAT_BYTES * (GRID * GRID * reference.shape[3] * sum(sizes.values()) + 2 * BLOCK * CHUNK)
    need_memory(size, f"near-duplicates of {' + '.join(sizes)}", "lower dataset.test_size, val_size or select_size")
    described = {name: [_describe(chunk) for chunk in _cut(images, CHUNK)] for name, images in queries.items()}
    found = {name: np.zeros(count, np.bool_) for name, count in sizes.items()}
    for block in map(_describe, _cut(reference, BLOCK)):
        for name, chunks in described.items():
            found[name] |= np.concatenate([_cosines(chunk, block).max(1) >= MIN_COSINE for chunk in chunks])
    return {name: int(rows.sum()) for name, rows in found.items()}


def _cut(images: Pixels, size: int) -> Iterator[Pixels]:
    return (images[start : start + size] for start in range(0, len(images), size))


def _describe(images: Pixels) -> Descriptors:
    count, side, _, channels = images.shape
    assert side % GRID == 0
    cells = images.reshape(count, GRID, side // GRID, GRID, side // GRID, channels).sum((2, 4), dtype=np.int32)
    contrast = (9 * cells - _sum_around(cells)).astype(np.float64)
    norm = np.sqrt(np.square(contrast).sum((1, 2, 3), keepdims=True))
    scaled = np.rint(LENGTH * contrast / np.maximum(norm, 1)).astype(np.float32)
    left, right = scaled[:, :, : GRID // 2], scaled[:, :, : GRID // 2 - 1 : -1]
    return Descriptors((left + right).reshape(count, -1), (left - right).reshape(count, -1))


def _sum_around(cells: NDArray[np.int32]) -> NDArray[np.int32]:
    """Sums over 3 x 3 cells (N x GRID x GRID x C); beyond the border, its cells again."""
    padded = np.pad(cells, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    total: NDArray[np.int32] = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    return total


def _cosines(queries: Descriptors, others: Descriptors) -> NDArray[np.float32]:
    """Cosine of each query (rows) with each other image (columns), mirrored where that is more alike.

    With e = d + mirrored d and o = d - mirrored d, of which the left half tells the right: d1 . d2 =
    (e1 . e2 + o1 . o2) / 2 and d1 . mirrored d2 = (e1 . e2 - o1 . o2) / 2; the larger has |o1 . o2|.
    """
    cosines = queries.odd @ others.odd.T
    np.abs(cosines, out=cosines)
    cosines += queries.even @ others.even.T
    cosines /= 2 * LENGTH**2
    return cosines
