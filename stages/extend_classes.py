"""Extend a trained generator by the held-out classes, from few images of each, and draw the dataset of all classes."""

if __name__ == "__main__":
    from pipeline.runtime.entry import run_stage

    run_stage("extend_classes")  # imports this module, and so torch, when the machine is checked

import shutil

from pipeline.device import pick_device
from pipeline.extend.extension import DatasetPlan, ExtensionPlan, extend_generator, first_shots, write_extended
from pipeline.params.load import load_params
from pipeline.runtime.entry import IntFlag, PathFlag
from pipeline.runtime.signals import hold_signals
from pipeline.shards.reader import read_images
from pipeline.tracking import tracked_run


def main(
    novel: PathFlag, generator: PathFlag, num_shots: IntFlag, replicate: IntFlag, out: PathFlag, synthetic: PathFlag
) -> None:
    """Writes the extended generator to OUT and its dataset to SYNTHETIC, from the first images in NOVEL/shots."""
    params = load_params("synthesize", "extend", "dataset.title", "gan.networks", "ablation.threads")
    device = pick_device(params.ablation.threads)
    shots = first_shots(read_images(novel / "shots"), num_shots)
    plan = ExtensionPlan(generator, params.gan.networks, shots, params.extend, replicate)
    name = f"synthetic {params.dataset.title} with new classes"
    paths = {"novel": novel, "generator": generator, "out": out, "synthetic": synthetic}
    with tracked_run("extend_classes", paths, cell={"num_shots": num_shots, "replicate": replicate}):
        sampler = extend_generator(plan, out, device)
        shutil.rmtree(synthetic, ignore_errors=True)
        counts = [0] * len(shots.class_names)
        with hold_signals() as stop_wanted:
            write_extended(
                synthetic, DatasetPlan(params.synthesize, name, counts), sampler, out, stop_wanted, seed=replicate
            )
