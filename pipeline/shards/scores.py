"""The sidecar of the shards: one row of scores a synthetic image, in the order of the shards."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.images import ImageSet
from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.errors import UserError
from pipeline.shards.reader import too_large

FILE = "scores.parquet"
DIGEST_KEY = b"images_sha256"
AGAIN = "make it again: dvc repro assess"


def write_scores(folder: Path, columns: dict[str, NDArray[np.generic]], images: ImageSet) -> None:
    """Writes the columns, one row for each of `images`, as one Parquet file that bears the images' digest.

    A column is an array (N,), or (N, K), which becomes lists of K.
    """
    table = pa.table({name: _as_column(values) for name, values in columns.items()}).replace_schema_metadata(
        {DIGEST_KEY: images.digest()}
    )
    data = io.BytesIO()
    pq.write_table(table, data, compression="none")
    write_bytes(folder / FILE, data.getvalue())


def _as_column(values: NDArray[np.generic]) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def read_probabilities(folder: Path, images: ImageSet) -> NDArray[np.float32]:
    """The column `probability`: the judge's for every class, float32 (N, num_classes), one row for each of `images`.

    Raises:
        UserError: as `read_scores`, or a row is no distribution over the classes.
    """
    column = _read_columns(folder, ("probability",), images)["probability"]
    rows = column.to_numpy() if len(column) else []
    values = np.stack(rows) if len({len(row) for row in rows}) == 1 else np.empty((0, 0))
    num_classes = len(images.class_names)
    if values.shape != (len(images), num_classes) or not np.allclose(values.sum(1), 1, atol=1e-3):
        raise UserError(f"{folder / FILE}: probability is none of {num_classes} classes; {AGAIN}")
    return values.astype(np.float32)


def read_scores(folder: Path, names: Sequence[str], images: ImageSet) -> dict[str, NDArray[np.generic]]:
    """Columns of the sidecar by name, one row for each of `images`.

    Raises:
        UserError: the file is missing or corrupted, lacks a column or a value, or is about other images.
    """
    values = {name: column.to_numpy() for name, column in _read_columns(folder, names, images).items()}
    for name, column in values.items():
        if column.dtype.kind not in "bf" or not np.isfinite(column).all():
            raise UserError(f"{folder / FILE}: {name} holds what is no score; {AGAIN}")
    return values


def _read_columns(folder: Path, names: Sequence[str], images: ImageSet) -> dict[str, pa.ChunkedArray]:
    """Columns of the sidecar, none of which lacks a value."""
    file = folder / FILE
    try:
        with pq.ParquetFile(file) as sidecar:
            digest = (sidecar.schema_arrow.metadata or {}).get(DIGEST_KEY, b"").decode()
            table = sidecar.read(columns=list(dict.fromkeys(names)), use_threads=False)
        columns = {name: table.column(name) for name in table.column_names}
    except MemoryError as error:
        raise too_large(file, error) from None
    except (OSError, pa.ArrowException, KeyError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({' '.join(str(error).split())}); {AGAIN}") from None
    if lacking := [name for name in names if name not in columns or columns[name].null_count]:
        raise UserError(f"{file}: lacks {lacking[0]}, or values of it; {AGAIN}")
    if len(table) != len(images) or digest != images.digest():
        raise UserError(f"{file}: is about other images than the {len(images)} synthetic ones; {AGAIN}")
    return {name: columns[name] for name in names}
