"""Train the class-conditional GAN on the training split, watched on val."""

from functools import partial
from pathlib import Path

import numpy as np
import typer

from pipeline.assessment.assess import Judge
from pipeline.assessment.probe import Examiner
from pipeline.classifier.inference import extract_features, measure_accuracy, predict
from pipeline.classifier.training import train_unmixed
from pipeline.device import describe_environment, pick_device
from pipeline.files import write_array, write_csv, write_picture
from pipeline.gan.sampling import Sampler
from pipeline.gan.training import Watch, train_gan
from pipeline.images import LabelledImages, Pixels, tile
from pipeline.params.load import load_params
from pipeline.runtime.checkpoint import fingerprint, resumable
from pipeline.runtime.entry import PathFlag, run_stage
from pipeline.runtime.signals import hold_signals
from pipeline.shards.reader import read_alike
from pipeline.tracking import tracked_run

GRID_COLUMNS = 10
EVOLUTION_COLUMNS = 12  # at most


def main(
    train: PathFlag, val: PathFlag, out: PathFlag, history: PathFlag, samples: PathFlag, evolution: PathFlag
) -> None:
    """Writes the best generator and discriminator to OUT, what was seen on the way to HISTORY, SAMPLES, EVOLUTION."""
    gan = load_params("gan").gan
    (real, unseen), device = read_alike(train, val), pick_device()
    parts = {"gan": gan.model_dump(), "train": real.digest(), "val": unseen.digest(),
             "environment": describe_environment(device)}  # fmt: skip
    key = fingerprint("train_gan", parts)
    train_judge = partial(train_unmixed, gan.judge, val=unseen, seed=gan.seed, device=device)

    def measure_cas(drawn: LabelledImages) -> float:
        network = train_judge(drawn, synthetic=True)
        return measure_accuracy(predict(network, unseen, flip=gan.judge.flip), unseen)

    paths = {"train": train, "val": val, "out": out, "history": history, "samples": samples, "evolution": evolution}
    with tracked_run("train_gan", paths) as run, resumable("train_gan", key) as folder:

        def on_probe(rows: list[dict[str, float]], sampler: Sampler) -> None:
            row = rows[-1]
            grid = sampler.grid(GRID_COLUMNS, seed=gan.seed)
            write_picture(samples, tile(grid, GRID_COLUMNS))
            write_array(folder / f"strip-{int(row['restarts'])}-{int(row['step']):09d}.npy", grid[::GRID_COLUMNS])
            write_csv(history, rows)
            run.publish()

        network = train_judge(real, synthetic=False)
        judge = Judge("judge", partial(extract_features, network), partial(predict, network, flip=False))
        examiner = Examiner(gan.health, real, unseen, judge, measure_cas)
        with hold_signals() as stop_wanted:
            watch = Watch(examiner, on_probe, stop_wanted)
            trained = train_gan(gan, real, device=device, folder=folder, watch=watch)
        write_picture(samples, tile(trained.sampler.grid(GRID_COLUMNS, seed=gan.seed), GRID_COLUMNS))
        write_picture(evolution, evolution_picture(folder))
        write_csv(history, trained.history)
        about = trained.sampler.describe(
            gan, step=trained.step, restarts=trained.restarts, degraded=trained.degraded, cas=trained.cas
        )
        trained.sampler.save(out, about)
        trained.scorer.save(out, about)
        typer.echo(
            f"train_gan: kept step {trained.step} of {gan.steps}; {trained.restarts} restarts"
            + ("; DEGRADED: alarms outlasted them" if trained.degraded else "")
        )


def evolution_picture(folder: Path) -> Pixels:
    """The same latents at every probe, from left to right; a row a class (HWC).

    The strips lie beside the state in `folder`, so that a run that was killed shows all its probes.
    """
    files = sorted(folder.glob("strip-*.npy"))
    chosen = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, EVOLUTION_COLUMNS).round().astype(int))]
    strips = np.stack([np.load(file) for file in chosen], axis=1)
    return tile(strips.reshape(-1, *strips.shape[2:]), len(chosen))


if __name__ == "__main__":
    run_stage(main)
