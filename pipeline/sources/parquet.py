"""One's own images in Parquet files, as Hugging Face `datasets` lays them out: encoded images and their labels."""

import os
from pathlib import Path

from pipeline.images import LabelledImages
from pipeline.params.schema import DatasetParams
from pipeline.runtime.errors import UserError
from pipeline.sources.encoded import EncodedImages
from pipeline.sources.image_set import ImageSet
from pipeline.sources.labels import number_labels, order_classes
from pipeline.sources.listing import DATASET_KEY, SET_KEY, list_files, read_entries
from pipeline.sources.official import SPLITS, check_same_classes, from_splits
from pipeline.sources.reading import Pictures, read_pictures
from pipeline.sources.splits import RealImages


def load(params: DatasetParams) -> RealImages:
    """Every row of the Parquet files at `path`, a file or a folder of them, as RGB at `image_size`.

    The split of a file is the first word of its name, or the name of its folder: `data/test-00000-of-00001.parquet`
    and `test/0000.parquet` hold the official test set. A file that names no split is train.

    Raises:
        UserError: there are no such files, or rows cannot be read (all are named).
    """
    path = Path(params.path)
    parts = {split: EncodedImages(files) for split, files in _find_files(path, DATASET_KEY).items()}
    labels = {split: part.labels() for split, part in parts.items()}
    named = {
        split: part.class_names or order_classes(DATASET_KEY, str(path), labels[split]) for split, part in parts.items()
    }
    check_same_classes(str(path), named)
    images = {
        split: _read(str(path), part, labels[split], named["train"], params.image_size) for split, part in parts.items()
    }
    return from_splits(str(path), images)


def open_parquet(path: Path) -> ImageSet:
    """The rows that `load` finds, before they are decoded; of several splits those of train.

    Raises:
        UserError: there are no such files, or one cannot be read.
    """
    part = EncodedImages(_find_files(path, SET_KEY)["train"])
    labels, folder = part.labels(), path if path.is_dir() else path.parent
    class_names = part.class_names or order_classes(SET_KEY, str(path), labels)

    def name(row: int) -> str:
        return part.name(row).removeprefix(f"{folder}/")

    return ImageSet(path, class_names, number_labels(labels, class_names), name, part.open)


def _find_files(path: Path, key: str) -> dict[str, list[Path]]:
    """The files of each split, in the order of their paths."""
    files = [path] if os.path.isfile(path) else _search(path, key)  # noqa: PTH113 - Path's own raises at odd names
    parts: dict[str, list[Path]] = {}
    for file in files:
        parts.setdefault("train" if file == path else _split_of(file, path), []).append(file)
    if "train" not in parts:
        raise UserError(f"{key}: {path} has no file of train, only of {', '.join(parts)}")
    return parts


def _search(folder: Path, key: str) -> list[Path]:
    read_entries(folder, key)  # refuses what is no folder
    files = list_files(folder, {".parquet"})
    if not files:
        raise UserError(f"{key}: {folder} holds no Parquet files (*.parquet)")
    return files


def _split_of(file: Path, folder: Path) -> str:
    words = [file.stem.split("-")[0], *(part.name for part in file.relative_to(folder).parents)]
    return next((SPLITS[word.casefold()] for word in words if word.casefold() in SPLITS), "train")


def _read(
    origin: str, part: EncodedImages, labels: list[str], class_names: tuple[str, ...], size: int
) -> LabelledImages:
    images = read_pictures(Pictures(origin, [part.name(row) for row in range(len(part))], part.open), size)
    return LabelledImages(images, number_labels(labels, class_names), class_names)
