"""What the report shows besides the cells, held to what it must be before anything is drawn from it."""

import io
import warnings
from pathlib import Path
from typing import Any

from PIL import Image

from pipeline.evaluation.grid import read_json
from pipeline.evaluation.tables import MEASURES
from pipeline.runtime.errors import UserError

SPLITS = ("train", "reserve", "val", "test")
MOST = 1e300  # of a measure
MOST_PIXELS = 10**8  # of a picture in the report: a thousand classes fit


def read_assess(path: Path) -> dict[str, Any]:
    """The content of assess.json.

    Raises:
        UserError: missing, damaged, or a measure is no number.
    """
    content = read_json(path, "assess")
    for key in ("num_images", *(measure[0] for measure in MEASURES)):
        value = content.get(key)
        if not (isinstance(value, int | float) and -MOST < value < MOST):  # so is neither infinity nor NaN
            raise UserError(f"{path}: damaged ({key} is no number); delete it and run: dvc repro assess")
    for key in ("feature_space", "generator", "synthetic_digest"):
        if not isinstance(content.get(key), str):
            raise UserError(f"{path}: damaged ({key} is no text); delete it and run: dvc repro assess")
    return content


def read_dataset(path: Path) -> dict[str, Any]:
    """The content of dataset.json.

    Raises:
        UserError: missing, damaged, or without what the report shows of the splits.
    """
    content = read_json(path, "prepare")
    if wrong := _wrong_values(content):
        raise UserError(f"{path}: damaged ({wrong}); delete it and run: dvc repro prepare")
    return content


def _wrong_values(content: dict[str, Any]) -> str:
    """What is not as `prepare` writes it; empty if all is."""
    names, size = content.get("class_names"), content.get("image_size")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return "class_names are no names"
    if type(size) is not int or size < 1:
        return "image_size is no number of pixels"
    blocks = [content.get(key) for key in ("counts", "duplicates_dropped", "digests")]
    if not all(isinstance(block, dict) and set(SPLITS) <= set(block) for block in blocks):
        return "a split is not there"
    counts = [content["counts"][split] for split in SPLITS]
    numbers = [content["duplicates_dropped"][split] for split in SPLITS]
    for count in counts:
        if not isinstance(count, dict) or set(count) != set(names):
            return "counts are not those of the classes"
        numbers += count.values()
    return "" if all(type(number) is int for number in numbers) else "a count is no number"


def check_classes(path: Path, dataset: dict[str, Any], per_class: dict[str, Any]) -> None:
    """Refuses a dataset.json that tells of other classes than the cells.

    Raises:
        UserError: they differ.
    """
    if set(dataset["class_names"]) != set(per_class):
        raise UserError(f"{path}: its classes are not those of the cells; run: dvc repro")


def read_picture(path: Path, stage: str) -> bytes:
    """The bytes of a PNG that `stage` wrote.

    Raises:
        UserError: missing, no PNG, or one that would fill the memory.
    """
    try:
        data = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # an error below
            with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
                num_pixels = picture.width * picture.height
                if num_pixels <= MOST_PIXELS:
                    picture.load()
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run: dvc repro {stage}") from None
    except Exception as error:  # noqa: BLE001 - broken bytes make decoders raise any type
        raise UserError(f"{path}: damaged ({error}); delete it and run: dvc repro {stage}") from None
    if num_pixels > MOST_PIXELS:
        raise UserError(f"{path}: {num_pixels} pixels are too many; delete it and run: dvc repro {stage}")
    return data
