"""What are generated images worth where a class has few real ones? `python -m benchmarks.new_classes`.

Holds every class out in turn. For each replicate a GAN is trained on the others, with its own splits and seed; for each
number of real images its rows of the new class are fitted, and a classifier of all classes is trained for each arm, as
the stages `extend_classes` and `train_extended` do. Recall of the new class, accuracy on the old ones and their
harmonic mean are measured on test images. Arms are compared pair by pair of class and replicate, and with classes
averaged within their replicate, so that the interval is over replicates alone; Holm's correction is over all rows.

Arguments are values as for `synthmix configure` (dataset=digits profile=demo where there are none); `extend.…` too.
CLASSES (all), SHOTS (1,2,5) and REPLICATES (5, at least 2) say what is run. What is finished is kept in
.resume/benchmarks.new_classes, so that a second call goes on; the table is written there too, as table.md, and
drawn.png, which shows what was drawn beside the real images that it was learned from.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache, partial
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.gan import Memory
from pipeline.assessment.probe import train_probe
from pipeline.device import describe_environment, pick_device
from pipeline.evaluation.new_classes import compare_arms
from pipeline.evaluation.report.new_classes import ARMS, COMPARISONS, arm_rows, comparison_rows
from pipeline.evaluation.report.write import md_table
from pipeline.extend.arms import ExtendedData, renamed, run_arm
from pipeline.extend.extension import ExtensionPlan, extend_generator, first_shots
from pipeline.extend.record import ExtendedCell
from pipeline.files import write_picture
from pipeline.gan.labels import Labels
from pipeline.gan.sampling import Sampler
from pipeline.gan.training import Callbacks, train_gan
from pipeline.images import LabelledImages, Pixels, concatenate, tile
from pipeline.params.compose import compose_params
from pipeline.params.load import parse_params
from pipeline.params.schema import Arm, Params
from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.checkpoint import fingerprint
from pipeline.sources.held_out import split_held_out
from pipeline.sources.load import load

CHOICES = sys.argv[1:] or ["dataset=digits", "profile=demo"]
SHOTS = [int(number) for number in os.environ.get("SHOTS", "1,2,5").split(",")]
CLASSES, REPLICATES = os.environ.get("CLASSES", ""), int(os.environ.get("REPLICATES", "5"))
FOLDER = Path(".resume/benchmarks.new_classes")
DRAWN, ZOOM, GREY = 15, 2, 128  # images of a row, screen pixels a pixel, level of an empty place

Key = tuple[Arm, int]
Found = dict[Key, dict[str, list[ExtendedCell]]]  # by arm and shots, then by class: one a replicate


class Bench(NamedTuple):
    """What all classes and replicates share."""

    params: Params
    device: torch.device
    memory: Memory
    folder: Path


def main() -> None:
    """Prints a line a class and replicate, then the tables; writes these."""
    params, device = parse_params(compose_params(CHOICES)), pick_device()
    environment = describe_environment(device)
    gan = {"params": params.model_dump(mode="json", exclude={"extend", "classifier"}), "environment": environment}
    folder = FOLDER / fingerprint("train_gan", gan)
    parts = {"params": params.model_dump(mode="json"), "environment": environment}
    memory = Memory(folder / f"{fingerprint('extend_classes', parts)}.jsonl")
    bench = Bench(params, device, memory, folder)
    names = load(params.dataset).pool.class_names
    classes = CLASSES.split(",") if CLASSES else list(names)
    found: Found = {(arm, shots): {name: [] for name in classes} for shots in SHOTS for arm in params.extend.arms}
    for replicate in range(REPLICATES):
        for name in classes:
            measure(bench, name, replicate, found)
    text = tables(found, classes, f"{' '.join(CHOICES)}; {environment}")
    write_bytes(folder / "table.md", text.encode())
    write_picture(folder / "drawn.png", drawn_beside_real(bench, classes))
    print(f"{text}\n{folder / 'table.md'}, {folder / 'drawn.png'}")


def measure(bench: Bench, name: str, replicate: int, found: Found) -> None:
    """Adds the cells of one held-out class and replicate."""
    images = cache(partial(extended_data, bench, name, replicate))  # one extension for all arms
    for (arm, shots), by_class in found.items():

        def run(arm: Arm = arm, shots: int = shots) -> dict[str, object]:
            classifier, device = bench.params.classifier, bench.device
            return run_arm(arm, images(shots), classifier, num_shots=shots, seed=replicate, device=device).model_dump()

        by_class[name].append(ExtendedCell(**bench.memory.recall(f"{name} {arm} {shots} {replicate}", run)))
    line = ", ".join(f"{arm} {shots}: {100 * found[arm, shots][name][-1].new_recall:.1f}" for arm, shots in found)
    print(f"{name}, replicate {replicate}: recall in %: {line}", flush=True)


def extended_data(bench: Bench, name: str, replicate: int, shots: int) -> ExtendedData:
    """The images of all arms: those of one replicate with `name` held out, and what its generator draws."""
    dataset = bench.params.dataset.model_copy(update={"held_out": [name]})
    splits, novel = split_held_out(load(dataset), dataset, replicate=replicate)
    few, names = first_shots(novel.images["shots"], shots), novel.images["shots"].class_names
    parent = train_old(bench, splits.images, f"{name}-{replicate}", replicate)
    plan = ExtensionPlan(parent, bench.params.gan.networks, few, bench.params.extend, replicate)
    sampler = extend_generator(plan, bench.folder / f"extended-{name}-{replicate}-{shots}", bench.device)
    old, val, test = (renamed(splits.images[part], names) for part in ("train", "val", "test"))
    return ExtendedData(
        old=old,
        shots=few,
        drawn=draw_new(bench.params, sampler, replicate),
        others=novel.images["shots"],
        val=concatenate(val, novel.images["val"]),
        test=concatenate(test, novel.images["test"]),
    )


def train_old(bench: Bench, images: Mapping[str, LabelledImages], key: str, seed: int) -> Path:
    """Folder of the GAN of all other classes, trained as `train_gan` does it."""
    folder, gan = bench.folder / f"gan-{key}", bench.params.gan
    if not (folder / "discriminator.json").exists():
        state = bench.folder / f"state-{key}"
        state.mkdir(parents=True, exist_ok=True)
        probe = train_probe(gan, images["train"], images["select"], seed=seed, device=bench.device)
        callbacks = Callbacks(probe, lambda *_: None, lambda: 0)
        trained = train_gan(gan, images["train"], seed=seed, device=bench.device, folder=state, callbacks=callbacks)
        trained.save(folder)
    return folder


def draw_new(params: Params, sampler: Sampler, seed: int) -> LabelledImages:
    """As many images of the new class as the balanced dataset has, the same ones."""
    classes = Labels.balanced(len(sampler.class_names))
    std = params.synthesize.latent_std
    images, labels = sampler.draw(0, params.synthesize.num_images, seed=seed, std=std, labels=classes)
    rows = np.flatnonzero(labels == len(sampler.class_names) - 1)
    return LabelledImages(images[rows], labels[rows], sampler.class_names)


def drawn_beside_real(bench: Bench, classes: Sequence[str]) -> Pixels:
    """A row a class and number of real images: these, on grey up to SHOTS' largest, then drawn ones; replicate 0."""
    rows = []
    for name, shots in product(classes, SHOTS):
        data = extended_data(bench, name, 0, shots)
        grey = np.full_like(data.shots.images[:1], GREY).repeat(max(SHOTS) - shots, axis=0)
        rows += [data.shots.images, grey, data.drawn.images[:DRAWN]]
    picture = tile(np.concatenate(rows), max(SHOTS) + DRAWN)
    return picture.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)


def tables(found: Found, classes: Sequence[str], origin: str) -> str:
    """All classes together, then each class alone."""
    every = compare_arms(classes, {key: averaged(by_class) for key, by_class in found.items()})
    parts = [f"{origin}; classes {', '.join(classes)}, averaged in each of {every.n} replicates"]
    parts += [md_table(ARMS, arm_rows(every)), md_table(COMPARISONS, comparison_rows(every))]
    for name in classes:
        one = compare_arms([name], {key: by_class[name] for key, by_class in found.items()})
        parts += [f"{name}, n = {one.n} replicates", md_table(COMPARISONS, comparison_rows(one))]
    return "\n\n".join(parts) + "\n"


def averaged(by_class: Mapping[str, Sequence[ExtendedCell]]) -> list[ExtendedCell]:
    """One cell a replicate: the mean over its classes."""
    groups = zip(*by_class.values(), strict=True)
    return [
        group[0].model_copy(
            update={
                key: fmean(getattr(cell, key) for cell in group)
                for key in ("new_recall", "old_accuracy", "harmonic_mean")
            }
            | {key: sum(getattr(cell, key) for cell in group) for key in ("num_new_test", "num_old_test")}
        )
        for group in groups
    ]


if __name__ == "__main__":
    main()
