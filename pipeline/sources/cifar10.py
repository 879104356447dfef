"""CIFAR-10 (Krizhevsky 2009): 60,000 colour images of 32 x 32 pixels in 10 classes, from verified files."""

import hashlib
import os
import pickle
import shutil
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.images import LabelledImages, Pixels
from pipeline.params.schema import DatasetParams
from pipeline.runtime.errors import UserError
from pipeline.sources.pictures import square
from pipeline.sources.splits import RealImages

RAW = Path("data/raw")
FOLDER = "cifar-10-batches-py"
NATIVE_SIZE = 32

# The official MD5 of each file, as torchvision lists them too (importing that takes seconds).
META, META_MD5 = "batches.meta", "5ff9c542aee3614f3951f8cda6e48888"
POOL_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
}
TEST_MD5 = {"test_batch": "40351d587109b95175f43aff81a1287e"}
WAYS_OUT = (
    f"set CIFAR10_ROOT to a folder that holds {FOLDER}, put {FOLDER} under {RAW}, "
    "or go online with neither, to download it"
)


def load(params: DatasetParams) -> RealImages:
    """50,000 images as the pool and the 10,000 of the official test set, RGB, at `image_size`.

    Read from CIFAR10_ROOT if that is set, else from data/raw, where they are downloaded if need be.

    Raises:
        UserError: a file is missing or not the official one, or the download failed.
    """
    folder = _locate()
    files = {META: META_MD5} | POOL_MD5 | TEST_MD5
    verified = {name: _read_verified(folder / name, md5) for name, md5 in files.items()}
    contents = {name: _unpickle(data) for name, data in verified.items()}
    names = tuple(contents[META]["label_names"])
    parts = [[contents[name] for name in batches] for batches in (POOL_MD5, TEST_MD5)]
    pool, test = (_images(batches, names, params.image_size) for batches in parts)
    return RealImages(pool, test)


def _locate() -> Path:
    """The folder that holds the batch files; a CIFAR10_ROOT without them never leads to a download."""
    root = os.environ.get("CIFAR10_ROOT")
    if root is None:
        if not (RAW / FOLDER).exists():
            _download()
        return RAW / FOLDER
    folder = Path(root).expanduser() / FOLDER
    if not root or not folder.is_dir():
        raise UserError(
            f"CIFAR10_ROOT is '{root}', where there is no {FOLDER}; "
            f"set it to the folder that holds it, or unset it to use {RAW} or a download"
        )
    return folder


def _download() -> None:
    """Downloads into data/raw; what is there under its final name is whole."""
    from torchvision.datasets import CIFAR10

    partial = RAW / ".partial"
    try:
        CIFAR10(str(partial), download=True)
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: the archive's MD5 is wrong
        reason = " ".join(str(error).split())
        raise UserError(f"CIFAR-10 could not be downloaded ({reason}): {WAYS_OUT}") from None
    (partial / FOLDER).replace(RAW / FOLDER)
    shutil.rmtree(partial)


def _read_verified(file: Path, md5: str) -> bytes:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}: {WAYS_OUT}") from None
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != md5:
        raise UserError(f"{file}: corrupt (MD5 {found}, not the official {md5}): {WAYS_OUT}")
    return data


def _unpickle(verified: bytes) -> dict[str, Any]:
    """The dict in bytes whose MD5 is the official one: a pickle can run code, so no other may come here."""
    content: dict[str, Any] = pickle.loads(verified, encoding="latin1")  # noqa: S301 - verified above
    return content


def _images(batches: Sequence[dict[str, Any]], names: tuple[str, ...], image_size: int) -> LabelledImages:
    """Rows of 3,072 bytes (CHW) => uint8 NHWC."""
    rows = np.concatenate([batch["data"] for batch in batches])
    labels = np.concatenate([np.array(batch["labels"], np.int64) for batch in batches])
    images = rows.reshape(-1, 3, NATIVE_SIZE, NATIVE_SIZE).transpose(0, 2, 3, 1)
    return LabelledImages(_resized(np.ascontiguousarray(images), image_size), labels, names)


def _resized(images: Pixels, image_size: int) -> Pixels:
    if image_size == NATIVE_SIZE:
        return images
    return np.stack([np.asarray(square(Image.fromarray(image), image_size)) for image in images])
