"""The sidecar of the shards: one row of scores a synthetic image, in the order of the shards."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.files import write_bytes

FILE = "scores.parquet"


def write_scores(folder: Path, columns: dict[str, NDArray[np.generic]]) -> None:
    """Writes the columns as one Parquet file."""
    data = io.BytesIO()
    pq.write_table(pa.table(columns), data, compression="none")
    write_bytes(folder / FILE, data.getvalue())


def read_score(folder: Path, name: str) -> NDArray[np.generic]:
    """One column of the sidecar, in the type that it was written in.

    Raises:
        UserError: the file is missing or lacks the column.
    """
    try:
        column = pq.read_table(folder / FILE, columns=[name]).column(name)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise UserError(f"{folder / FILE}: cannot read {name} ({error}); make it again: dvc repro assess") from None
    values: NDArray[np.generic] = column.to_numpy()
    return values
