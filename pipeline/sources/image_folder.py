"""One's own images, one sub-folder a class (torchvision's `ImageFolder` convention), of any size and mode."""

import logging
import os
import unicodedata
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from pipeline.images import Indices, LabelledImages
from pipeline.params.schema import DatasetParams
from pipeline.runtime.errors import UserError, printable
from pipeline.sources.image_set import ImageSet
from pipeline.sources.listing import DATASET_KEY, SET_KEY, list_files, read_entries
from pipeline.sources.official import SPLITS, check_same_classes, from_splits
from pipeline.sources.pictures import SUFFIXES
from pipeline.sources.reading import Pictures, read_pictures
from pipeline.sources.splits import RealImages

Classes = Mapping[str, Path]


def load(params: DatasetParams) -> RealImages:
    """Every image below `path`, as RGB at `image_size`, ordered by class and then by relative path.

    A class's images may lie in folders within its folder. What is left out is counted in a warning. If `path`
    holds train, val and test, each with the classes, test is the official test set (without it, val is), and the
    other images are the pool.

    Raises:
        UserError: there are not two folders with images, or files cannot be read (all are named).
    """
    root = Path(params.path)
    parts = _split_folders(root, DATASET_KEY)
    if not parts:
        return RealImages(_read(root, _class_folders(root, DATASET_KEY), params.image_size), None)
    classes = {split: _class_folders(folder, DATASET_KEY) for split, folder in parts.items()}
    check_same_classes(str(root), classes)
    return from_splits(str(root), {split: _read(parts[split], classes[split], params.image_size) for split in parts})


def find_pictures(root: Path) -> dict[str, dict[str, list[Path]]]:
    """The files that `load` reads, by split and class; all are train where `root` holds no splits.

    Raises:
        UserError: there are not two folders with pictures.
    """
    parts = _split_folders(root, DATASET_KEY) or {"train": root}
    return {split: _files(root, _class_folders(folder, DATASET_KEY)) for split, folder in parts.items()}


def open_folder(root: Path) -> ImageSet:
    """The pictures that `load` finds, before they are decoded; of several splits those of train.

    Raises:
        UserError: there are not two folders with pictures.
    """
    root = _split_folders(root, SET_KEY).get("train", root)
    files = _files(root, _class_folders(root, SET_KEY))
    paths = [file for found in files.values() for file in found]

    def name(row: int) -> str:
        return paths[row].relative_to(root).as_posix()

    return ImageSet(root, tuple(files), _labels(files), name, paths.__getitem__)


def _split_folders(root: Path, key: str) -> dict[str, Path]:
    """The folder of each split; empty where the folders are classes.

    One folder with the name of a split is taken for a class beside others: trains are one in COCO.
    """
    folders = [path for path in read_entries(root, key) if path.is_dir()]
    others = {path.name for path in folders if path.name.casefold() not in SPLITS}
    splits = [(SPLITS[path.name.casefold()], path) for path in folders if path.name not in others]
    names = [split for split, _ in splits]
    if not splits or (others and len(splits) == 1 and not _holds_any(splits[0][1], others, key)):
        return {}
    if others or "train" not in names or len(set(names)) < len(names):
        found = ", ".join(path.name for path in folders)
        raise UserError(
            f"{key}: {root} has the folders {found}, which look like splits: let it hold train and test, "
            "with or without val, and nothing else, each with a sub-folder a class; or rename those that are classes"
        )
    return dict(splits)


def _holds_any(folder: Path, names: Collection[str], key: str) -> bool:
    return any(path.name in names and path.is_dir() for path in read_entries(folder, key))


def _class_folders(root: Path, key: str) -> dict[str, Path]:
    """The folder of every class, by its name, in the order of the labels."""
    entries = read_entries(root, key)
    if lost := [path for path in entries if path.is_symlink() and not path.exists()]:
        raise UserError(f"{key}: {lost[0]} is a link that leads nowhere: repair or remove it")
    folders = [path for path in entries if path.is_dir()]
    if len(folders) < 2:
        found = f"one sub-folder only, '{folders[0].name}'" if folders else "no sub-folders"
        raise UserError(
            f"{key}: {root} has {found}: put the images of each class, two classes at least, "
            "into a sub-folder of its own"
        )
    if beside := sum(path.suffix.lower() in SUFFIXES for path in entries if path not in folders):
        logging.getLogger(__name__).warning(
            "%s: left out %s images that lie in no class's folder", printable(str(root)), beside
        )
    return _by_name(folders, key)


def _by_name(folders: list[Path], key: str) -> dict[str, Path]:
    """Names as UTF-8 in composed form (NFC), whatever the locale and the file system make of the bytes."""
    classes: dict[str, Path] = {}
    for folder in folders:
        try:
            name = unicodedata.normalize("NFC", os.fsencode(folder.name).decode())
        except UnicodeDecodeError:
            raise UserError(f"{key}: {folder}: its name, which names a class, is not UTF-8; rename it") from None
        if name in classes:
            raise UserError(f"{key}: {folder}: two folders have this name, in two codings; rename one")
        classes[name] = folder
    return dict(sorted(classes.items()))


def _read(root: Path, classes: Classes, size: int) -> LabelledImages:
    files = _files(root, classes)
    paths = [file for found in files.values() for file in found]
    images = read_pictures(Pictures(str(root), list(map(str, paths)), paths.__getitem__), size)
    return LabelledImages(images, _labels(files), tuple(files))


def _files(root: Path, classes: Classes) -> dict[str, list[Path]]:
    """The pictures of every class, of which there is one at least."""
    files = {name: list_files(folder, SUFFIXES) for name, folder in classes.items()}
    if empty := [name for name, found in files.items() if not found]:
        raise UserError(
            f"{root}: no images in {', '.join(empty)} (looked for {' '.join(sorted(SUFFIXES))}): "
            "add some, or remove the folder"
        )
    return files


def _labels(files: Mapping[str, list[Path]]) -> Indices:
    """The class of every picture."""
    return np.repeat(np.arange(len(files), dtype=np.int64), [len(found) for found in files.values()])
