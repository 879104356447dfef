"""Sets that come with splits of their own: train, val and test by any of their usual names."""

import logging
from collections.abc import Collection, Mapping

from pipeline.images import LabelledImages, concatenate
from pipeline.runtime.errors import UserError, printable
from pipeline.sources.splits import RealImages

# As Hugging Face `datasets` knows them.
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}


def from_splits(origin: str, images: Mapping[str, LabelledImages]) -> RealImages:
    """test is the official test set (without it, val is); the other images are the pool. `images` has train."""
    if len(images) > 1:
        logging.getLogger(__name__).warning("%s: official splits: %s", printable(origin), ", ".join(sorted(images)))
    train, val, test = (images.get(split) for split in ("train", "val", "test"))
    assert train is not None
    if test is None or val is None:
        return RealImages(train, test or val)
    return RealImages(concatenate(train, val), test)


def check_same_classes(origin: str, classes: Mapping[str, Collection[str]]) -> None:
    """Refuses splits of differing classes.

    Raises:
        UserError: names them.
    """
    for split, found in classes.items():
        if differing := sorted(set(classes["train"]) ^ set(found)):
            raise UserError(
                f"dataset.path: {origin}: train and {split} have not the same classes ({', '.join(differing)} in one "
                "alone): give both the same"
            )
