"""Draw the labelled synthetic dataset: shards, manifest and card."""

if __name__ == "__main__":
    from pipeline.runtime.entry import run_stage

    run_stage("synthesize")  # imports this module, and so torch, when the machine is checked

import shutil

from pipeline.device import pick_device
from pipeline.gan.description import read_description as read_gan_description
from pipeline.gan.sampling import Sampler
from pipeline.gan.synthesis import plan_synthesis, write_dataset
from pipeline.params.load import load_params
from pipeline.runtime.checkpoint import fingerprint, resumable
from pipeline.runtime.entry import IntFlag, PathFlag
from pipeline.runtime.signals import hold_signals
from pipeline.shards.card import write_card
from pipeline.shards.imported import find_imported
from pipeline.sources.description import check_classes, read_description
from pipeline.sources.screened import write_taken
from pipeline.tracking import tracked_run


def main(generator: PathFlag, dataset: PathFlag, replicate: IntFlag, out: PathFlag) -> None:
    """Writes the dataset folder OUT from the generator, or the images of a set, in GENERATOR.

    DATASET is the real images' dataset.json.
    """
    params = load_params("synthesize", "dataset.title", "gan.networks", "ablation.threads")
    name, licence = f"synthetic {params.dataset.title}", params.synthesize.licence
    paths = {"generator": generator, "dataset": dataset, "out": out}
    if imported := find_imported(generator):
        with tracked_run("synthesize", paths, cell={"replicate": replicate}):
            shutil.rmtree(out, ignore_errors=True)
            write_taken(out, generator, imported, params.synthesize.encoding)
            write_card(out, name=f"{name}: {imported.name}", licence=licence, about={})
        return
    device = pick_device(params.ablation.threads)
    sampler = Sampler.load(generator, device, networks=params.gan.networks)
    real = read_description(dataset)
    check_classes(dataset, real, sampler.class_names)
    counts = real.train_counts()
    synthesis = plan_synthesis(params.synthesize, generator, sampler, counts, seed=replicate, device=device)
    identity = {"recipe": synthesis.recipe.model_dump(), "environment": synthesis.environment}
    key = fingerprint("synthesize", identity)
    with tracked_run("synthesize", paths, cell={"replicate": replicate}), resumable("synthesize", key) as folder:
        root, about = folder / "dataset", read_gan_description(generator, "generator").model_dump()
        with hold_signals() as stop_wanted:
            write_dataset(root, synthesis, key, stop_wanted)
        write_card(root, name=name, licence=licence, about=about)
        shutil.rmtree(out, ignore_errors=True)
        shutil.move(root, out)
