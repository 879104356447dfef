"""Copies of images on which classifiers are judged, in a set that they are to train on: a leak looks like a gain."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.assessment.memorisation import EXPECTED_PERCENT, find_near_copies, find_nearest
from pipeline.images import Pixels
from pipeline.shards.imported import CopyCount

Flags = NDArray[np.bool_]


class Copies(NamedTuple):
    """Which images of a set show a judged one, bool (N,): with its very pixels, or near it. No image is both."""

    exact: Flags
    near: Flags

    def counted(self) -> CopyCount:
        """How many."""
        return CopyCount(exact=int(self.exact.sum()), near=int(self.near.sum()), near_expected_percent=EXPECTED_PERCENT)


def find_copies(images: Pixels, judged: Pixels, others: Pixels, device: torch.device) -> Copies:
    """Which of `images` copy one of `judged`.

    The threshold of near ones is that of memorised images: so close to a judged image, relative to the next ones, are
    EXPECTED_PERCENT % of `others`. As many images of a set without copies are taken for near ones.

    Args:
        images: uint8 NHWC, the side a multiple of 16.
        judged: likewise; the images of test, val or select.
        others: likewise; real images of which none is judged.
        device: where distances are taken.
    """
    contents = {image.tobytes() for image in judged}
    exact = np.array([image.tobytes() in contents for image in images], np.bool_)
    nearest, reference = (find_nearest(queries, judged, device) for queries in (images, others))
    return Copies(exact, find_near_copies(nearest, reference) & ~exact)
