"""Shards as torch datasets, for a DataLoader of one's own.

`ImageDataset` holds all images in memory; `ImageStream` reads row groups when it gets to them, each image once
over all workers and ranks. Both give uint8 CHW tensors and int labels, as torchvision.transforms.v2 takes them.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from pipeline.images import Indices
from pipeline.randomness import Stream, permutation
from pipeline.shards.reader import group_sizes, read_group, read_header, read_images, shard_files

Transform: TypeAlias = Callable[[Tensor], Tensor]

WINDOW_GROUPS = 8  # row groups whose rows are shuffled together: 25 MB at 32x32 and 1,024 rows a group


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """All images of the split in `folder`, in memory, by row number.

    Workers that a DataLoader forks share the memory. Attribute `class_names`: one name a class.
    """

    def __init__(self, folder: Path, transform: Transform | None = None) -> None:
        images = read_images(folder)
        self.class_names = images.class_names
        self._pixels = torch.from_numpy(images.images).permute(0, 3, 1, 2)
        self._labels = images.labels
        self._transform = transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        """Image (uint8 CHW, or what `transform` makes of it) and label of a row."""
        return _transformed(self._pixels[row], self._transform), int(self._labels[row])


class ImageStream(IterableDataset[tuple[Tensor, int]]):
    """The images of the split in `folder`, shuffled anew each epoch, without holding them in memory.

    The order is a function of (seed, epoch); worker w of rank r takes one contiguous part of it, so that all
    parts together have each image exactly once and their sizes differ by one at most. Row groups come in a
    random order and the rows of eight at a time are shuffled together.

    Attributes:
        class_names: one name a class.
        num_images: of all ranks together; there is no len(), because workers round their batches up.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        rank: int | None = None,
        world_size: int | None = None,
        transform: Transform | None = None,
    ) -> None:
        """Reads the footers.

        Args:
            folder: holds the shards of one split.
            seed: draws the order.
            rank: of this process among `world_size`; None asks the variable RANK, else 0.
            world_size: None asks the variable WORLD_SIZE, else 1.
            transform: applied to each image.

        Raises:
            UserError: a shard is missing or unreadable.
            ValueError: `rank` is none of `world_size`.
        """
        self._rank = int(os.environ.get("RANK", "0")) if rank is None else rank
        self._world_size = int(os.environ.get("WORLD_SIZE", "1")) if world_size is None else world_size
        if not 0 <= self._rank < self._world_size:
            raise ValueError(f"rank {self._rank} is none of {self._world_size}: give both rank and world_size")
        files = shard_files(folder)
        self._header = read_header(files[0])
        self.class_names = self._header.class_names
        self._groups = [(file, group, size) for file in files for group, size in enumerate(group_sizes(file))]
        self.num_images = sum(size for _, _, size in self._groups)
        self._seed, self._transform = seed, transform
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # persistent workers see it change

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order; call it before each pass."""
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        """This worker's part of the order of this epoch: images (uint8 CHW) and labels."""
        worker = get_worker_info()
        workers, number = (worker.num_workers, worker.id) if worker else (1, 0)
        parts, part = self._world_size * workers, self._rank * workers + number
        start, stop = (self.num_images * i // parts for i in (part, part + 1))
        epoch, first = int(self._epoch), 0
        order = permutation(len(self._groups), seed=self._seed, stream=Stream.DATASET_GROUPS, epoch=epoch)
        for window in range(0, len(order), WINDOW_GROUPS):
            groups = order[window : window + WINDOW_GROUPS]
            size = sum(self._groups[group][2] for group in groups)
            low, high = max(start - first, 0), min(stop - first, size)
            if low < high:
                rows = permutation(size, seed=self._seed, stream=Stream.DATASET_ROWS, epoch=epoch * len(order) + window)
                yield from self._read(groups, rows[low:high])
            first += size

    def _read(self, groups: Indices, rows: Indices) -> Iterator[tuple[Tensor, int]]:
        """The given rows of the given row groups laid end to end."""
        read = [read_group(file, number, self._header) for file, number, _ in (self._groups[g] for g in groups)]
        labels = np.concatenate([labels for _, labels in read])
        pixels = torch.from_numpy(np.concatenate([images for images, _ in read])).permute(0, 3, 1, 2)
        for row in rows:
            yield _transformed(pixels[row], self._transform), int(labels[row])


def _transformed(image: Tensor, transform: Transform | None) -> Tensor:
    return image if transform is None else transform(image)
