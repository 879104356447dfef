"""One's own images as a CSV list: a row a picture, with its file, its class and, where there is one, its split."""

import csv
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.images import LabelledImages
from pipeline.params.schema import DatasetParams
from pipeline.runtime.errors import UserError
from pipeline.sources.labels import number_labels, order_classes
from pipeline.sources.listing import AGAIN, DATASET_KEY
from pipeline.sources.official import SPLITS, check_same_classes, from_splits
from pipeline.sources.reading import Pictures, read_pictures
from pipeline.sources.splits import RealImages

COLUMNS = ("file", "label")


class Row(NamedTuple):
    """One picture of the list."""

    file: Path
    label: str


def load(params: DatasetParams) -> RealImages:
    """The pictures of the list at `path`, as RGB at `image_size`, in its order.

    Its first line names the columns `file` (relative to the list's folder), `label` and, optionally, `split`.

    Raises:
        UserError: the list or a line of it is wrong, or files cannot be read (all are named).
    """
    path = Path(params.path)
    parts: dict[str, list[Row]] = {}
    for split, row in _read_rows(path):
        parts.setdefault(split, []).append(row)
    if "train" not in parts:
        raise UserError(f"dataset.path: {path} lists no picture of train")
    logging.getLogger(__name__).warning("%s: DVC watches the list, and none of its pictures: %s", path, AGAIN)
    labels = {split: [row.label for row in rows] for split, rows in parts.items()}
    names = {split: order_classes(DATASET_KEY, str(path), found) for split, found in labels.items()}
    check_same_classes(str(path), names)
    images = {split: _read(path, rows, names["train"], params.image_size) for split, rows in parts.items()}
    return from_splits(str(path), images)


def _read_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """The split and the rest of every line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, strict=True)
            _check_header(path, reader.fieldnames or ())
            for values in reader:
                yield _parse(path, reader.line_num, values)
    except (OSError, ValueError, csv.Error) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"dataset.path: {path} is no CSV file in UTF-8 that can be read ({error})") from None


def _check_header(path: Path, found: Sequence[str]) -> None:
    if missing := [name for name in COLUMNS if name not in found]:
        raise UserError(
            f"dataset.path: {path}: its first line is {','.join(found) or 'empty'}: name the columns file and label, "
            f"of which {' and '.join(missing)} is missing"
        )


def _parse(path: Path, line: int, values: dict[str, str]) -> tuple[str, Row]:
    file, label, split = (values.get(name) for name in (*COLUMNS, "split"))
    if not file or not label:
        raise UserError(f"dataset.path: {path}: line {line} lacks its file or its label: fill it in, or remove it")
    if split and split.casefold() not in SPLITS:
        raise UserError(f"dataset.path: {path}: line {line}: its split is {split}: name train, val or test")
    return SPLITS[(split or "train").casefold()], Row(path.parent / file, label)


def _read(path: Path, rows: list[Row], class_names: tuple[str, ...], size: int) -> LabelledImages:
    pictures = Pictures(str(path), [str(row.file) for row in rows], [row.file for row in rows].__getitem__)
    labels = number_labels([row.label for row in rows], class_names)
    return LabelledImages(read_pictures(pictures, size), labels, class_names)
