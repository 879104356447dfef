"""Train the class-conditional GAN on the training split, probed on select."""

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
from pipeline.gan.transfer import read_start
from pipeline.params.load import load_params
from pipeline.runtime.checkpoint import fingerprint, resumable
from pipeline.runtime.entry import IntFlag, PathFlag
from pipeline.runtime.signals import hold_signals
from pipeline.shards.reader import read_alike
from pipeline.tracking import tracked_run


def main(
    train: PathFlag,
    select: PathFlag,
    replicate: IntFlag,
    out: PathFlag,
    history: PathFlag,
    samples: PathFlag,
    evolution: PathFlag,
) -> None:
    """Writes the best generator and discriminator to OUT, what was seen on the way to HISTORY, SAMPLES, EVOLUTION."""
    params = load_params(
        "gan.recipe",
        "gan.networks",
        "gan.init_from",
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
        "ablation.threads",
    )
    (real, unseen), device = read_alike(train, select), pick_device(params.ablation.threads)
    gan = params.gan
    start = read_start(gan, real, replicate=replicate)
    parts = {"gan": gan.model_dump(), "seed": replicate, "train": real.digest(), "select": unseen.digest()}
    parts["start"] = start.record.model_dump() if start else {}
    key = fingerprint("train_gan", parts | {"environment": describe_environment(device)})
    pictures = {"samples": samples, "evolution": evolution}
    paths = {"train": train, "select": select, "out": out, "history": history} | pictures
    cell = {"replicate": replicate}
    with tracked_run("train_gan", paths, cell=cell) as run, resumable("train_gan", key) as folder:

        def on_probe(rows: list[Row], sampler: Sampler) -> None:
            keep_strip(folder, write_grid(samples, sampler, replicate), rows[-1])
            write_csv(history, rows)
            run.publish()

        probe = train_probe(gan, real, unseen, seed=replicate, device=device)
        with hold_signals() as stop_wanted:
            callbacks = Callbacks(probe, on_probe, stop_wanted)
            trained = train_gan(
                gan, real, seed=replicate, device=device, folder=folder, callbacks=callbacks, start=start
            )
        write_grid(samples, trained.sampler, replicate)
        write_evolution(evolution, folder)
        write_csv(history, trained.history)
        trained.save(out)
    typer.echo(f"train_gan: {trained.description.summary(gan)}")
