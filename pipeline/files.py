"""Small files whose bytes depend on their content alone: JSON, CSV, pictures, models."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.images import Pixels
from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.errors import UserError

if TYPE_CHECKING:  # importing torch takes seconds that stages without a network save
    from torch import Tensor
    from torch.nn import Module

AGAIN = "make it again with `dvc repro`"


class Record(BaseModel):
    """What a JSON file holds: frozen, strict (no text for numbers, neither NaN nor infinity), unknown keys refused."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


AnyRecord = TypeVar("AnyRecord", bound=Record)


def read_record(path: Path, kind: type[AnyRecord], *, again: str) -> AnyRecord:
    """The record in a JSON file.

    Raises:
        UserError: the file is missing or holds no such record; the line ends with the command `again`, which makes it.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run: {again}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); run: {again}") from None
    except ValidationError as error:
        raise UserError(f"{path}: corrupted ({_first_problem(error)}); delete it and run: {again}") from None


def _first_problem(error: ValidationError) -> str:
    """The first wrong value of a record: its key, and what is wrong."""
    item = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in item["loc"])
    message = item["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


def save_model(folder: Path, name: str, weights: Mapping[str, "Tensor"], description: Mapping[str, object]) -> None:
    """Writes `<name>.safetensors` and `<name>.json`, which holds what is needed to rebuild the network."""
    from safetensors.torch import save

    tensors = {key: value.detach().cpu().contiguous() for key, value in sorted(weights.items())}
    write_bytes(folder / f"{name}.safetensors", save(tensors))
    write_json(folder / f"{name}.json", description)


def load_weights(folder: Path, name: str) -> dict[str, "Tensor"]:
    """The weights that `save_model` wrote, on the CPU.

    Raises:
        UserError: the file is missing or no safetensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(folder / f"{name}.safetensors")
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"{folder}: no {name} can be read here ({error}); {AGAIN}") from None


@contextmanager
def wrong_model(folder: Path, name: str) -> Iterator[None]:
    """Turns what a description or weights of another network lead to into a UserError that names the folder."""
    try:
        yield
    except UserError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        problem = " ".join(str(error).split())[:200]
        raise UserError(f"{folder}: not a {name} of this pipeline ({problem}); {AGAIN}") from None


def fill_network(network: "Module", weights: Mapping[str, "Tensor"]) -> None:
    """Puts `weights` into a network of theirs; one on the meta device takes memory only now.

    A description is data: a network that was built from it on the meta device costs nothing until its weights,
    whose file has their sizes, have been found to fit.

    Raises:
        ValueError: a weight is missing, too much, of another shape or type, or not finite.
    """
    wanted = {key: (tuple(value.shape), value.dtype) for key, value in network.state_dict().items()}
    found = {key: (tuple(value.shape), value.dtype) for key, value in weights.items()}
    for key in sorted(wanted | found):
        if wanted.get(key) != found.get(key):
            raise ValueError(f"{key} is {found.get(key, 'absent')}, not {wanted.get(key, 'absent')}")
    if broken := [key for key, value in weights.items() if not value.isfinite().all()]:
        raise ValueError(f"{broken[0]} holds NaN or infinity")
    if any(value.is_meta for value in network.state_dict().values()):
        network.to_empty(device="cpu")
    network.load_state_dict(weights)


def parse_json(data: bytes) -> Any:
    """The value in `data`.

    Raises:
        ValueError: it is not JSON, not UTF-8, or nested too deeply.
    """
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None


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
