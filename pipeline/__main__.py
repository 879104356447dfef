"""The command `synthmix`, which `python -m pipeline` is too: every sub-command and its options."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.runtime.dvc import use_this_python
from pipeline.runtime.entry import run_app
from pipeline.runtime.user import complete_user

app = typer.Typer(
    name="synthmix",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="How much are synthetic images worth to an image classifier, and at which share of the training set?",
)
dataset = typer.Typer(no_args_is_help=True, help="Work on a finished folder of Parquet shards.")
track = typer.Typer(no_args_is_help=True, help="Rebuild MLflow's runs from the files, or look at them.")
app.add_typer(dataset, name="dataset")
app.add_typer(track, name="track")

Folder = Annotated[Path, typer.Argument(help="Folder with manifest.json and data/.")]
Form = Literal["image_folder", "webdataset", "pt", "hub"]


def num_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def complete_key(incomplete: str) -> list[str]:
    """Keys and groups that `configure` and `sweep` take, for the shell's completion."""
    from pipeline.params.compose import known_keys

    return [f"{key}=" for key in known_keys() if key.startswith(incomplete)]


@app.command()
def configure(
    choices: Annotated[
        list[str] | None,
        typer.Argument(
            help="dataset=…, profile=…, network=…, experiment=… and any block.key=value; none: conf/'s defaults.",
            autocompletion=complete_key,
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only show what was edited since params.yaml was composed.")
    ] = False,
) -> None:
    """Compose params.yaml from conf/, or check it; of a folder of pictures, with sizes that fit it."""
    from pipeline.orchestration.fit import fit_choices
    from pipeline.params.compose import hand_edits, replace_params
    from pipeline.params.load import PARAMS_FILE
    from pipeline.tracking.download import fetch_choices

    if check:
        typer.echo("\n".join(hand_edits(PARAMS_FILE)) or f"{PARAMS_FILE}: as composed")
    else:
        replace_params(fit_choices(fetch_choices(choices or [])))


Jobs = Annotated[
    int,
    typer.Option(
        help="GANs and cells at once.", min=1, default_factory=num_cores, show_default="one per processor core"
    ),
]


@app.command()
def run(
    jobs: Jobs,
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            help="Stages to bring up to date, none: all; or experiment=… and more, as for configure: its settings."
        ),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="`ray`: on the cluster at RAY_ADDRESS, or on one that is started here."),
    ] = "local",
    gpus: Annotated[
        float, typer.Option(help="With ray: GPUs of a GAN or cell, such as 0.25.", envvar="SYNTHMIX_GPUS", min=0)
    ] = 0.0,
) -> None:
    """Do what `dvc repro` does, with many cells at once; or run and compare the settings of an experiment."""
    if any("=" in target for target in targets or []):
        from pipeline.orchestration.sweep.sweep import run_experiment

        run_experiment(targets or [], jobs)
    else:
        from pipeline.orchestration.fanout import bring_up_to_date
        from pipeline.orchestration.ray_engine import on_ray
        from pipeline.orchestration.workers import run_in_processes

        bring_up_to_date(targets or ["dvc.yaml"], jobs, on_ray(gpus) if engine == "ray" else run_in_processes)


@app.command()
def plan(
    jobs: Annotated[
        int, typer.Option(help="Trainings at once.", min=1, default_factory=num_cores, show_default="one per core")
    ],
    std: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation of the differences between replicates, in points.",
            min=0.001,
            show_default="that of results/ablation.json",
        ),
    ] = None,
) -> None:
    """Say what the ablation of params.yaml will cost on this machine, and what it will be able to see."""
    from pipeline.orchestration.plan import describe_plan
    from pipeline.params.load import load_all_params

    typer.echo(describe_plan(load_all_params(), jobs, std))


@app.command()
def sweep(
    jobs: Jobs,
    choice: Annotated[
        str,
        typer.Argument(
            help="key=value,value,…; none: the block `sweep` of params.yaml.",
            show_default=False,
            autocompletion=complete_key,
        ),
    ] = "",
) -> None:
    """Run the whole graph for each value of one param, or each setting of params.yaml, and compare them."""
    from pipeline.orchestration.sweep.sweep import sweep_params_file

    sweep_params_file(choice, jobs)


