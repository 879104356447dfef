"""A dataset in other tools' forms: folders of images, a tar for webdataset, one file for torch."""

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from pipeline.dataset.regenerate import find_row
from pipeline.images import Indices, LabelledImages
from pipeline.runtime.atomic import creating
from pipeline.runtime.errors import UserError
from pipeline.shards.manifest import DATA_FOLDER, read_manifest
from pipeline.shards.png import encode_png
from pipeline.shards.reader import read_file_column, read_files, read_header, read_images, shard_files

Form: TypeAlias = Literal["image_folder", "webdataset", "pt"]


def export_dataset(root: Path, form: Form, out: Path) -> str:
    """`export` of the dataset folder `root`; says how many images it wrote."""
    export(root / DATA_FOLDER, form, out)
    return f"{out}: {read_manifest(root).num_images} images"


def export_sample(root: Path, index: int, out: Path) -> str:
    """Writes the image whose column `index` has that value as a PNG; says what it is.

    Raises:
        UserError: there is no such row, or `out` is there already.
    """
    row = find_row(root / DATA_FOLDER, index)
    with creating(out) as part:
        part.write_bytes(encode_png(row.image[np.newaxis])[0].tobytes())
    name = read_manifest(root).class_names[row.label]
    return f"{out}: index {index}, label {row.label} ({name}), row {row.row} of {row.file}"


def export(folder: Path, form: Form, out: Path) -> None:
    """Writes the images of the split in `folder` as `out`, which is whole or absent; equal images, equal bytes.

    image_folder: `out`/<class>/<index>.png, as torchvision.datasets.ImageFolder reads it. webdataset: a tar of
    <index>.png and <index>.cls. pt: torch.save of {"images": uint8 NHWC, "labels": int64, "classes": names},
    as airbench's loader reads it.

    Raises:
        UserError: `out` is there already or cannot be written, a shard cannot be read, or a class name is no
            name of a folder.
    """
    write: dict[Form, Callable[[Path, Path], None]] = {
        "image_folder": _write_folders,
        "webdataset": _write_tar,
        "pt": _write_tensors,
    }
    with creating(out) as part:
        write[form](folder, part)


def _write_folders(folder: Path, out: Path) -> None:
    names = read_header(shard_files(folder)[0]).class_names
    for name in names:
        if not name or "/" in name or "\0" in name or name in (".", ".."):
            raise UserError(f"{folder}: class name {name!r} cannot name a folder; export to webdataset or pt")
        (out / name).mkdir(parents=True)
    for images, index in _shards(folder):
        pngs = encode_png(images.images)
        for png, label, i in zip(pngs, images.labels, index, strict=True):
            (out / names[label] / f"{i:08d}.png").write_bytes(png.tobytes())


def _write_tar(folder: Path, out: Path) -> None:
    with tarfile.open(out, "w", format=tarfile.USTAR_FORMAT) as tar:
        for images, index in _shards(folder):
            pngs = encode_png(images.images)
            for png, label, i in zip(pngs, images.labels, index, strict=True):
                _add_member(tar, f"{i:08d}.png", png.tobytes())
                _add_member(tar, f"{i:08d}.cls", str(label).encode())


def _add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """A file without time and owner."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _write_tensors(folder: Path, out: Path) -> None:
    import torch  # here, because reading shards never needs it

    images = read_images(folder)
    tensors = {"images": torch.from_numpy(images.images), "labels": torch.from_numpy(images.labels)}
    with out.open("wb") as stream:  # given a path, torch would write its name into the file
        torch.save(tensors | {"classes": list(images.class_names)}, stream)


def _shards(folder: Path) -> Iterator[tuple[LabelledImages, Indices]]:
    """Images and index of one shard after the other."""
    for file in shard_files(folder):
        yield read_files([file]), read_file_column(file, "index")
