"""Near-duplicates: copies are found through noise, light and mirrors; other pictures of one class are not."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.images import Pixels
from pipeline.runtime import resources
from pipeline.runtime.errors import ExhaustedError
from pipeline.sources.near_duplicates import BLOCK, CHUNK, GRID, MIN_COSINE, count_near_duplicates

Change = Callable[[Pixels, np.random.Generator], Pixels]
CHANGES: dict[str, Change] = {
    "nothing": lambda images, random: images,
    "noise of a few levels": lambda images, random: levels(images + random.normal(0, 4, images.shape)),
    "mirrored": lambda images, random: images[:, :, ::-1],
    "brighter": lambda images, random: levels(images + 5.0),
    "more contrast": lambda images, random: levels(1.2 * (images - 128.0) + 128),
}


def levels(values: np.ndarray) -> Pixels:
    """Rounded to what a pixel can hold."""
    pixels: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels


def draw(random: np.random.Generator, count: int, *, size: int = 32, channels: int = 3) -> Pixels:
    """Pictures of one class: the same bright sky over dark ground, and each its own coarse and fine detail."""
    sky = np.linspace(60, -60, size)[:, None, None]
    coarse = random.normal(0, 15, (count, GRID, GRID, channels)).repeat(size // GRID, 1).repeat(size // GRID, 2)
    return levels(128 + sky + coarse + random.normal(0, 10, (count, size, size, channels)))


@settings(deadline=None)
@given(
    st.sampled_from(sorted(CHANGES)),
    st.sampled_from(sorted(CHANGES)),
    st.sampled_from([16, 32, 64]),
    st.sampled_from([1, 3]),
    st.integers(0, 6),
    st.integers(0, 2**32 - 1),
)
def test_planted_copies_are_found_and_nothing_else(
    first: str, second: str, size: int, channels: int, planted: int, seed: int
) -> None:
    """However a copy was changed, twice too, it counts once; other pictures of the class do not."""
    random = np.random.default_rng(seed)
    reference, others = (draw(random, 20, size=size, channels=channels) for _ in range(2))
    copies = CHANGES[second](CHANGES[first](reference[:planted], random), random)
    queries = {"test": np.concatenate([others, copies]), "val": others}
    assert count_near_duplicates(queries, reference) == {"test": planted, "val": 0}


@settings(deadline=None)
@given(st.floats(0, 2), st.integers(0, 2**32 - 1))
def test_the_definition_is_the_cosine_of_local_contrast(noise: float, seed: int) -> None:
    """As plain sums in float64 over each pair and its mirror find it, but for the rounding next to the border."""
    random = np.random.default_rng(seed)
    reference = draw(random, 6, size=GRID)
    query = levels(reference[:1] + noise * random.normal(0, 15, reference[:1].shape))
    best = max(plain_cosine(query[0], image) for other in reference for image in (other, other[:, ::-1]))
    if abs(best - MIN_COSINE) > 0.002:
        assert count_near_duplicates({"test": query}, reference) == {"test": int(best > MIN_COSINE)}


def plain_cosine(first: Pixels, second: Pixels) -> float:
    """Of images of GRID x GRID pixels, cell by cell."""
    contrasts = []
    for image in (first, second):
        padded = np.pad(image.astype(float), ((1, 1), (1, 1), (0, 0)), mode="edge")
        means = [[padded[y : y + 3, x : x + 3].mean((0, 1)) for x in range(GRID)] for y in range(GRID)]
        contrasts.append((image - np.array(means)).ravel())
    return float(contrasts[0] @ contrasts[1] / np.prod([np.linalg.norm(contrast) for contrast in contrasts]))


def test_blocks_leave_no_image_out() -> None:
    """The first and last image of more than one block of each kind are compared."""
    random = np.random.default_rng(0)
    reference, queries = (draw(random, size + 1, size=GRID) for size in (BLOCK, CHUNK))
    queries[[0, -1]] = reference[[-1, 0]]
    queries[CHUNK - 1] = reference[BLOCK - 1]
    assert count_near_duplicates({"test": queries}, reference) == {"test": 3}


def test_flat_and_absent_images_have_no_near_duplicate() -> None:
    """An image of one level shows nothing to compare; a reserve may be empty."""
    flat = np.full((2, 16, 16, 3), 7, np.uint8)
    assert count_near_duplicates({"test": flat}, flat) == {"test": 0}
    assert count_near_duplicates({"test": flat}, flat[:0]) == {"test": 0}


def test_too_little_memory_is_told_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line with what to lower."""
    monkeypatch.setattr(resources, "available_memory", lambda: 10**6)
    with pytest.raises(ExhaustedError, match=r"^near-duplicates of test \+ val: needs 32.*lower dataset.test_size"):
        count_near_duplicates(
            dict.fromkeys(("test", "val"), np.zeros((2, 8, 8, 1), np.uint8)), np.zeros((2, 8, 8, 1), np.uint8)
        )
