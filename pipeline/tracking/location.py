"""Where the files of runs lie: MLflow notes absolute addresses, and projects are moved and copied."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

FOLDER = "mlruns"
ADDRESSES = (  # of files, in MLflow's tables; no call of MLflow's changes one
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def artifact_location(database: Path, experiment: str) -> str:
    """Address of the folder for an experiment's files, beside the database."""
    return f"{_root(database)}/{quote(experiment, safe='')}"


def follow_move(database: Path) -> None:
    """Makes a database that came here with its folder, moved or copied, name the files beside it again.

    What it names elsewhere than in the folder where it was stays.
    """
    here = _root(database)
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for root in sorted(_roots(connection) - {here}):
            for table, column in ADDRESSES:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",  # noqa: S608 - names of ours
                    (here, len(root) + 1, len(root) + 1, f"{root}/"),
                )


def _root(database: Path) -> str:
    return (database.parent / FOLDER).as_uri()


def _roots(connection: sqlite3.Connection) -> set[str]:
    """The folders for which `artifact_location` has ever given addresses in this database."""
    rows = connection.execute("SELECT name, artifact_location FROM experiments").fetchall()
    ends = [(location or "", f"/{FOLDER}/{quote(name, safe='')}") for name, location in rows]
    return {location.removesuffix(end) + f"/{FOLDER}" for location, end in ends if location.endswith(end)}
