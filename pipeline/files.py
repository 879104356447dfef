"""Small files whose bytes depend on their content alone: JSON, CSV, pictures, models."""

import csv
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import UserError
from pipeline.images import Pixels

if TYPE_CHECKING:  # importing torch takes seconds that stages without a network save
    from torch import Tensor


def save_model(folder: Path, name: str, weights: Mapping[str, "Tensor"], description: Mapping[str, object]) -> None:
    """Writes `<name>.safetensors` and `<name>.json`, which holds what is needed to rebuild the network."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.detach().cpu().contiguous() for key, value in sorted(weights.items())}
    save_file(tensors, folder / f"{name}.safetensors")
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


def write_json(file: Path, value: object) -> None:
    """Writes `value` with sorted keys, atomically: equal values give equal bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_bytes(to_json(value))
    temporary.replace(file)


def write_csv(file: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Writes a table: whole numbers in full, others to six digits; columns in the order of their first row."""
    file.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_number(row[key]) if key in row else "" for key in columns] for row in rows)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.6g}"


def write_picture(file: Path, picture: Pixels) -> None:
    """Writes one picture (HWC uint8, grey or RGB) as PNG."""
    from PIL import Image

    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.squeeze(picture, 2) if picture.shape[2] == 1 else picture).save(file, format="PNG")
