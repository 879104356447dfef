"""Draws train, reserve, val, select and test from real images: stratified, by seed, without shared content."""

from collections import deque
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from pipeline.images import Indices, LabelledImages
from pipeline.params.schema import AblationParams, DatasetParams
from pipeline.randomness import permutation
from pipeline.runtime.errors import UserError
from pipeline.sources.order import Order, Sizes, largest_size, plan_orders, train_shares


class RealImages(NamedTuple):
    """What a source yields."""

    pool: LabelledImages
    """Images from which the splits are drawn."""
    test: LabelledImages | None
    """The source's official test set; without one, test is drawn from the pool too."""


class Splits(NamedTuple):
    """Splits by name: test, val, select, train, reserve."""

    images: dict[str, LabelledImages]
    """Any first rows of each have its classes in its proportion: equal, natural or, for train, by shares."""
    duplicates_dropped: dict[str, int]
    """Images drawn for a split and left out, because their pixels had been drawn before (for any split)."""


FIRST_REPLICATE = 2  # epochs of the draws: 0 the pool, 1 the official test set, then one a replicate

Queues = list[deque[int]]  # rows still to be drawn, one queue a class


def split(source: RealImages, params: DatasetParams, *, replicate: int | None) -> Splits:
    """Draws test, val, select, train and reserve, in this order, as `pipeline.sources.order` says.

    Test depends on `dataset.seed` alone; the others are another draw for every `replicate`, where it is not None.

    An image whose pixels were drawn before is passed over, whatever its label: no content occurs twice, and
    of two copies the one in the earlier of them stays. Reserve is all that is left. Where `dataset.balance` is
    `balanced`, the rows of train followed by those of reserve take turns over the classes without a break.

    Raises:
        UserError: a size is below the number of classes, or a class has too few images.
    """
    sizes: Sizes = {
        "test": params.test_size,
        "val": params.val_size,
        "select": params.select_size,
        "train": params.train_size,
        "reserve": None,
    }
    return draw_splits(source, sizes, set(), params, replicate=replicate)


def draw_splits(
    source: RealImages, sizes: Sizes, seen: set[bytes], params: DatasetParams, *, replicate: int | None
) -> Splits:
    """Draws `sizes`, of which test comes first, as `split` does; passes over what is in `seen`, and adds to it.

    Raises:
        UserError: a size is below the number of classes, or a class has too few images.
    """
    pool, official_test = source
    _check_sizes(sizes, len(pool.class_names))
    if official_test is None:
        return _deal(pool, sizes, seen, params, 0, replicate)
    assert official_test.class_names == pool.class_names
    test = _deal(official_test, {"test": sizes["test"]}, seen, params, 1, None)
    others = {name: size for name, size in sizes.items() if name != "test"}
    rest = _deal(pool, others, seen, params, 0, replicate)
    return Splits(test.images | rest.images, test.duplicates_dropped | rest.duplicates_dropped)


def check_sizes(splits: Splits, ablation: AblationParams) -> None:
    """Stops early what only the last cells would run into.

    Raises:
        UserError: a declared `real_percent` needs more real images than train and reserve hold, or the control
            `ceiling` finds none in the reserve.
    """
    real_percents = ablation.real_percent
    train, reserve = (len(splits.images[name]) for name in ("train", "reserve"))
    if "ceiling" in ablation.controls and not reserve:
        raise UserError(
            "params.yaml: ablation.controls has ceiling, which takes real images from the reserve, but none is left; "
            "lower dataset.train_size, or take ceiling out (no answer can then say whether the setting could tell)"
        )
    most = 100 * (train + reserve) // train
    if too_large := [percent for percent in real_percents if percent > most]:
        raise UserError(
            f"params.yaml: ablation.real_percent {too_large} needs more than the {train + reserve} real images of "
            f"train and reserve; name at most {most}, or lower dataset.train_size"
        )


def _check_sizes(sizes: Sizes, num_classes: int) -> None:
    for name, size in sizes.items():
        if size is not None and size < num_classes:
            raise UserError(
                f"dataset.{name}_size is {size}, too few for {num_classes} classes: raise it to {num_classes} or more"
            )


def _deal(
    source: LabelledImages, sizes: Sizes, seen: set[bytes], params: DatasetParams, epoch: int, replicate: int | None
) -> Splits:
    """Draws `sizes` images (None: all that are left) from `source`, and adds their content to `seen`.

    Before val, what is left is shuffled anew for the replicate, if there is one.
    """
    keys = content_keys(source)
    rows_of = [np.flatnonzero(source.labels == label) for label in range(len(source.class_names))]
    held = np.array([len({keys[row] for row in rows} - seen) for rows in rows_of], np.int64)
    if params.balance == "natural":
        _check_natural(source, sizes, held)
    orders = plan_orders(sizes, held, params)
    queues = _shuffled(rows_of, seed=params.seed, epoch=epoch)
    drawn, dropped = {}, {}
    for name, size in sizes.items():
        if name == "val" and replicate is not None:
            rows_of = [np.array(queue, np.int64) for queue in queues]
            queues = _shuffled(rows_of, seed=params.seed, epoch=FIRST_REPLICATE + replicate)
        drawn[name], dropped[name] = _draw(queues, orders[name].classes, keys, seen)
        if size is not None and len(drawn[name]) < size:
            raise _too_few(source, params, orders, drawn)
    return Splits({name: source.select(rows) for name, rows in drawn.items()}, dropped)


