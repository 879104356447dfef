"""Classes held out: the splits of all others, and apart from them the images of a class that is to be new."""

import numpy as np

from pipeline.images import LabelledImages
from pipeline.params.schema import DatasetParams
from pipeline.runtime.errors import UserError
from pipeline.sources.splits import RealImages, Splits, content_keys, draw_splits, split

NONE = Splits({}, {})


def split_held_out(source: RealImages, params: DatasetParams, *, replicate: int | None) -> tuple[Splits, Splits]:
    """The splits of the classes that are not held out, as `split` draws them, and those of the held-out ones.

    The latter have test and val, as many of each class as the others have on average, and shots: all that are left.
    Their class names are those of the others, which keep their numbers, followed by `dataset.held_out`. No content
    is in two splits of either; nothing is in the second where no class is held out.

    Raises:
        UserError: `dataset.held_out` names no class of the source or leaves fewer than two, or as in `split`.
    """
    held = tuple(params.held_out)
    if not held:
        return split(source, params, replicate=replicate), NONE
    old = _others(source.pool.class_names, held)
    splits = split(_only(source, old), params, replicate=replicate)
    test, val = (-(-size * len(held) // len(old)) for size in (params.test_size, params.val_size))
    sizes = {"test": test, "val": val, "shots": None}
    seen = {key for images in splits.images.values() for key in content_keys(images)}
    novel = draw_splits(_only(source, held), sizes, seen, params, replicate=replicate)
    if lacking := set(range(len(held))) - set(novel.images["shots"].labels.tolist()):
        raise UserError(
            f"class '{held[min(lacking)]}' has no image left for shots: lower dataset.test_size or val_size"
        )
    return splits, Splits({name: _numbered_after(old, images) for name, images in novel.images.items()}, {})


def _others(names: tuple[str, ...], held: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := [name for name in held if name not in names]:
        raise UserError(f"params.yaml: dataset.held_out names '{unknown[0]}', but the classes are {list(names)}")
    old = tuple(name for name in names if name not in held)
    if len(old) < 2:
        raise UserError(f"params.yaml: dataset.held_out leaves the classes {list(old)}: leave two or more")
    return old


def _only(source: RealImages, names: tuple[str, ...]) -> RealImages:
    return RealImages(keep_classes(source.pool, names), source.test and keep_classes(source.test, names))


def keep_classes(data: LabelledImages, names: tuple[str, ...]) -> LabelledImages:
    """The images of the classes `names`, which are numbered in that order."""
    numbers = np.array([names.index(name) if name in names else -1 for name in data.class_names])[data.labels]
    rows = np.flatnonzero(numbers >= 0)
    return LabelledImages(data.images[rows], numbers[rows], names)


def _numbered_after(old: tuple[str, ...], images: LabelledImages) -> LabelledImages:
    return LabelledImages(images.images, images.labels + len(old), old + images.class_names)
