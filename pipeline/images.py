"""Labelled images, the map between pixels and [-1, 1], and the order of batches."""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self, overload

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # importing torch takes seconds that stages without a network save
    from torch import Tensor

Pixels = NDArray[np.uint8]
Indices = NDArray[np.int64]
DIGEST_ROWS = 1024  # at a time, so that images that are not in memory need not be


class PixelRows(Protocol):
    """uint8 NHWC images: an array, or what reads rows from files as they are asked for."""

    @property
    def shape(self) -> tuple[Any, ...]:
        """N, H, W, C."""

    def __getitem__(self, rows: slice | Indices, /) -> Pixels:
        """The images at `rows` as an array, in that order."""


@dataclass(frozen=True)
class ImageSet:
    """Images with their classes, in memory or not.

    Attributes:
        images: uint8, NHWC, C = 1 (grey) or 3 (RGB), levels 0-255.
        labels: int64, shape N, 0 <= label < len(class_names).
        class_names: one name a class.
    """

    images: PixelRows
    labels: Indices
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, rows: Indices) -> "ImageSet":
        """The images at `rows`, in that order; none is read."""
        return ImageSet(ChosenRows(self.images, rows), self.labels[rows], self.class_names)

    def digest(self) -> str:
        """sha256 over shape, labels and pixels in row order: the content, whatever file holds it."""
        hasher = hashlib.sha256(repr((self.images.shape, self.class_names)).encode())
        hasher.update(np.ascontiguousarray(self.labels).data)
        for start in range(0, len(self), DIGEST_ROWS):
            hasher.update(np.ascontiguousarray(self.images[start : start + DIGEST_ROWS]).data)
        return hasher.hexdigest()


@dataclass(frozen=True)
class LabelledImages(ImageSet):
    """An `ImageSet` in memory."""

    images: Pixels

    def __post_init__(self) -> None:
        assert self.images.dtype == np.uint8
        assert self.images.ndim == 4
        assert self.labels.dtype == np.int64
        assert self.labels.shape == self.images.shape[:1]

    def select(self, rows: Indices) -> Self:
        """The images at `rows`, in that order."""
        return type(self)(self.images[rows], self.labels[rows], self.class_names)


class ChosenRows:
    """Rows of images that are not in memory."""

    def __init__(self, images: PixelRows, rows: Indices) -> None:
        self._images, self._rows = images, rows

    @property
    def shape(self) -> tuple[int, ...]:
        """N, H, W, C."""
        return (len(self._rows), *self._images.shape[1:])

    def __getitem__(self, rows: slice | Indices, /) -> Pixels:
        return self._images[self._rows[rows]]


class JoinedRows:
    """The rows of `first`, then those of `second`, which need not be in memory."""

    def __init__(self, first: PixelRows, second: PixelRows) -> None:
        assert first.shape[1:] == second.shape[1:]
        self._first, self._second = first, second

    @property
    def shape(self) -> tuple[int, ...]:
        """N, H, W, C."""
        return (self._first.shape[0] + self._second.shape[0], *self._first.shape[1:])

    def __getitem__(self, rows: slice | Indices, /) -> Pixels:
        split = self._first.shape[0]
        wanted = np.arange(self.shape[0], dtype=np.int64)[rows] if isinstance(rows, slice) else rows
        early = wanted < split
        if early.all():
            return self._first[wanted]
        pixels = np.empty((len(wanted), *self.shape[1:]), np.uint8)
        pixels[early], pixels[~early] = self._first[wanted[early]], self._second[wanted[~early] - split]
        return pixels


def empty_like(data: ImageSet) -> LabelledImages:
    """No images, of the same size and classes."""
    return LabelledImages(np.empty((0, *data.images.shape[1:]), np.uint8), np.empty(0, np.int64), data.class_names)


@overload
def concatenate(first: LabelledImages, second: LabelledImages) -> LabelledImages: ...
@overload
def concatenate(first: ImageSet, second: ImageSet) -> ImageSet: ...
def concatenate(first: ImageSet, second: ImageSet) -> ImageSet:
    """The images of `first`, then those of `second`; in memory where both are."""
    assert first.class_names == second.class_names
    labels = np.concatenate([first.labels, second.labels])
    if isinstance(first, LabelledImages) and isinstance(second, LabelledImages):
        return LabelledImages(np.concatenate([first.images, second.images]), labels, first.class_names)
    return ImageSet(JoinedRows(first.images, second.images), labels, first.class_names)


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
