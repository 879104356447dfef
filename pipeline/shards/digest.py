"""What is in shards, whatever files hold it: one digest of all rows, and the images of each class."""

import hashlib
from pathlib import Path

import numpy as np

from pipeline.images import Indices, Pixels
from pipeline.shards.reader import read_file_column, read_files


class ContentDigest:
    """Gathers the rows of shards in their order, as they come, so that memory does not grow with their number.

    Attributes:
        class_counts: images of each class, for each split.
    """

    def __init__(self) -> None:
        self._labels, self._index, self._pixels = (hashlib.sha256() for _ in range(3))
        self.class_counts: dict[str, list[int]] = {}

    def add(self, split: str, images: Pixels, labels: Indices, index: Indices, *, num_classes: int) -> None:
        """Takes the next rows: uint8 NHWC, int64, int64."""
        self._labels.update(labels.astype("<i8").tobytes())
        self._index.update(index.astype("<i8").tobytes())
        self._pixels.update(np.ascontiguousarray(images).data)
        counts = np.bincount(labels, minlength=num_classes)
        self.class_counts[split] = (counts + self.class_counts.get(split, 0)).tolist()

    def add_shard(self, split: str, file: Path) -> None:
        """Reads the next rows from a shard.

        Raises:
            UserError: it is unreadable, or a row of it is.
        """
        images, index = read_files([file]), read_file_column(file, "index")
        self.add(split, images.images, images.labels, index, num_classes=len(images.class_names))

    def sha256(self) -> str:
        """sha256 over the sha256 of all labels, all index (int64, little-endian) and all pixels (uint8 NHWC).

        Rows are in the order in which they were added. The same images give the same digest whatever
        pyarrow's version or the encoding of the images, which the files' own sha256 do not.
        """
        digests = (hasher.digest() for hasher in (self._labels, self._index, self._pixels))
        return hashlib.sha256(b"".join(digests)).hexdigest()