@app.command()
def demo() -> None:
    """Run the whole pipeline on scikit-learn's handwritten digits, in minutes, and print the answer."""
    from pipeline.orchestration.demo import run_demo

    run_demo(num_cores())


@app.command()
def repair() -> None:
    """Drop truncated entries of dvc.lock, and DVC's locks of processes that have died."""
    from pipeline.orchestration.repair import LOCK_FILE, repair_all

    typer.echo("\n".join(repair_all()) or f"{LOCK_FILE}: nothing to repair")


@app.command()
def extend(
    name: Annotated[str, typer.Option(help="What the new class is called.")],
    images: Annotated[Path, typer.Option(help="Folder with pictures of it; a few will do.")],
    generator: Annotated[Path, typer.Option(help="Folder of the trained generator and its discriminator.")] = Path(
        "models/gan/0"
    ),
    out: Annotated[
        Path | None, typer.Option(help="Folder to write.", show_default="extended/ and the name of the class")
    ] = None,
) -> None:
    """Teach a trained generator one more class, in seconds, and write the dataset that it then draws."""
    from pipeline.dataset.extend import extend_by_folder

    typer.echo(extend_by_folder(name, images, generator, out or Path("extended") / name))


@dataset.command()
def verify(folder: Folder) -> None:
    """Read every file again and compare hashes, counts, columns, labels and content with the manifest."""
    from pipeline.dataset.verify import verify_dataset

    typer.echo(verify_dataset(folder))


@dataset.command()
def regenerate(
    folder: Folder,
    rows: Annotated[int, typer.Option(help="How many rows to draw again; always the same ones.", min=1)] = 16,
    generator: Annotated[
        Path | None,
        typer.Option(help="The generator's folder.", show_default="models/gan/ and the name of the dataset's folder"),
    ] = None,
    tolerance: Annotated[int, typer.Option(help="Levels by which a pixel may differ.", min=0, max=255)] = 0,
) -> None:
    """Draw rows again from the generator and compare them with the shards, pixel by pixel."""
    from pipeline.dataset.regenerate import regenerate_rows

    typer.echo(regenerate_rows(folder, rows, generator or Path("models/gan") / folder.name, tolerance=tolerance))


@dataset.command()
def sample(
    folder: Folder,
    index: Annotated[int, typer.Option(help="The image's value in the column `index`.", min=0)],
    out: Annotated[Path, typer.Option(help="PNG file to write.")],
) -> None:
    """Write one image as a PNG file."""
    from pipeline.dataset.export import export_sample

    typer.echo(export_sample(folder, index, out))


@dataset.command()
def export(
    folder: Folder,
    to: Annotated[Form, typer.Option(help="Form of the copy.")],
    out: Annotated[Path, typer.Option(help="Folder, .tar or .pt file to write.")],
) -> None:
    """Write the dataset as folders, a tar for webdataset or one file for torch; or, to share, with the whole card."""
    from pipeline.dataset.export import export_dataset
    from pipeline.dataset.hub import export_for_hub

    typer.echo(export_for_hub(folder, Path("results"), out) if to == "hub" else export_dataset(folder, to, out))


@track.command()
def sync() -> None:
    """Rebuild the runs of params.yaml's grid from the files in results/; runs that are there stay."""
    from pipeline.tracking.commands import sync_runs

    typer.echo(sync_runs())


@track.command()
def ui(port: Annotated[int, typer.Option(envvar="PORT", help="Port on 127.0.0.1.", min=1, max=65535)] = 5000) -> None:
    """Open MLflow's pages on this machine: one worker, no job runners."""
    from pipeline.tracking.commands import serve

    serve(port)


def main() -> None:
    """What the console script calls."""
    complete_user()
    use_this_python()
    run_app(app)


if __name__ == "__main__":
    main()
