"""The sidecar of the shards: one row of scores a synthetic image, in the order of the shards."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.images import Indices
from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.errors import UserError
from pipeline.shards.reader import too_large

FILE = "scores.parquet"
AGAIN = "make it again: dvc repro assess"


def write_scores(folder: Path, columns: dict[str, NDArray[np.generic]]) -> None:
    """Writes the columns as one Parquet file."""
    data = io.BytesIO()
    pq.write_table(pa.table(columns), data, compression="none")
    write_bytes(folder / FILE, data.getvalue())


def read_scores(folder: Path, names: Sequence[str], labels: Indices) -> dict[str, NDArray[np.generic]]:
    """Columns of the sidecar by name, one row for each of the images that have these `labels`.

    Raises:
        UserError: the file is missing or damaged, lacks a column or a value, or is about other images.
    """
    file = folder / FILE
    try:
        with pq.ParquetFile(file) as sidecar:
            table = sidecar.read(columns=list(dict.fromkeys(["label", *names])), use_threads=False)
        columns = {name: table.column(name) for name in table.column_names}
        if lacking := [name for name in ("label", *names) if name not in columns or columns[name].null_count]:
            raise UserError(f"{file}: lacks {lacking[0]}, or values of it; {AGAIN}")
        values = {name: column.to_numpy() for name, column in columns.items()}
    except MemoryError as error:
        raise too_large(file, error) from None
    except (OSError, pa.ArrowException, KeyError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({' '.join(str(error).split())}); {AGAIN}") from None
    if len(table) != len(labels):
        raise UserError(f"{file}: has {len(table)} rows for {len(labels)} synthetic images; {AGAIN}")
    if not np.array_equal(values["label"], labels):
        raise UserError(f"{file}: its labels are not those of the synthetic images; {AGAIN}")
    for name in names:
        if values[name].dtype.kind not in "bf" or not np.isfinite(values[name]).all():
            raise UserError(f"{file}: {name} holds what is no score; {AGAIN}")
    return {name: values[name] for name in names}
