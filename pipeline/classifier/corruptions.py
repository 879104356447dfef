"""Accuracy on corrupted images: five fixed corruptions at one severity each, the same bytes on every machine.

In the spirit of CIFAR-10-C (Hendrycks & Dietterich 2019), but of our own making: figures compare between cells
of one run, never with published ones. Every corruption takes and returns uint8 NHWC.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.classifier.inference import Answer, measure_accuracy
from pipeline.images import ImageSet, Indices, PixelRows, Pixels
from pipeline.randomness import Stream, random_words

NOISE_SEED = 0  # one noise for all cells, so that they stay paired
NOISE_STD = 20  # levels
BRIGHTER_BY = 50  # levels
CONTRAST_PERCENT = 40  # of the distance to the image's mean level that is left
BLUR = (1, 4, 6, 4, 1)  # binomial weights: about a Gaussian with a standard deviation of one pixel
BLOCK = 2  # pixels that share one level when pixelated

Corruption = Callable[[Pixels, Indices], Pixels]
"""(images NHWC, their rows in the set) => uint8 NHWC."""


def measure_robustness(answer: Answer, data: ImageSet, num_images: int) -> dict[str, float]:
    """Accuracy of a classifier's `answer`, 0 to 1, under each corruption, on the first `num_images`, or all."""
    labels, accuracies = data.labels[:num_images], {}
    for name, corrupt in CORRUPTIONS.items():
        corrupted = ImageSet(CorruptedRows(data.images, len(labels), corrupt), labels, data.class_names)
        accuracies[name] = measure_accuracy(answer(corrupted), corrupted)
    return accuracies


class CorruptedRows:
    """The first `count` of `images`, corrupted as they are asked for: all at once, large ones would fill the memory."""

    def __init__(self, images: PixelRows, count: int, corrupt: Corruption) -> None:
        self._images, self._count, self._corrupt = images, count, corrupt

    @property
    def shape(self) -> tuple[int, ...]:
        """N, H, W, C."""
        return (self._count, *self._images.shape[1:])

    def __getitem__(self, rows: slice | Indices, /) -> Pixels:
        wanted = np.arange(self._count, dtype=np.int64)[rows]
        return self._corrupt(self._images[wanted], wanted)


def add_noise(images: Pixels, rows: Indices) -> Pixels:
    """Noise of NOISE_STD levels that depends on the image's row alone, not on how many there are."""
    pixels = int(np.prod(images.shape[1:]))
    words = [
        random_words(pixels, seed=NOISE_SEED, stream=Stream.CORRUPTION_NOISE, position=row) for row in rows.tolist()
    ]
    noise = NOISE_STD * _nearly_normal(np.stack(words)).reshape(images.shape)
    return _to_levels(images + noise)


def blur(images: Pixels) -> Pixels:
    """BLUR along both axes, borders reflected."""
    reach, weights = len(BLUR) // 2, np.array(BLUR)
    levels = images.astype(np.int64)
    for axis in (1, 2):
        border = [(reach, reach) if axis == other else (0, 0) for other in range(4)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(levels, border, mode="reflect"), len(BLUR), axis)
        levels = windows @ weights
    return _to_levels(levels / weights.sum() ** 2)


def brighten(images: Pixels) -> Pixels:
    """BRIGHTER_BY levels more, cut off at white."""
    return _to_levels(images.astype(np.float64) + BRIGHTER_BY)


def lower_contrast(images: Pixels) -> Pixels:
    """Every level moves towards the mean of its image."""
    mean = images.mean((1, 2, 3), keepdims=True)
    return _to_levels(mean + (images - mean) * CONTRAST_PERCENT / 100)


def pixelate(images: Pixels) -> Pixels:
    """BLOCK x BLOCK pixels take their mean; the side of the images is a multiple of BLOCK."""
    count, size, _, channels = images.shape
    blocks = images.reshape(count, size // BLOCK, BLOCK, size // BLOCK, BLOCK, channels).mean((2, 4))
    return _to_levels(blocks.repeat(BLOCK, axis=1).repeat(BLOCK, axis=2))


CORRUPTIONS: dict[str, Corruption] = {
    "noise": add_noise,
    "blur": lambda images, _: blur(images),
    "brightness": lambda images, _: brighten(images),
    "contrast": lambda images, _: lower_contrast(images),
    "pixelate": lambda images, _: pixelate(images),
}


def _nearly_normal(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Mean 0, variance 1, in the words' shape: sums of a word's four 16-bit numbers, exact everywhere (Irwin-Hall)."""
    sums = np.ascontiguousarray(words).view(np.uint16).reshape(*words.shape, 4).sum(-1, dtype=np.int64)
    scaled: NDArray[np.float64] = (sums - 2 * 65535) / np.sqrt((2**32 - 1) / 3)
    return scaled


def _to_levels(values: NDArray[np.float64]) -> Pixels:
    """NHWC float levels => NHWC uint8, rounded to the nearest and cut off at black and white."""
    return np.floor(values + 0.5).clip(0, 255).astype(np.uint8)
