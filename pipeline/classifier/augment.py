"""Batched augmentation on the device: every image has its own flip, shift and square."""

import numpy as np
import torch
from torch import Tensor

from pipeline.params.schema import ClassifierParams
from pipeline.randomness import Stream, random_words


class Augmentation:
    """Draws and applies flip, translation, cutout and TrivialAugment, a function of (seed, step) alone."""

    def __init__(self, classifier: ClassifierParams, image_size: int, device: torch.device) -> None:
        self._values, self._size = classifier, image_size
        self._range = torch.arange(image_size, device=device)

    def __call__(self, images: Tensor, *, seed: int, step: int) -> Tensor:
        """NHWC uint8 => NHWC uint8, augmented; pixels that move in repeat the border by reflection."""
        words = random_words(5 * len(images), seed=seed, stream=Stream.CELL_AUGMENTATION, position=step)
        draws = words.reshape(5, -1)
        images = self._crop_and_flip(images, draws[:3])
        if self._values.trivial_augment:
            images = _trivial_augment(images, seed=seed, step=step)
        return self._cutout(images, draws[3:]) if self._values.cutout else images

    def _crop_and_flip(self, images: Tensor, draws: np.ndarray) -> Tensor:
        """One gather for both, by words (3, N): indices beyond the border are reflected, a mirror reads backwards."""
        reach, last = self._values.translate, self._size - 1
        rows = self._offset(draws[0], 2 * reach + 1) + self._range
        columns = self._offset(draws[1], 2 * reach + 1) + self._range
        if self._values.flip:
            mirror = self._offset(draws[2], 2).bool()
            columns = torch.where(mirror, columns.flip(1), columns)
        rows, columns = (last - (last - (index - reach).abs()).abs() for index in (rows, columns))
        start = torch.arange(len(images), device=images.device)[:, None] * self._size
        pixels = (start + rows)[:, :, None] * self._size + columns[:, None, :]
        return images.reshape(-1, images.shape[3]).index_select(0, pixels.flatten()).view_as(images)

    def _cutout(self, images: Tensor, draws: np.ndarray) -> Tensor:
        """A square of mid grey, wholly inside the image, by words (2, N) (DeVries & Taylor 2017)."""
        side = self._values.cutout
        inside = []
        for axis in range(2):
            first = self._offset(draws[axis], self._size - side + 1)
            inside.append((self._range >= first) & (self._range < first + side))
        square = inside[0][:, :, None] & inside[1][:, None, :]
        return images.masked_fill(square[..., None], 128)

    def _offset(self, words: np.ndarray, span: int) -> Tensor:
        """Uniform integers 0 ... span - 1, shape (N, 1), on the device."""
        return torch.from_numpy((words % span).astype(np.int64))[:, None].to(self._range.device)


def _trivial_augment(images: Tensor, *, seed: int, step: int) -> Tensor:
    """torchvision's TrivialAugmentWide of each image (Müller & Hutter 2021), NHWC uint8."""
    from torchvision.transforms.v2 import TrivialAugmentWide  # two seconds that the other cells save

    operation = TrivialAugmentWide()
    word = random_words(1, seed=seed, stream=Stream.CELL_TRIVIAL_AUGMENT, position=step)[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(word >> np.uint64(1)))
        changed = [operation(image) for image in images.permute(0, 3, 1, 2).contiguous()]
    return torch.stack(changed).permute(0, 2, 3, 1).contiguous()
