"""What is a start from a trained GAN worth? `python -m benchmarks.transfer dataset=digits profile=demo`.

TASK=halves (the default) trains a GAN on the first half of the classes, on all their images that are no val, select or
test, then others on train's images of the other half for a few steps: from drawn weights, and from the first GAN.
TASK=low_data trains the first on train, and the others on 1,000 images of the reserve, of all classes.

Every replicate has its own splits, first GAN and seeds. The state at the last step is measured, none is chosen: by the
test accuracy of classifiers trained on its images alone (CAS), and by the Fréchet distance to test in the features of a
classifier trained on real images. Differences are paired by replicate, with 95 % t-intervals.

Further arguments are values as for `synthmix configure`. STEPS (20,40,80,160) are the trainings' lengths, LONGER
(320,640) further ones from drawn weights, IMAGES another number of real images (of halves at most all),
REPLICATES (5) how many, CLASSIFIER_SEEDS (3) the classifiers of one CAS, ARMS more than the two: in_order (of halves:
classes start as the old ones in their order, not as those that they resemble) and drawn_discriminator. What is finished
is kept in .resume/benchmarks.transfer, so that a second call goes on.
"""

import math
import os
import statistics
import sys
import tempfile
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.gan import Memory, interval_text
from pipeline.assessment.fidelity import frechet_distance
from pipeline.assessment.probe import train_probe
from pipeline.classifier.inference import extract_features, measure_accuracy, predict
from pipeline.classifier.network import Network
from pipeline.classifier.training import train_unmixed
from pipeline.device import describe_environment, pick_device
from pipeline.gan.build import build_networks
from pipeline.gan.description import read_description
from pipeline.gan.labels import Labels
from pipeline.gan.networks import ImageShape
from pipeline.gan.sampling import Sampler
from pipeline.gan.training import Callbacks, train_gan
from pipeline.gan.transfer import Start, find_class_axes, read_start
from pipeline.images import LabelledImages, concatenate
from pipeline.params.compose import compose_params
from pipeline.params.load import parse_params
from pipeline.params.schema import GanParams, Params
from pipeline.runtime.checkpoint import fingerprint
from pipeline.sources.load import load
from pipeline.sources.splits import split

TASK = os.environ.get("TASK", "halves")
REPLICATES, IMAGES = (int(os.environ.get(name, usual)) for name, usual in (("REPLICATES", "5"), ("IMAGES", "0")))
CLASSIFIER_SEEDS = int(os.environ.get("CLASSIFIER_SEEDS", "3"))
STEPS, LONGER = (
    [int(step) for step in os.environ.get(name, usual).split(",") if step]
    for name, usual in (("STEPS", "20,40,80,160"), ("LONGER", "320,640"))
)
ZERO, TRANSFER = "from zero", "transfer"
ARMS = [ZERO, TRANSFER, *filter(None, os.environ.get("ARMS", "").split(","))]
FEW = 1000  # images of the target of low_data
FIRST_SEED = 1000  # of the trainings that are measured; a first GAN has its replicate's
FOLDER = Path(".resume/benchmarks.transfer")
SEEN = {"gan_test_weakest": 1.0, "diversity_weakest": 1.0, "coverage": 1.0, "overfitting": 0.0}  # no alarm


class Measured(NamedTuple):
    """CAS, a fraction, and Fréchet distance to unseen real images."""

    cas: float
    distance: float


Curves = dict[str, dict[int, list[Measured]]]  # by arm and steps, one a replicate


class Task(NamedTuple):
    """The images of a replicate: of the first GAN, of the others, and those that all are measured by."""

    old: LabelledImages
    old_unseen: LabelledImages
    new: LabelledImages
    seen: LabelledImages
    """What the classifier learns from in whose features distances are measured."""
    val: LabelledImages
    test: LabelledImages


class Bench(NamedTuple):
    """What all replicates share."""

    params: Params
    device: torch.device
    memory: Memory
    folder: Path


def main() -> None:
    """Prints the table of all arms and steps, then the paired differences."""
    params, device = parse_params(compose_params(sys.argv[1:])), pick_device()
    environment = describe_environment(device)
    values = {"params": params.model_dump(mode="json"), "task": TASK, "images": IMAGES, "classifiers": CLASSIFIER_SEEDS}
    folder = FOLDER / fingerprint("train_gan", values | {"environment": environment})
    bench = Bench(params, device, Memory(folder / "numbers.jsonl"), folder)
    curves: Curves = {arm: {steps: [] for steps in steps_of(arm)} for arm in ARMS}
    real = [measure_replicate(bench, replicate, curves) for replicate in range(REPLICATES)]
    print(f"{TASK}, {' '.join(sys.argv[1:])}; n = {REPLICATES}; {environment}")
    print(f"a classifier of the target's real images: {interval_text([100 * m.cas for m in real])} %\n")
    print_table(curves)


