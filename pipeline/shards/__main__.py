"""`python -m pipeline.shards verify | sample | export`: work on a finished dataset folder."""

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from pipeline.config import PARAMS_FILE, load_all_params, parse_recipe
from pipeline.errors import UserError
from pipeline.files import hash_file
from pipeline.shards.export import Form, export
from pipeline.shards.files import creating
from pipeline.shards.manifest import DATA_FOLDER, MANIFEST_FILE, Manifest, find_problems, read_manifest
from pipeline.shards.png import encode_png
from pipeline.shards.regenerate import compare_rows, find_row

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
Folder = Annotated[Path, typer.Argument(help="Folder with manifest.json and data/.")]


@app.callback()
def shards() -> None:
    """Work on a folder of Parquet shards."""


@app.command()
def verify(
    folder: Folder,
    regenerate: Annotated[int, typer.Option(help="Rows to draw again from the generator and compare.", min=0)] = 0,
    generator: Annotated[Path, typer.Option(help="Its folder.")] = Path("models/gan"),
    tolerance: Annotated[int, typer.Option(help="Levels by which a pixel may differ.", min=0, max=255)] = 0,
) -> None:
    """Read every file again and compare hashes, counts, columns, labels and content with the manifest."""
    problems = find_problems(folder)
    manifest = read_manifest(folder)
    if not problems and regenerate:
        problems = redraw(folder, manifest, regenerate, generator, tolerance)
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(2)
    counts = [count for split in manifest.class_counts.values() for count in split]
    num_shards = sum(len(records) for records in manifest.splits.values())
    typer.echo(
        f"OK: {folder}: {manifest.num_images} images, {len(manifest.class_names)} classes of {min(counts)} to "
        f"{max(counts)} images, {num_shards} shards, content sha256 {manifest.content_sha256}"
    )


@app.command()
def sample(
    folder: Folder,
    index: Annotated[int, typer.Option(help="Number of the draw, as in the column index.", min=0)],
    out: Annotated[Path, typer.Option(help="PNG file to write.")],
) -> None:
    """Write one image as a PNG file."""
    row = find_row(folder / DATA_FOLDER, index)
    with creating(out) as part:
        part.write_bytes(encode_png(row.image[np.newaxis])[0].tobytes())
    name = read_manifest(folder).class_names[row.label]
    typer.echo(f"{out}: index {index}, label {row.label} ({name}), row {row.row} of {row.file}")


@app.command("export")
def export_command(
    folder: Folder,
    to: Annotated[Form, typer.Option(help="Form of the copy.")],
    out: Annotated[Path, typer.Option(help="Folder, .tar or .pt file to write.")],
) -> None:
    """Write the dataset as folders of images, a tar for webdataset or one file for torch."""
    export(folder / DATA_FOLDER, to, out)
    typer.echo(f"{out}: {read_manifest(folder).num_images} images")


def redraw(folder: Path, manifest: Manifest, count: int, generator: Path, tolerance: int) -> list[str]:
    """Draws rows again and prints how much they differ; a line for each row that differs too much.

    Raises:
        UserError: the generator is not the one that drew the dataset.
    """
    from pipeline.gan.labels import check_real_counts, choose_labels
    from pipeline.gan.sampling import Sampler  # here, because nothing else needs a network
    from pipeline.runtime import describe_environment, pick_device

    device, recipe = pick_device(), parse_recipe(manifest.recipe, folder / MANIFEST_FILE)
    networks = load_all_params().gan.networks if PARAMS_FILE.exists() else ""
    sampler = Sampler.load(generator, device, networks=networks)
    found, wanted = hash_file(generator / "generator.safetensors"), str(manifest.recipe.get("generator_sha256"))
    if found != wanted:
        raise UserError(f"{generator}: is generator {found[:12]}…, {folder} was drawn by {wanted[:12]}…; "
                        "name that one's folder with --generator")  # fmt: skip
    real_counts = check_real_counts(
        manifest.recipe.get("real_counts"), folder / MANIFEST_FILE, len(sampler.class_names)
    )
    classes = choose_labels(recipe.class_balance, recipe.class_shares, real_counts)
    here = describe_environment(device)
    made = {key: manifest.environment.get(key) for key in here}
    compared = compare_rows(
        folder / DATA_FOLDER,
        count,
        lambda start, stop: sampler.draw(start, stop, seed=recipe.seed, std=recipe.latent_std, labels=classes),
        tolerance=tolerance,
    )
    typer.echo(
        f"{folder}: {compared.rows} rows drawn again: {100 * compared.fraction:.4f} % of their pixel values differ, "
        f"by {compared.largest} levels at most"
    )
    if compared.problems and made != here:
        compared.problems.append(f"{folder}: was made on {made}, this is {here}: try --tolerance 1")
    return compared.problems


def main() -> None:
    """Runs the command; a user's mistake is one line and exit code 2."""
    try:
        app()
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
