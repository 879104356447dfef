"""The sidecar of the shards: one row of scores a synthetic image, in the order of the shards."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.images import LabelledImages
from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.errors import UserError
from pipeline.shards.reader import too_large

FILE = "scores.parquet"
DIGEST_KEY = b"images_sha256"
AGAIN = "make it again: dvc repro assess"


def write_scores(folder: Path, columns: dict[str, NDArray[np.generic]], images: LabelledImages) -> None:
    """Writes the columns, one row for each of `images`, as one Parquet file that bears the images' digest."""
    table = pa.table(columns).replace_schema_metadata({DIGEST_KEY: images.digest()})
    data = io.BytesIO()
    pq.write_table(table, data, compression="none")
    write_bytes(folder / FILE, data.getvalue())


def read_scores(folder: Path, names: Sequence[str], images: LabelledImages) -> dict[str, NDArray[np.generic]]:
    """Columns of the sidecar by name, one row for each of `images`.

    Raises:
        UserError: the file is missing or corrupted, lacks a column or a value, or is about other images.
    """
    file = folder / FILE
    try:
        with pq.ParquetFile(file) as sidecar:
            digest = (sidecar.schema_arrow.metadata or {}).get(DIGEST_KEY, b"").decode()
            table = sidecar.read(columns=list(dict.fromkeys(names)), use_threads=False)
        columns = {name: table.column(name) for name in table.column_names}
        if lacking := [name for name in names if name not in columns or columns[name].null_count]:
            raise UserError(f"{file}: lacks {lacking[0]}, or values of it; {AGAIN}")
        values = {name: column.to_numpy() for name, column in columns.items()}
    except MemoryError as error:
        raise too_large(file, error) from None
    except (OSError, pa.ArrowException, KeyError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({' '.join(str(error).split())}); {AGAIN}") from None
    if len(table) != len(images) or digest != images.digest():
        raise UserError(f"{file}: is about other images than the {len(images)} synthetic ones; {AGAIN}")
    for name in names:
        if values[name].dtype.kind not in "bf" or not np.isfinite(values[name]).all():
            raise UserError(f"{file}: {name} holds what is no score; {AGAIN}")
    return {name: values[name] for name in names}
