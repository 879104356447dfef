"""Labelled images that another program made, before they are decoded: their classes, and those that are wanted."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from pipeline.files import parse_json
from pipeline.images import Indices, Pixels
from pipeline.runtime.errors import UserError
from pipeline.sources.reading import Pictures, read_pictures

LEFT_OUT = -1  # label of images of a class that is mapped to none
COLUMNS = ["theirs", "ours"]


@dataclass(frozen=True)
class ImageSet:
    """A set, in the order of its files.

    Attributes:
        path: where it lies.
        class_names: as the set has them.
        labels: int64 (N,), a class each.
        name: what to call the n-th image: its file, relative to the set, and its row there.
        open: where to read the n-th image.
    """

    path: Path
    class_names: tuple[str, ...]
    labels: Indices
    name: Callable[[int], str]
    open: Callable[[int], Path | BinaryIO]


def read_rows(images: ImageSet, rows: Indices, shape: tuple[int, int, int]) -> Pixels:
    """The images at `rows`, in that order: uint8 NHWC of `shape` (HWC, square), grey where C = 1.

    Raises:
        UserError: an image cannot be read; names it.
        ExhaustedError: there is no memory for them.
    """
    order = np.argsort(rows, kind="stable")  # files are read from their beginning to their end
    ordered = rows[order].tolist()
    names = [f"{images.path}: {images.name(row)}" for row in ordered]
    pictures = Pictures(str(images.path), names, lambda place: images.open(ordered[place]))
    colour = read_pictures(pictures, shape[0])
    found = colour if shape[2] == colour.shape[3] else _to_grey(colour)
    pixels = np.empty_like(found)
    pixels[order] = found
    return pixels


def _to_grey(images: Pixels) -> Pixels:
    """RGB => one channel; what was grey keeps its levels."""
    return np.stack([np.asarray(Image.fromarray(image).convert("L"))[..., None] for image in images])


def match_classes(images: ImageSet, ours: Sequence[str], mapping_file: Path) -> tuple[Indices, dict[str, str]]:
    """The label of each image among the classes `ours`, LEFT_OUT for none; and the names that the mapping changes.

    A name that is mapped to an empty one is left out; one that is not mapped must be among `ours`.

    Raises:
        UserError: names do not match; lists those of both sides.
    """
    mapping = read_mapping(mapping_file)
    theirs = images.class_names
    if strangers := sorted(set(mapping) - set(theirs)):
        raise UserError(f"{mapping_file}: maps {strangers}, which {images.path} has not; its classes: {list(theirs)}")
    names = [mapping.get(name, name) for name in theirs]
    found = {names[label] for label in np.unique(images.labels)}
    unmatched, lost = sorted({*names} - {*ours, ""}), [name for name in ours if name not in found]
    if unmatched or lost:
        raise UserError(
            f"{images.path}: its classes {list(theirs)} are not the real images' {list(ours)}: "
            f"{f'{unmatched} match none' if unmatched else f'none matches {lost}'}; name the pairs in {mapping_file} "
            f"(synthesize.class_mapping), a row `theirs,ours` each, `theirs,` to leave a class out"
        )
    numbers = [ours.index(name) if name else LEFT_OUT for name in names]
    return np.array(numbers, np.int64)[images.labels], {name: mapping[name] for name in theirs if name in mapping}


def read_mapping(file: Path) -> dict[str, str]:
    """The set's names and ours, from a JSON object or a CSV with the columns theirs and ours.

    Raises:
        UserError: it cannot be read as one.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        mapping = parse_json(text.encode()) if file.suffix.lower() == ".json" else _read_csv(text)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}); name it in synthesize.class_mapping") from None
    except (ValueError, csv.Error) as error:
        raise UserError(f"{file}: no mapping of classes ({error}); write the columns theirs,ours") from None
    if not isinstance(mapping, dict) or not all(isinstance(name, str) for name in mapping.values()):
        raise UserError(f'{file}: no mapping of classes; write {{"theirs": "ours", …}}')
    return mapping


def _read_csv(text: str) -> Mapping[str, str]:
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    if not rows or rows[0] != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
        raise ValueError(f"expected two columns with the header {','.join(COLUMNS)}")
    if len({row[0] for row in rows}) < len(rows):
        raise ValueError("names a class twice")
    return {row[0]: row[1] for row in rows[1:]}
