"""Labelled images, the map between pixels and [-1, 1], and the order of batches."""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # importing torch takes seconds that stages without a network save
    from torch import Tensor

Pixels = NDArray[np.uint8]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class LabelledImages:
    """Images with their classes, in memory.

    Attributes:
        images: uint8, NHWC, C = 1 (grey) or 3 (RGB), levels 0-255.
        labels: int64, shape N, 0 <= label < len(class_names).
        class_names: one name a class.
    """

    images: Pixels
    labels: Indices
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        assert self.images.dtype == np.uint8
        assert self.images.ndim == 4
        assert self.labels.dtype == np.int64
        assert self.labels.shape == self.images.shape[:1]

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, rows: NDArray[np.int64]) -> Self:
        """The images at `rows`, in that order."""
        return type(self)(self.images[rows], self.labels[rows], self.class_names)

    def digest(self) -> str:
        """sha256 over shape, labels and pixels in row order: the content, whatever file holds it."""
        hasher = hashlib.sha256(repr((self.images.shape, self.class_names)).encode())
        hasher.update(np.ascontiguousarray(self.labels).data)
        hasher.update(np.ascontiguousarray(self.images).data)
        return hasher.hexdigest()


def empty_like(data: LabelledImages) -> LabelledImages:
    """No images, of the same size and classes."""
    return data.select(np.empty(0, np.int64))


def concatenate(first: LabelledImages, second: LabelledImages) -> LabelledImages:
    """The images of `first`, then those of `second`."""
    assert first.class_names == second.class_names
    return LabelledImages(
        np.concatenate([first.images, second.images]),
        np.concatenate([first.labels, second.labels]),
        first.class_names,
    )


def to_unit_range(images: "Tensor") -> "Tensor":
    """NHWC uint8 levels => NCHW float32 in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)  # in place: new memory pages cost more than the sums


def to_pixels(images: "Tensor") -> "Tensor":
    """NCHW float in [-1, 1] => NHWC uint8 levels, rounded to the nearest."""
    return images.clamp(-1, 1).add(1).mul(127.5).round().byte().permute(0, 2, 3, 1)


def tile(images: Pixels, columns: int) -> Pixels:
    """NHWC images => one picture (HWC), row by row; N must be a multiple of `columns`."""
    count, height, width, channels = images.shape
    rows = images.reshape(count // columns, columns, height, width, channels)
    return rows.transpose(0, 2, 1, 3, 4).reshape(count // columns * height, columns * width, channels)


def class_grid(data: LabelledImages, columns: int) -> Pixels:
    """The first images of every class, a row a class, as one picture (HWC); grey where a class has too few."""
    grid = np.full((len(data.class_names), columns, *data.images.shape[1:]), 128, np.uint8)
    for label in range(len(data.class_names)):
        images = data.images[data.labels == label][:columns]
        grid[label, : len(images)] = images
    return tile(grid.reshape(-1, *data.images.shape[1:]), columns)
