"""Draw the labelled synthetic dataset: shards, manifest and card."""

import shutil
from functools import partial

from pipeline.checkpoint import fingerprint, resumable
from pipeline.config import load_params
from pipeline.errors import UserError
from pipeline.files import hash_file
from pipeline.gan.sampling import Sampler
from pipeline.progress import Progress
from pipeline.runtime import PathFlag, describe_environment, pick_device, run_stage
from pipeline.shards.card import write_card
from pipeline.shards.manifest import write_manifest
from pipeline.shards.writer import write_shards
from pipeline.tracking import tracked_run


def main(generator: PathFlag, out: PathFlag) -> None:
    """Writes the dataset folder OUT from the generator that `train_gan` left in GENERATOR."""
    params = load_params("synthesize", "dataset.name")
    values, device = params.synthesize, pick_device()
    sampler = Sampler.load(generator, device)
    if values.num_images < len(sampler.class_names):
        raise UserError(f"params.yaml: synthesize.num_images is {values.num_images}, below one image a class")
    recipe = values.model_dump(exclude={"licence"}) | {
        "generator_sha256": hash_file(generator / "generator.safetensors")
    }
    environment = describe_environment(device)
    key = fingerprint({"recipe": recipe, "environment": environment}, code=("gan", "shards", "images"))
    with tracked_run("synthesize", cell={}) as run, resumable("synthesize", key) as folder:
        with Progress("synthesize", total=values.num_images, unit="img") as progress:
            records = write_shards(
                folder / "dataset" / "data",
                "train",
                num_images=values.num_images,
                class_names=sampler.class_names,
                seed=values.seed,
                generator=recipe["generator_sha256"],
                draw=partial(sampler.draw, seed=values.seed, std=values.latent_std, done=progress.advance),
                recipe_digest=key,
            )
        write_manifest(folder / "dataset", {"train": records}, recipe=recipe, environment=environment)
        write_card(folder / "dataset", name=f"synthetic {params.dataset.name}", licence=values.licence)
        shutil.rmtree(out, ignore_errors=True)
        shutil.move(folder / "dataset", out)
        run.log({"num_images": float(values.num_images)}, 0)


if __name__ == "__main__":
    run_stage(main)
