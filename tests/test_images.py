import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.images import LabelledImages, tile, to_pixels, to_unit_range
from pipeline.randomness import permutation, random_words, shuffled_rows


def test_pixels_survive_the_unit_range() -> None:
    """Every level 0-255 goes to [-1, 1] and back unchanged, and NHWC becomes NCHW and back."""
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).repeat(2, 1, 1, 3)
    scaled = to_unit_range(images)
    assert scaled.shape == (2, 3, 16, 16)
    assert (scaled.min().item(), scaled.max().item()) == (-1.0, 1.0)
    assert torch.equal(to_pixels(scaled), images)


@given(st.integers(1, 50), st.integers(0, 200), st.integers(0, 120), st.integers(0, 9))
def test_any_window_of_rows_is_the_same_as_a_slice_of_all(size: int, start: int, count: int, seed: int) -> None:
    """Rows start ... start + count do not depend on which windows were asked for before."""
    whole = shuffled_rows(size, 0, start + count, seed=seed, stream=1)
    assert np.array_equal(shuffled_rows(size, start, count, seed=seed, stream=1), whole[start:])


@given(st.integers(1, 60), st.integers(0, 4))
def test_an_epoch_holds_every_row_once(size: int, epoch: int) -> None:
    """No row is left out or repeated before all had their turn."""
    rows = shuffled_rows(size, epoch * size, size, seed=3, stream=0)
    assert np.array_equal(np.sort(rows), np.arange(size))


def test_draws_are_pinned() -> None:
    """The order of batches is part of every published result: numpy versions must not change it."""
    assert permutation(8, seed=1, stream=2, epoch=3).tolist() == [2, 5, 6, 1, 7, 3, 0, 4]
    assert random_words(2, seed=1, stream=2, position=3).tolist() == [
        13637179162896307606,
        3186157565435691869,
    ]


def test_draws_differ_by_seed_stream_and_epoch() -> None:
    """Purposes and epochs do not share an order."""
    base = {"seed": 1, "stream": 2, "epoch": 3}
    orders = [tuple(permutation(50, **(base | change))) for change in ({}, {"seed": 2}, {"stream": 3}, {"epoch": 4})]
    assert len(set(orders)) == 4


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
