"""Train the class-conditional GAN on the training split, probed on val."""

if __name__ == "__main__":
    from pipeline.runtime.entry import run_stage

    run_stage("train_gan")  # imports this module, and so torch, when the machine is checked

import typer

from pipeline.assessment.probe import train_probe
from pipeline.device import describe_environment, pick_device
from pipeline.files import write_csv
from pipeline.gan.pictures import keep_strip, write_evolution, write_grid
from pipeline.gan.sampling import Sampler
from pipeline.gan.state import Row
from pipeline.gan.training import Callbacks, train_gan
from pipeline.params.load import load_params
from pipeline.runtime.checkpoint import fingerprint, resumable
from pipeline.runtime.entry import PathFlag
from pipeline.runtime.signals import hold_signals
from pipeline.shards.reader import read_alike
from pipeline.tracking import tracked_run


def main(
    train: PathFlag, val: PathFlag, out: PathFlag, history: PathFlag, samples: PathFlag, evolution: PathFlag
) -> None:
    """Writes the best generator and discriminator to OUT, what was seen on the way to HISTORY, SAMPLES, EVOLUTION."""
    gan = load_params(
        "gan.recipe",
        "gan.networks",
        "gan.seed",
        "gan.steps",
        "gan.batch_size",
        "gan.ema_half_life_images",
        "gan.ema_rampup",
        "gan.flip",
        "gan.translate",
        "gan.probe_every",
        "gan.judge",
        "gan.health",
        "gan.${gan.recipe}",
    ).gan
    (real, unseen), device = read_alike(train, val), pick_device()
    parts = {"gan": gan.model_dump(), "train": real.digest(), "val": unseen.digest()}
    key = fingerprint("train_gan", parts | {"environment": describe_environment(device)})
    paths = {"train": train, "val": val, "out": out, "history": history, "samples": samples, "evolution": evolution}
    with tracked_run("train_gan", paths) as run, resumable("train_gan", key) as folder:

        def on_probe(rows: list[Row], sampler: Sampler) -> None:
            keep_strip(folder, write_grid(samples, sampler, gan.seed), rows[-1])
            write_csv(history, rows)
            run.publish()

        probe = train_probe(gan, real, unseen, device)
        with hold_signals() as stop_wanted:
            callbacks = Callbacks(probe, on_probe, stop_wanted)
            trained = train_gan(gan, real, device=device, folder=folder, callbacks=callbacks)
        write_grid(samples, trained.sampler, gan.seed)
        write_evolution(evolution, folder)
        write_csv(history, trained.history)
        trained.save(out)
    typer.echo(f"train_gan: {trained.description.summary(gan)}")