def steps_of(arm: str) -> list[int]:
    """The lengths of an arm's trainings; 0 is the first GAN as it is, where it has the classes."""
    known = [0] if TASK == "low_data" and arm == TRANSFER else []
    return [*known, *STEPS, *(LONGER if arm == ZERO else [])]


def measure_replicate(bench: Bench, replicate: int, curves: Curves) -> Measured:
    """Adds the replicate's numbers to `curves`; returns those of its real images."""
    task = choose_images(bench.params, replicate)
    eyes = cache(partial(learn, bench, task, task.seen, replicate, synthetic=False))
    of_real = bench.memory.recall(f"real {replicate}", lambda: measure(bench, task, task.new, eyes(), replicate))
    gan = bench.params.gan.model_copy(update={"init_from": str(train_first(bench, task, replicate))})
    for arm, by_steps in curves.items():
        for steps, found in by_steps.items():

            def measure_arm(arm: str = arm, steps: int = steps) -> Measured:
                drawn = draw(bench, train_arm(bench, gan, task, arm, steps, replicate), replicate)
                return measure(bench, task, drawn, eyes(), replicate)

            found.append(Measured(*bench.memory.recall(f"{arm}, {steps} steps, {replicate}", measure_arm)))
    last = ", ".join(f"{arm} {100 * by_steps[STEPS[-1]][-1].cas:.1f} %" for arm, by_steps in curves.items())
    print(f"replicate {replicate}: CAS after {STEPS[-1]} steps: {last}", flush=True)
    return Measured(*of_real)


def choose_images(params: Params, replicate: int) -> Task:
    """The images of a replicate."""
    images = split(load(params.dataset), params.dataset, replicate=replicate).images
    if TASK == "low_data":
        new = images["reserve"].select(np.arange(min(IMAGES or FEW, len(images["reserve"])), dtype=np.int64))
        return Task(images["train"], images["select"], new, images["train"], images["val"], images["test"])
    names = images["train"].class_names
    first, second = ({key: only(data, part) for key, data in images.items()} for part in halves(names))
    old, seen = (concatenate(part["train"], part["reserve"]) for part in (first, second))
    new = seen.select(np.arange(min(IMAGES or len(second["train"]), len(seen)), dtype=np.int64))
    return Task(old, first["select"], new, seen, second["val"], second["test"])


