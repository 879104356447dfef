"""Whether the generator repeats training images: nearest neighbours of thumbnails, mirrored and shifted.

A classifier's features move far where a copy is blurred, tinted or noisy, so pixels are compared. The distance to the
nearest training image counts relative to that of the next ones, after Carlini et al. 2023 ("Extracting Training Data
from Diffusion Models", on CIFAR-10): a plain picture is near to many images and yet a copy of none.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.assessment.fidelity import Features
from pipeline.images import Pixels

EXPECTED_PERCENT = 1.0  # so many unseen real images are closer to a training image than the threshold
NEIGHBOUR = 5  # the distance to the nearest image is taken relative to that of the one so many places behind it
UNITS = 16  # of a side: a shift is by one of them, 2 pixels of 32
WINDOW = UNITS - 2  # side of what is compared, in units: shifted by one to any side, it stays inside the image
CELL = 2  # units of a thumbnail's pixel
CHUNK = 1000  # rows of one distance matrix: bounds the memory


class Nearest(NamedTuple):
    """For each query its nearest training image.

    Attributes:
        row: of the training image, int64.
        distance: Euclidean distance of the normalised thumbnails, float32, 0 to 2.
        ratio: that distance over the one to the sixth nearest, float32, 0 to 1: small where one image sticks out.
    """

    row: NDArray[np.int64]
    distance: Features
    ratio: Features


def find_nearest(queries: Pixels, train: Pixels, device: torch.device) -> Nearest:
    """The nearest of the images `train` for each of the images `queries` (NHWC), as they are, mirrored or shifted.

    The distance is the least over both mirror images and nine shifts of a query, by a sixteenth of the side or none.
    """
    known = _thumbnails(_units(train, device), 1, 1)
    parts = [_search(_units(queries[start : start + CHUNK], device), known) for start in range(0, len(queries), CHUNK)]
    return Nearest(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def find_near_copies(images: Nearest, unseen: Nearest) -> NDArray[np.bool_]:
    """Which images have a smaller ratio than all but EXPECTED_PERCENT % of unseen real ones.

    About EXPECTED_PERCENT % for a generator that draws new images; all for one that repeats the training set.
    """
    near: NDArray[np.bool_] = images.ratio <= np.percentile(unseen.ratio, EXPECTED_PERCENT)
    return near


def _search(queries: Tensor, known: Tensor) -> Nearest:
    """Of queries (N, C, UNITS, UNITS) among thumbnails (M, D)."""
    similarity = torch.full((len(queries), len(known)), -1.0, device=known.device)
    for view in (queries, queries.flip(3)):
        for top in range(3):
            for left in range(3):
                torch.maximum(similarity, _thumbnails(view, top, left) @ known.T, out=similarity)
    best = similarity.topk(min(NEIGHBOUR + 1, len(known)), dim=1)
    distances = (2 - 2 * best.values).clamp(min=0).sqrt().cpu().numpy()
    nearest, other = distances[:, 0], distances[:, -1]
    ratio = np.divide(nearest, other, out=np.zeros_like(nearest), where=other > 0)
    return Nearest(best.indices[:, 0].cpu().numpy(), nearest, ratio)


def _units(images: Pixels, device: torch.device) -> Tensor:
    """NHWC levels => means over squares of a sixteenth of the side: float32 (N, C, UNITS, UNITS)."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).float()
    return torch.nn.functional.avg_pool2d(pixels, images.shape[1] // UNITS)


def _thumbnails(units: Tensor, top: int, left: int) -> Tensor:
    """The window at (top, left) as rows of length 1, without the mean of each channel: blind to light and contrast."""
    window = units[:, :, top : top + WINDOW, left : left + WINDOW]
    cells = torch.nn.functional.avg_pool2d(window, CELL).flatten(2)
    return torch.nn.functional.normalize((cells - cells.mean(2, keepdim=True)).flatten(1), dim=1)
