"""Draw the labelled synthetic dataset: shards, manifest and card."""

if __name__ == "__main__":
    from pipeline.runtime.entry import run_stage

    run_stage("synthesize")  # imports this module, and so torch, when the machine is checked

import json
import shutil

from pipeline.device import describe_environment, pick_device
from pipeline.files import hash_file
from pipeline.gan.labels import choose_labels, read_real_counts
from pipeline.gan.sampling import Sampler
from pipeline.images import Indices, Pixels
from pipeline.params.load import load_params
from pipeline.runtime.checkpoint import fingerprint, resumable
from pipeline.runtime.entry import PathFlag
from pipeline.runtime.errors import StoppedError, UserError
from pipeline.runtime.progress import Progress
from pipeline.runtime.resources import need_disk, size_below
from pipeline.runtime.signals import hold_signals
from pipeline.shards.card import write_card
from pipeline.shards.content import Content
from pipeline.shards.manifest import write_manifest
from pipeline.shards.png import stored_size
from pipeline.shards.schema import describe_format
from pipeline.shards.writer import write_shards
from pipeline.tracking import tracked_run


def main(generator: PathFlag, dataset: PathFlag, out: PathFlag) -> None:
    """Writes the dataset folder OUT from the generator in GENERATOR; DATASET is the real images' dataset.json."""
    params = load_params("synthesize", "dataset.name", "gan.networks")
    values, device = params.synthesize, pick_device()
    sampler = Sampler.load(generator, device, networks=params.gan.networks)
    if values.num_images < len(sampler.class_names):
        raise UserError(f"params.yaml: synthesize.num_images is {values.num_images}, below one image a class")
    about = json.loads((generator / "generator.json").read_bytes())
    real_counts = read_real_counts(dataset, sampler.class_names)
    labels = choose_labels(values.class_balance, values.class_shares, real_counts)
    recipe = values.model_dump(exclude={"licence", "encoding"}) | {
        "generator_sha256": hash_file(generator / "generator.safetensors"),
        "real_counts": real_counts,
    }
    environment = describe_environment(device) | describe_format(values.encoding)
    key = fingerprint("synthesize", {"recipe": recipe, "environment": environment})

    def draw(start: int, stop: int) -> tuple[Pixels, Indices]:
        if number := stop_wanted():
            raise StoppedError(number, f"synthesize, image {start} of {values.num_images}")
        return sampler.draw(start, stop, seed=values.seed, std=values.latent_std, labels=labels, done=progress.advance)

    paths = {"generator": generator, "dataset": dataset, "out": out}
    with tracked_run("synthesize", paths), resumable("synthesize", key) as folder:
        root, content = folder / "dataset", Content()
        shape = (sampler.shape.size, sampler.shape.size, sampler.shape.channels)
        if values.encoding == "stored_png":  # of the other, nobody knows how small it gets
            missing = values.num_images * stored_size(shape) - size_below(folder)
            need_disk(missing, folder, f"params.yaml: synthesize.num_images {values.num_images}", "lower it")
        with Progress("synthesize", total=values.num_images, unit="img") as progress, hold_signals() as stop_wanted:
            records = write_shards(
                root / "data",
                "train",
                num_images=values.num_images,
                class_names=sampler.class_names,
                seed=values.seed,
                generator=recipe["generator_sha256"],
                draw=draw,
                recipe_digest=key,
                encoding=values.encoding,
                content=content,
            )
        write_manifest(root, {"train": records}, content, recipe=recipe, environment=environment)
        write_card(root, name=f"synthetic {params.dataset.name}", licence=values.licence, about=about)
        shutil.rmtree(out, ignore_errors=True)
        shutil.move(root, out)
