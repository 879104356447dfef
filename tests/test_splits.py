"""Splits: disjoint by content, balanced to any prefix, a function of the seed; short classes are named."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pipeline.images import LabelledImages, concatenate
from pipeline.params.schema import AblationParams, Control, DatasetParams
from pipeline.runtime.errors import UserError
from pipeline.sources.description import describe
from pipeline.sources.splits import RealImages, Splits, check_sizes, split

NAMES = ("cat", "dog", "emu")
PARTS = ("test", "val", "select", "train", "reserve")
REPLICATES = st.none() | st.integers(0, 2**31 - 1)


def make(contents: list[int], labels: list[int], names: tuple[str, ...] = NAMES) -> LabelledImages:
    """2 x 2 grey images; equal numbers in `contents` give equal pixels."""
    images = np.array(contents, ">u4").view(np.uint8).reshape(-1, 2, 2, 1)
    return LabelledImages(images, np.array(labels, np.int64), names)


def balanced(rows_per_class: int, first: int = 0, names: tuple[str, ...] = NAMES) -> LabelledImages:
    """Distinct images numbered from `first`, sorted by class."""
    size = rows_per_class * len(names)
    labels = np.repeat(np.arange(len(names)), rows_per_class)
    return make(list(range(first, first + size)), labels.tolist(), names)


def ask(
    train: int,
    val: int,
    test: int,
    seed: int = 0,
    *,
    select: int = 3,
    class_shares: Sequence[float] = (),
    imbalance_factor: float = 1,
    balance: Literal["balanced", "natural"] = "balanced",
) -> DatasetParams:
    """Params of a split with these sizes, and of unequal classes in train."""
    return DatasetParams(
        name="digits", title="mine", path="", image_size=16, seed=seed, balance=balance,
        class_shares=list(class_shares),
        imbalance_factor=imbalance_factor, train_size=train, val_size=val, select_size=select, test_size=test,
        held_out=[],
    )  # fmt: skip


def divide(
    pool: LabelledImages, test: LabelledImages | None, params: DatasetParams, replicate: int | None = None
) -> Splits:
    """The split of these images."""
    return split(RealImages(pool, test), params, replicate=replicate)


def contents(images: LabelledImages) -> list[int]:
    """The numbers that `make` turned into these images."""
    numbers: list[int] = np.ascontiguousarray(images.images).reshape(-1, 4).view(">u4").ravel().tolist()
    return numbers


def imbalance(labels: np.ndarray) -> int:
    """Largest difference between the counts of two classes."""
    return int(np.ptp(np.bincount(labels, minlength=len(NAMES))))


@given(st.lists(st.tuples(st.integers(0, 44), st.integers(0, 2)), max_size=60), st.integers(0, 99), REPLICATES)
def test_no_content_is_in_two_places_and_none_is_lost(
    copies: list[tuple[int, int]], seed: int, replicate: int | None
) -> None:
    """Whatever is copied, with equal or other labels: every content stays once, copies are counted, sizes hold."""
    copied = make([content for content, _ in copies], [label for _, label in copies])
    splits = divide(concatenate(balanced(15), copied), None, ask(6, 4, 5, seed), replicate)
    kept = [content for part in PARTS for content in contents(splits.images[part])]
    assert sorted(kept) == list(range(45))
    assert [len(splits.images[part]) for part in PARTS] == [5, 4, 3, 6, 27]
    assert sum(splits.duplicates_dropped.values()) == len(copies)


@given(st.tuples(*[st.integers(3, 17)] * 4), st.integers(0, 99), REPLICATES)
def test_every_prefix_is_balanced(sizes: tuple[int, int, int, int], seed: int, replicate: int | None) -> None:
    """Sizes are exact; class counts of test, val, select, any prefix of train + reserve differ by 1 at most."""
    test, val, select, train = sizes
    splits = divide(balanced(24), None, ask(train, val, test, seed, select=select), replicate)
    assert [len(splits.images[part]) for part in PARTS] == [*sizes, 72 - sum(sizes)]
    growing = concatenate(splits.images["train"], splits.images["reserve"]).labels
    assert max(imbalance(growing[:stop]) for stop in range(len(growing))) <= 1
    for part in ("test", "val", "select"):
        assert imbalance(splits.images[part].labels) <= 1


def test_reserve_of_uneven_classes_starts_balanced() -> None:
    """A small class is used up in its turns; the rest of the large ones comes after."""
    pool = concatenate(balanced(10), make(list(range(100, 120)), [1] * 20))
    labels = divide(pool, None, ask(3, 3, 3)).images["reserve"].labels
    assert imbalance(labels[: 3 * 6]) == 0
    assert set(labels[3 * 6 :].tolist()) == {1}


@given(st.integers(0, 2**31 - 1))
def test_a_seed_draws_its_own_split(seed: int) -> None:
    """Equal seeds give equal splits in equal order, other seeds others; images keep their labels."""
    pool = balanced(30)
    once, again, other = (divide(pool, None, ask(24, 12, 12, s, select=12)).images for s in (seed, seed, seed ^ 1))
    label_of = dict(zip(contents(pool), pool.labels.tolist(), strict=True))
    for part in PARTS:
        assert once[part].digest() == again[part].digest()
        assert once[part].digest() != other[part].digest()
        assert [label_of[content] for content in contents(once[part])] == once[part].labels.tolist()


@pytest.mark.parametrize("official", [None, balanced(10, first=1000)], ids=["drawn test", "official test"])
def test_a_replicate_draws_all_but_test_anew(official: LabelledImages | None) -> None:
    """Test is the same for every replicate; no content is lost or twice; every prefix stays balanced."""
    first, again, other = (divide(balanced(30), official, ask(24, 12, 12), replicate).images for replicate in (0, 0, 1))
    assert first["test"].digest() == other["test"].digest()
    for part in PARTS[1:]:
        assert first[part].digest() == again[part].digest()
        assert first[part].digest() != other[part].digest()
        assert imbalance(other[part].labels) <= 1
    assert len({content for part in PARTS for content in contents(other[part])}) == sum(map(len, other.values()))


def test_pool_images_that_are_in_test_are_dropped_and_counted() -> None:
    """A copy of a test image stays in test alone, also one with another label."""
    test = balanced(4, first=1000)
    pool = concatenate(balanced(10), make([1002, 1003, 1004, 1011], [0, 0, 1, 0]))
    splits = divide(pool, test, ask(6, 6, 12))
    assert sorted(contents(splits.images["test"])) == list(range(1000, 1012))
    rest = [content for part in PARTS[1:] for content in contents(splits.images[part])]
    assert sorted(rest) == list(range(30))
    assert splits.duplicates_dropped["test"] == 0
    assert sum(splits.duplicates_dropped.values()) == 4


def test_copies_within_the_official_test_set_are_passed_over() -> None:
    """Every content once, for any seed; a copy that was drawn is counted."""
    test = concatenate(balanced(4, first=1000), make([1000, 1001], [0, 0]))
    drawn = [divide(balanced(10), test, ask(6, 6, 12, seed)) for seed in range(20)]
    assert all(sorted(contents(splits.images["test"])) == list(range(1000, 1012)) for splits in drawn)
    assert {splits.duplicates_dropped["test"] for splits in drawn} == {0, 1, 2}


def test_a_class_too_small_is_named() -> None:
    """One line with the class, what it has, what each split needs of it, and which values to lower."""
    pool = concatenate(balanced(37, names=NAMES), make(list(range(500, 600)), [1] * 50 + [2] * 50))
    with pytest.raises(UserError) as error:
        divide(pool, None, ask(120, 30, 30))
    assert str(error.value) == (
        "class 'cat' has 37 images, the split needs 61 (train 40 + select 1 + val 10 + test 10): "
        "lower dataset.train_size, select_size, val_size or test_size"
    )


def test_duplicates_that_make_a_class_too_small_are_counted() -> None:
    """A user who counts 60 files learns why they are not 60 images."""
    pool = concatenate(balanced(50), make([0] * 10 + list(range(500, 520)), [0] * 10 + [1] * 10 + [2] * 10))
    with pytest.raises(UserError, match=r"^class 'cat' has 60 images, 10 of them duplicates, the split needs 61"):
        divide(pool, None, ask(120, 30, 30))


def test_an_official_test_set_is_drawn_from_by_class() -> None:
    """A smaller test is balanced, and of the official set; the pool then owes the others alone."""
    splits = divide(balanced(10), balanced(10, first=1000), ask(15, 12, 10))
    assert min(contents(splits.images["test"])) >= 1000
    assert len(splits.images["test"]) == 10
    assert imbalance(splits.images["test"].labels) == 1
    assert len(splits.images["reserve"]) == 0


def test_a_test_larger_than_the_official_one_is_refused() -> None:
    """The message counts official test images, not those of the pool, and names the one value to lower."""
    with pytest.raises(UserError) as error:
        divide(balanced(100), balanced(10, first=1000), ask(30, 30, 33))
    assert str(error.value) == (
        "class 'cat' has 10 official test images, the split needs 11 (test 11): lower dataset.test_size"
    )


@pytest.mark.parametrize(("sizes", "key"), [((2, 3, 3), "train"), ((3, 2, 3), "val"), ((3, 3, 2), "test")])
def test_a_split_without_some_class_is_refused(sizes: tuple[int, int, int], key: str) -> None:
    """Fewer images than classes would leave a class out of the report without a word."""
    with pytest.raises(UserError, match=rf"^dataset.{key}_size is 2, too few for 3 classes: raise it to 3"):
        divide(balanced(10), None, ask(*sizes))


@given(
    st.lists(st.floats(0.01, 100), min_size=3, max_size=3), st.integers(3, 60), st.integers(0, 2**31 - 1), REPLICATES
)
def test_every_prefix_of_train_follows_the_shares(
    shares: list[float], train: int, seed: int, replicate: int | None
) -> None:
    """Every class from the first images on, then as near to the shares as the images it began with allow.

    The other splits are those of equal classes, and no image is lost.
    """
    equal = divide(balanced(90), None, ask(train, 12, 12, seed, select=12), replicate).images
    params = ask(train, 12, 12, seed, select=12, class_shares=shares)
    splits = divide(balanced(90), None, params, replicate).images
    assert all(splits[part].digest() == equal[part].digest() for part in ("test", "val", "select"))
    assert sorted(content for part in PARTS for content in contents(splits[part])) == list(range(270))
    labels = splits["train"].labels
    assert len(labels) == train
    quotas = np.array(shares) / sum(shares)
    for stop in range(3, train + 1):
        counts = np.bincount(labels[:stop], minlength=3)
        assert counts.min() >= 1
        assert np.all(counts[counts > 1] <= quotas[counts > 1] * stop + 1)


def test_train_of_unequal_classes_is_drawn_anew_for_a_replicate() -> None:
    """As many images of each class, other ones."""
    drawn = [divide(balanced(90), None, ask(39, 12, 12, class_shares=[9, 3, 1]), r).images["train"] for r in (0, 1)]
    assert [np.bincount(train.labels).tolist() for train in drawn] == [[27, 9, 3]] * 2
    assert drawn[0].digest() != drawn[1].digest()


def test_an_imbalance_factor_is_the_exponential_profile() -> None:
    """Of 111 images at 100: 100, 10 and 1 (Cui et al. 2019); at 1 all is as without it."""
    long_tailed = divide(balanced(110), None, ask(111, 12, 12, imbalance_factor=100))
    assert np.bincount(long_tailed.images["train"].labels).tolist() == [100, 10, 1]


def test_the_largest_train_of_given_shares_is_named_and_works() -> None:
    """One line; the size it names can be drawn, one more cannot. So it is for more images than there are."""
    for train in (200, 10**9):
        with pytest.raises(UserError) as error:
            divide(balanced(40), None, ask(train, 12, 12, class_shares=[9, 3, 1]))
        assert str(error.value) == (
            "class 'cat' has too few images for its share of train: lower dataset.train_size to 44"
        )
    assert len(divide(balanced(40), None, ask(44, 12, 12, class_shares=[9, 3, 1])).images["train"]) == 44
    with pytest.raises(UserError, match=r"to 44$"):
        divide(balanced(40), None, ask(45, 12, 12, class_shares=[9, 3, 1]))


def uneven(*sizes: int, first: int = 0) -> LabelledImages:
    """Distinct images, so many of each class."""
    return make(list(range(first, first + sum(sizes))), np.repeat(np.arange(len(sizes)), sizes).tolist())


@given(st.tuples(*[st.integers(4, 80)] * 3), st.tuples(*[st.integers(3, 12)] * 4), REPLICATES)
@example((8, 8, 8), (3, 4, 7, 7), None)
def test_natural_splits_are_stratified(
    held: tuple[int, int, int], sizes: tuple[int, int, int, int], replicate: int | None
) -> None:
    """Every prefix of every split has the classes about as the source has them, each from the first images on."""
    assume(sum(sizes) <= sum(held))
    test, val, select, train = sizes
    params = ask(train, val, test, select=select, balance="natural")
    splits = divide(uneven(*held), None, params, replicate).images
    assert [len(splits[part]) for part in PARTS] == [*sizes, sum(held) - sum(sizes)]
    assert sorted(content for part in PARTS for content in contents(splits[part])) == list(range(sum(held)))
    quotas = np.array(held) / sum(held)
    for part, size in zip(PARTS[:4], sizes, strict=True):
        for stop in range(3, size + 1):
            counts = np.bincount(splits[part].labels[:stop], minlength=3)
            assert counts.min() >= 1
            assert np.abs(counts - quotas * stop).max() < 3


def test_natural_splits_of_an_official_test_set() -> None:
    """Test is as that set is, the others as the pool is without what test holds; train may have other shares."""
    pool = concatenate(uneven(80, 40, 20), make([1000] * 60, [2] * 60))
    params = ask(28, 14, 20, select=14, balance="natural")
    splits = divide(pool, uneven(50, 25, 25, first=1000), params).images
    assert np.bincount(splits["test"].labels).tolist() == [10, 5, 5]
    assert np.bincount(splits["train"].labels).tolist() == [16, 8, 4]
    shared = divide(pool, None, ask(28, 14, 14, select=14, balance="natural", class_shares=[1, 1, 2])).images
    assert np.bincount(shared["train"].labels).tolist() == [7, 7, 14]
    assert np.bincount(shared["val"].labels).tolist() == [8, 4, 2]


def test_natural_splits_that_cannot_be_drawn_are_refused() -> None:
    """More than there are, or a class with fewer images than splits."""
    with pytest.raises(UserError, match=r"^the splits test, val, select, train need 61 images, there are 60 without d"):
        divide(uneven(20, 20, 20), None, ask(40, 9, 9, balance="natural"))
    with pytest.raises(UserError, match=r"^class 'emu' has 3 images without duplicates, too few for one in each of t"):
        divide(uneven(20, 20, 3), None, ask(4, 4, 4, balance="natural"))


def test_shares_that_no_size_can_follow_are_refused() -> None:
    """Not one a class; a class that test, val and select used up."""
    with pytest.raises(UserError, match=r"^params.yaml: dataset.class_shares has 2 numbers for 3 classes: give one"):
        divide(balanced(40), None, ask(39, 12, 12, class_shares=[9, 3]))
    with pytest.raises(UserError, match=r"^class 'cat' has no image left for train: lower dataset.select_size, val_"):
        divide(balanced(9), None, ask(3, 12, 12, class_shares=[9, 3, 1]))


def test_describe_counts_every_class_of_every_split() -> None:
    """dataset.json holds names, shape, counts, drops and digests as the later stages read them."""
    pool = balanced(10)
    pool = LabelledImages(pool.images.repeat(4, axis=1).repeat(4, axis=2), pool.labels, NAMES)
    splits = divide(pool, None, ask(6, 6, 6, select=6))
    description = describe("digits", splits)
    assert description.model_dump(exclude={"digests", "near_duplicates", "near_duplicates_in_reserve"}) == {
        "dataset": "digits",
        "class_names": ("cat", "dog", "emu"),
        "image_size": 8,
        "channels": 1,
        "counts": {part: dict.fromkeys(NAMES, 2) for part in PARTS},
        "duplicates_dropped": dict.fromkeys(PARTS, 0),
    }
    assert description.digests == {part: splits.images[part].digest() for part in PARTS}


def test_describe_tells_what_test_shares_with_train_from_what_it_shares_with_reserve() -> None:
    """Near-duplicates are counted by split, of train and of reserve apart; those within a split are none."""
    random = np.random.default_rng(0)
    train, reserve, test, val, select = (random.integers(20, 230, (4, 16, 16, 3), np.uint8) for _ in range(5))
    test[0], test[1:3], val[3], select[1:] = train[2] + 5, reserve[:2, :, ::-1], val[2], train[:3]
    images = {"test": test, "val": val, "select": select, "train": train, "reserve": reserve}
    labelled = {part: LabelledImages(pixels, np.arange(4), ("a", "b", "c", "d")) for part, pixels in images.items()}
    description = describe("digits", Splits(labelled, dict.fromkeys(PARTS, 0)))
    assert description.near_duplicates == {"test": 1, "val": 0, "select": 3}
    assert description.near_duplicates_in_reserve == {"test": 2, "val": 0, "select": 0}


def test_train_counts_are_those_of_train_alone() -> None:
    """Of unequal classes too, and whatever reserve holds."""
    description = describe("digits", Splits({part: unequal(part) for part in PARTS}, dict.fromkeys(PARTS, 0)))
    assert description.train_counts() == [1, 2, 5]


def unequal(part: str) -> LabelledImages:
    """Eight flat images, 1, 2 and 5 of the three classes in train, and 4, 4 and 0 elsewhere."""
    labels = [0, 1, 1, 2, 2, 2, 2, 2] if part == "train" else [0, 1] * 4
    return LabelledImages(np.zeros((8, 8, 8, 1), np.uint8), np.array(labels, np.int64), NAMES)


def grid(*real_percents: int, controls: list[Control] | None = None) -> AblationParams:
    """Params of a grid with these real-only cells."""
    return AblationParams(
        mode="add", mixing="batch", budget="steps", synthetic_percent=[50], real_percent=list(real_percents),
        controls=controls or [], rivals=[], labels="asked", synthetic_weight=1.0, replicates=[0, 1],
        replicate_split=True, num_corrupted=1, threads=1,
        margin_points=0.5,
    )  # fmt: skip


def test_a_learning_curve_beyond_the_reserve_is_stopped_early() -> None:
    """A real_percent beyond the reserve is refused before any training, with the largest percent there is."""
    splits = divide(balanced(20), None, ask(20, 10, 7))
    check_sizes(splits, grid(25, 100, 200))
    with pytest.raises(UserError, match=r"real_percent \[201\] .* 40 real images .* name at most 200"):
        check_sizes(splits, grid(100, 201))


def test_a_ceiling_without_reserve_is_stopped_early() -> None:
    """The control `ceiling` would find no fresh image."""
    splits = divide(balanced(20), None, ask(40, 10, 7))
    check_sizes(splits, grid(100))
    with pytest.raises(UserError, match=r"controls has ceiling.* lower dataset.train_size"):
        check_sizes(splits, grid(100, controls=["ceiling"]))
