"""Train the class-conditional GAN on the training split."""

from pipeline.checkpoint import fingerprint, resumable
from pipeline.config import load_params
from pipeline.files import write_csv, write_picture
from pipeline.gan.sampling import Sampler
from pipeline.gan.training import train_gan
from pipeline.images import tile
from pipeline.runtime import PathFlag, describe_environment, pick_device, run_stage
from pipeline.shards.reader import read_images
from pipeline.tracking import tracked_run

GRID_COLUMNS = 10


def main(train: PathFlag, out: PathFlag, history: PathFlag, samples: PathFlag) -> None:
    """Writes the averaged generator to OUT, its losses to HISTORY and a grid of its images to SAMPLES."""
    params = load_params("gan")
    real = read_images(train)
    device = pick_device()
    parts = {"gan": params.gan.model_dump(), "train": real.digest(), "environment": describe_environment(device)}
    key = fingerprint(parts, code=("gan", "images"))
    with tracked_run("train_gan", cell={}) as run, resumable("train_gan", key) as folder:

        def on_probe(row: dict[str, float], sampler: Sampler) -> None:
            write_picture(samples, tile(sampler.grid(GRID_COLUMNS, seed=params.gan.seed), GRID_COLUMNS))
            run.log(row, int(row["step"]))
            run.artifact(samples)

        sampler, rows = train_gan(params.gan, real, device=device, folder=folder, on_probe=on_probe)
        write_csv(history, rows)
        sampler.save(out, params.gan)
        run.register("generator", out, alias="latest")


if __name__ == "__main__":
    run_stage(main)