def halves(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The first classes, and the others."""
    return names[: len(names) // 2], names[len(names) // 2 :]


def only(data: LabelledImages, names: tuple[str, ...]) -> LabelledImages:
    """The images of some classes, which are numbered afresh."""
    numbers = np.array([names.index(name) if name in names else -1 for name in data.class_names])[data.labels]
    rows = np.flatnonzero(numbers >= 0)
    return LabelledImages(data.images[rows], numbers[rows], names)


def train_first(bench: Bench, task: Task, replicate: int) -> Path:
    """The folder of the first GAN, which is trained as `train_gan` does it, its best state kept."""
    folder, gan = bench.folder / f"first-{replicate}", bench.params.gan
    if not (folder / "discriminator.json").exists():  # written last
        probe = train_probe(gan, task.old, task.old_unseen, seed=replicate, device=bench.device)
        state = bench.folder / f"state-{replicate}"
        state.mkdir(parents=True, exist_ok=True)
        callbacks = Callbacks(probe, lambda *_: None, lambda: 0)
        trained = train_gan(gan, task.old, seed=replicate, device=bench.device, folder=state, callbacks=callbacks)
        trained.save(folder)
    return folder


def train_arm(bench: Bench, gan: GanParams, task: Task, arm: str, steps: int, seed: int) -> Sampler:
    """The generator after so many steps; a seed of its own, so that no draw is that of the first GAN."""
    if steps == 0:
        return Sampler.load(Path(gan.init_from), bench.device, networks=gan.networks)
    health = gan.health.model_copy(update={"cas_every": steps})
    brief = gan.model_copy(update={"steps": steps, "probe_every": steps, "health": health})
    callbacks = Callbacks(lambda *_, **__: SEEN | {"cas": 1.0}, lambda *_: None, lambda: 0)
    start = None if arm == ZERO else change_start(gan, task.new, read_start(gan, task.new, replicate=seed), arm)
    with tempfile.TemporaryDirectory() as folder:
        return train_gan(
            brief,
            task.new,
            seed=FIRST_SEED + seed,
            device=bench.device,
            folder=Path(folder),
            callbacks=callbacks,
            start=start,
        ).sampler


def change_start(gan: GanParams, real: LabelledImages, start: Start | None, arm: str) -> Start:
    """What the arm starts from."""
    assert start
    shape = ImageShape(real.images.shape[1], real.images.shape[3], len(real.class_names))
    if arm == "drawn_discriminator":
        return start._replace(discriminator=dict(build_networks(gan, shape, seed=FIRST_SEED)[1].state_dict()))
    if arm == "in_order":
        old = list(start.record.classes.values())
        rows = torch.tensor(
            [old.index(name) for name in read_description(Path(gan.init_from), "generator").class_names]
        )
        for state, axes in zip(start[:2], find_class_axes(gan, shape).values(), strict=True):
            state.update({key: state[key].index_select(axis, rows) for key, axis in axes})
    return start


def draw(bench: Bench, sampler: Sampler, seed: int) -> LabelledImages:
    """As many images as the profile's synthetic set has, classes in turn."""
    values = bench.params.synthesize
    classes = Labels.balanced(len(sampler.class_names))
    images, labels = sampler.draw(0, values.num_images, seed=seed, std=values.latent_std, labels=classes)
    return LabelledImages(images, labels, sampler.class_names)


def learn(bench: Bench, task: Task, images: LabelledImages, seed: int, *, synthetic: bool) -> Network:
    """A classifier of the profile's kind on `images` alone."""
    return train_unmixed(bench.params.classifier, images, task.val, synthetic=synthetic, seed=seed, device=bench.device)


def measure(bench: Bench, task: Task, images: LabelledImages, eyes: Network, seed: int) -> Measured:
    """The numbers of images, synthetic or real."""
    accuracies = []
    for number in range(CLASSIFIER_SEEDS):
        network = learn(bench, task, images, CLASSIFIER_SEEDS * seed + number, synthetic=True)
        accuracies.append(measure_accuracy(predict(network, task.test, flip=bench.params.classifier.flip), task.test))
    count = np.arange(min(len(images), len(task.test)), dtype=np.int64)
    distance = frechet_distance(*(extract_features(eyes, data.select(count)) for data in (images, task.test)))
    return Measured(statistics.fmean(accuracies), distance)


def print_table(curves: Curves) -> None:
    """Means of every arm and length, paired differences to drawn weights, and the steps that those need as well."""
    print(
        "| steps | arm | CAS, % | gain, points | Fréchet distance | over from zero, times | equal CAS | equal Fréchet |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for steps, arm in sorted((steps, arm) for arm, by_steps in curves.items() for steps in by_steps):
        print(f"| {steps} | {arm} | {' | '.join(cells(curves[arm][steps], curves[ZERO], steps, arm))} |")


def cells(found: list[Measured], zero: dict[int, list[Measured]], steps: int, arm: str) -> list[str]:
    """A row of the table."""
    cas, distance = interval_text([100 * m.cas for m in found]), interval_text([m.distance for m in found])
    if arm == ZERO:
        return [cas, "", distance, "", "", ""]
    gain = ratio = ""
    if pairs := list(zip(found, zero.get(steps, []), strict=False)):
        gain = interval_text([100 * (a.cas - b.cas) for a, b in pairs])
        ratio = interval_text([a.distance / b.distance for a, b in pairs])
    return [cas, gain, distance, ratio, *(equal_text([s[w] for s in signed(found)], zero, w) for w in (0, 1))]


def signed(found: list[Measured]) -> list[tuple[float, float]]:
    """CAS and negative distance: more is better."""
    return [(m.cas, -m.distance) for m in found]


def equal_text(values: list[float], zero: dict[int, list[Measured]], which: int) -> str:
    """Steps from zero that give as much, of every replicate: the median and the range."""
    needed = [
        next((s for s in sorted(zero) if signed(zero[s])[replicate][which] >= value), math.inf)
        for replicate, value in enumerate(values)
    ]
    named = [f"{s:.0f}" if s < math.inf else f"> {max(zero)}" for s in sorted(needed)]
    middle = named[(len(named) - 1) // 2]
    return middle if named[0] == named[-1] else f"{middle} ({named[0]} to {named[-1]})"


if __name__ == "__main__":
    main()
