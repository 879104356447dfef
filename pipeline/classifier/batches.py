"""Batches of a training set on the device: gathered there where the set fits, else sent one by one."""

from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.images import ImageSet, Indices, LabelledImages

RESIDENT_SHARE = 0.5  # of a GPU's free memory: the rest is for networks and what they compute


def batch_reader(data: ImageSet, device: torch.device) -> Callable[[Indices], Tensor]:
    """What gives the images at some rows, in that order, as uint8 NHWC on `device`."""
    if isinstance(data, LabelledImages) and (device.type == "cpu" or _fits(data.images.nbytes, device)):
        images = torch.from_numpy(data.images).to(device)
        return lambda rows: images.index_select(0, torch.from_numpy(rows).to(device))
    return lambda rows: torch.from_numpy(data.images[rows]).to(device)


def _fits(size: int, device: torch.device) -> bool:
    free, _ = torch.cuda.mem_get_info(device)
    return size <= RESIDENT_SHARE * free
