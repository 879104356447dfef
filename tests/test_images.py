import numpy as np
import torch

from pipeline.images import LabelledImages, class_grid, tile, to_pixels, to_unit_range


def test_pixels_survive_the_unit_range() -> None:
    """Every level 0-255 goes to [-1, 1] and back unchanged, and NHWC becomes NCHW and back."""
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).repeat(2, 1, 1, 3)
    scaled = to_unit_range(images)
    assert scaled.shape == (2, 3, 16, 16)
    assert (scaled.min().item(), scaled.max().item()) == (-1.0, 1.0)
    assert torch.equal(to_pixels(scaled), images)


def test_digest_sees_pixels_labels_and_classes(patches: LabelledImages) -> None:
    """Changing one pixel, one label or one class name changes the digest; a copy does not."""
    pixels, labels = patches.images.copy(), patches.labels.copy()
    assert LabelledImages(pixels, labels, patches.class_names).digest() == patches.digest()
    pixels[3, 2, 1, 0] ^= 1
    labels[5] = (labels[5] + 1) % 3
    others = [
        LabelledImages(pixels, patches.labels, patches.class_names),
        LabelledImages(patches.images, labels, patches.class_names),
        LabelledImages(patches.images, patches.labels, ("a", "b", "c")),
    ]
    assert len({other.digest() for other in [patches, *others]}) == 4


def test_tile_puts_images_row_by_row() -> None:
    """Image i stands in row i // columns, column i % columns."""
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    assert tile(images, 3)[::2, ::2, 0].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_grid_shows_every_class_in_its_row() -> None:
    """Row k, column j is the j-th image of class k; a class with too few ends in grey."""
    pixels = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1)
    data = LabelledImages(pixels, np.array([0, 1, 0, 0, 1]), ("a", "b"))
    assert class_grid(data, 3)[..., 0].tolist() == [[0, 2, 3], [1, 4, 128]]
