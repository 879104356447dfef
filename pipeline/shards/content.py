"""What is in shards, whatever files hold it: one digest of all rows, and the images of each class."""

import hashlib
from pathlib import Path

import numpy as np

from pipeline.shards.reader import read_file_column, read_files


class Content:
    """Gathers the rows of shards, one shard after the other, so that memory does not grow with their number.

    Attributes:
        class_counts: images of each class, for each split.
    """

    def __init__(self) -> None:
        self._labels, self._index, self._pixels = (hashlib.sha256() for _ in range(3))
        self.class_counts: dict[str, list[int]] = {}

    def add(self, split: str, file: Path) -> None:
        """Reads the next shard.

        Raises:
            UserError: it is unreadable, or a row of it is.
        """
        images = read_files([file])
        self._labels.update(images.labels.astype("<i8").tobytes())
        self._index.update(read_file_column(file, "index").astype("<i8").tobytes())
        self._pixels.update(images.images.data)
        counts = np.bincount(images.labels, minlength=len(images.class_names))
        self.class_counts[split] = (counts + self.class_counts.get(split, 0)).tolist()

    def sha256(self) -> str:
        """sha256 over the sha256 of all labels, all index (int64, little-endian) and all pixels (uint8 NHWC).

        Rows are in the order in which the shards were added. The same images give the same digest whatever
        pyarrow's version or the encoding of the images, which the files' own sha256 do not.
        """
        digests = (hasher.digest() for hasher in (self._labels, self._index, self._pixels))
        return hashlib.sha256(b"".join(digests)).hexdigest()
