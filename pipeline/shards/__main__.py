"""`python -m pipeline.shards verify DIR`: whether a dataset folder is what its manifest says."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.errors import UserError
from pipeline.shards.manifest import find_problems, read_manifest

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def shards() -> None:
    """Work on a folder of Parquet shards."""


@app.command()
def verify(folder: Annotated[Path, typer.Argument(help="Folder with manifest.json and data/.")]) -> None:
    """Read every file again and compare hashes, counts, columns, labels and content with the manifest."""
    try:
        problems = find_problems(folder)
        manifest = read_manifest(folder)
    except UserError as error:
        problems = [str(error)]
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(2)
    num_shards = sum(len(records) for records in manifest.splits.values())
    typer.echo(
        f"OK: {folder}: {manifest.num_images} images, {len(manifest.class_names)} classes, "
        f"{num_shards} shards, content sha256 {manifest.content_sha256}"
    )


if __name__ == "__main__":
    app()
