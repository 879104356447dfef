"""Small files whose bytes depend on their content alone: JSON, CSV, pictures, models."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError, disk_errors
from pipeline.images import Pixels

if TYPE_CHECKING:  # importing torch takes seconds that stages without a network save
    from torch import Tensor


def save_model(folder: Path, name: str, weights: Mapping[str, "Tensor"], description: Mapping[str, object]) -> None:
    """Writes `<name>.safetensors` and `<name>.json`, which holds what is needed to rebuild the network."""
    from safetensors.torch import save

    tensors = {key: value.detach().cpu().contiguous() for key, value in sorted(weights.items())}
    write_bytes(folder / f"{name}.safetensors", save(tensors))
    write_json(folder / f"{name}.json", description)


def load_model(folder: Path, name: str) -> tuple[dict[str, "Tensor"], dict[str, Any]]:
    """Weights and description that `save_model` wrote.

    Raises:
        UserError: a file is missing or not what its name says.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(folder / f"{name}.safetensors")
        description = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"{folder}: no {name} can be read here ({error}); make it again with `dvc repro`") from None
    return weights, description


@contextmanager
def wrong_model(folder: Path, name: str) -> Iterator[None]:
    """Turns what a description or weights of another network lead to into a UserError that names the folder."""
    try:
        yield
    except (KeyError, TypeError, RuntimeError) as error:
        told = " ".join(str(error).split())[:200]
        raise UserError(f"{folder}: not a {name} of this pipeline ({told}); make it again with `dvc repro`") from None


def hash_file(path: Path) -> str:
    """sha256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def to_json(value: Any) -> bytes:
    """JSON as every written file has it: sorted, indented, with a last newline."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def escape_markdown(text: str) -> str:
    """`text` as Markdown shows it literally, on one line: no markup, no table cell, no HTML."""
    text = re.sub(r"([\\`*_\[\]|#~])", r"\\\1", " ".join(text.split()))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def write_bytes(file: Path, data: bytes) -> None:
    """Makes `data` the whole content of `file`, which at any moment holds what it held before or all of `data`.

    Raises:
        ExhaustedError: the disk is full or refuses.
    """
    temporary = file.with_name(f".{file.name}.tmp")
    with disk_errors(file, len(data)):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(data)
            temporary.replace(file)
        except OSError:
            temporary.unlink(missing_ok=True)  # a full disk gets its space back
            raise


def write_json(file: Path, value: object) -> None:
    """Writes `value` with sorted keys: equal values give equal bytes."""
    write_bytes(file, to_json(value))


def write_csv(file: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Writes a table: whole numbers in full, others to six digits; columns in the order of their first row."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_number(row[key]) if key in row else "" for key in columns] for row in rows)
    write_bytes(file, text.getvalue().encode())


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.6g}"


def write_array(file: Path, array: NDArray[np.generic]) -> None:
    """Writes one array as NumPy's .npy."""
    data = io.BytesIO()
    np.save(data, array)
    write_bytes(file, data.getvalue())


def write_picture(file: Path, picture: Pixels) -> None:
    """Writes one picture (HWC uint8, grey or RGB) as PNG."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(np.squeeze(picture, 2) if picture.shape[2] == 1 else picture).save(data, format="PNG")
    write_bytes(file, data.getvalue())