def content_keys(data: LabelledImages) -> list[bytes]:
    """What stands for the pixels of each image: equal ones have equal keys."""
    return [blake2b(image, digest_size=16).digest() for image in np.ascontiguousarray(data.images)]


def _check_natural(source: LabelledImages, sizes: Sizes, held: Indices) -> None:
    """Refuses sizes beyond the images that are `held`, and classes that do not reach for all splits."""
    drawn = [name for name, size in sizes.items() if size is not None]
    total = sum(size or 0 for size in sizes.values())
    if total > sum(held):
        raise UserError(
            f"the splits {', '.join(drawn)} need {total} images, there are {sum(held)} without duplicates: lower a "
            "dataset.…_size"
        )
    label = int(np.argmin(held))
    if held[label] < len(drawn):
        raise UserError(
            f"class '{source.class_names[label]}' has {held[label]} images without duplicates, too few for one in each "
            f"of {', '.join(drawn)}: add some, or leave the class out"
        )


def _shuffled(rows_per_class: Iterable[Indices], *, seed: int, epoch: int) -> Queues:
    """Rows of every class in drawing order."""
    return [
        deque(rows[permutation(len(rows), seed=seed, stream=label, epoch=epoch)].tolist())
        for label, rows in enumerate(rows_per_class)
    ]


def _draw(queues: Queues, classes: Iterable[int], keys: list[bytes], seen: set[bytes]) -> tuple[Indices, int]:
    """A row of unseen content from each of `classes`, none where it is used up; and how many dropped."""
    rows, dropped = [], 0
    for label in classes:
        queue = queues[label]
        while queue and keys[queue[0]] in seen:
            queue.popleft()
            dropped += 1
        if queue:
            rows.append(queue.popleft())
            seen.add(keys[rows[-1]])
        elif not any(queues):  # a size may be far beyond what there is
            break
    return np.array(rows, np.int64), dropped


def _too_few(
    source: LabelledImages, params: DatasetParams, orders: Mapping[str, Order], drawn: Mapping[str, Indices]
) -> UserError:
    """What the split drawn last ran out of."""
    got = {name: _per_class(source, source.labels[rows]) for name, rows in drawn.items()}
    if not train_shares(params, len(source.class_names)):
        return _class_too_small(source, {name: order.per_class for name, order in orders.items()}, got)
    if "train" in drawn:
        return _share_too_large(source, orders["train"], got["train"])
    return _class_too_small(source, {name: orders[name].per_class for name in orders if name != "train"}, got)


def _share_too_large(source: LabelledImages, order: Order, got: Indices) -> UserError:
    """Names the class that ends the draw of train first."""
    most, label = largest_size(order.classes, got)
    culprit = source.class_names[label]
    if most < len(source.class_names):
        return UserError(
            f"class '{culprit}' has no image left for train: lower dataset.select_size, val_size or test_size"
        )
    return UserError(f"class '{culprit}' has too few images for its share of train: lower dataset.train_size to {most}")


def _class_too_small(source: LabelledImages, asked: Mapping[str, Indices], got: Mapping[str, Indices]) -> UserError:
    """Names the class that fell shortest in the split drawn last."""
    failed = list(got)[-1]
    needs = {name: asked[name] for name in reversed(list(asked)) if name != "reserve"}
    label = int(np.argmax(needs[failed] - got[failed]))
    num_images = int(_per_class(source, source.labels)[label])
    kind = "official test " if list(asked) == ["test"] else ""
    duplicates = num_images - sum(int(counts[label]) for counts in got.values())
    found = f"{num_images} {kind}images" + (f", {duplicates} of them duplicates" if duplicates else "")
    parts = " + ".join(f"{name} {counts[label]}" for name, counts in needs.items())
    total = sum(int(counts[label]) for counts in needs.values())
    keys = " or ".join(", ".join(f"{name}_size" for name in needs).rsplit(", ", 1))
    culprit = source.class_names[label]
    return UserError(f"class '{culprit}' has {found}, the split needs {total} ({parts}): lower dataset.{keys}")


def _per_class(source: LabelledImages, labels: Indices) -> Indices:
    return np.bincount(labels, minlength=len(source.class_names)).astype(np.int64)
