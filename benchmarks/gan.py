"""What the recipes are worth after equal compute: `python -m benchmarks.gan dataset=digits profile=demo`.

Trains the profile's recipe, then the classic `dcgan` for as much compute (in steps, from its rate measured here
first), once a GAN seed, on the same images. Each generator's images are judged by one real-only classifier and train
one classifier a seed, which reads the real test images: CAS. Compute is counted in seconds of the processor, which
other work on the machine does not lengthen, or in seconds of the clock on a GPU.

Further arguments are values as for `synthmix configure`; GAN_SEEDS (0,1,2) names the seeds, CLASSIFIER_SEEDS (5) tells
how many. Finished generators are remembered in .resume/benchmarks.gan, so that a second call goes on, and several
calls may share the seeds.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from pipeline.assessment.assess import Drawn, assess
from pipeline.assessment.judge import judge_by
from pipeline.assessment.probe import GeneratorProbe
from pipeline.classifier.inference import measure_accuracy, predict
from pipeline.classifier.network import Network
from pipeline.classifier.training import train_unmixed
from pipeline.device import describe_environment, pick_device
from pipeline.evaluation.statistics import mean_interval
from pipeline.gan.labels import Labels
from pipeline.gan.training import Callbacks, TrainedGan, train_gan
from pipeline.images import LabelledImages, empty_like
from pipeline.params.compose import compose_params
from pipeline.params.load import parse_params
from pipeline.params.schema import CurationParams, GanParams, Params
from pipeline.runtime.checkpoint import fingerprint
from pipeline.sources.load import load
from pipeline.sources.splits import split

GAN_SEEDS = [int(seed) for seed in os.environ.get("GAN_SEEDS", "0,1,2").split(",")]
CLASSIFIER_SEEDS = int(os.environ.get("CLASSIFIER_SEEDS", "5"))
PACE_STEPS = (40, 200)  # two short trainings, whose difference tells a recipe's rate
PEER = "dcgan"
WHOLE = CurationParams(drop_near_copies=False, rank_by="confidence", keep_percent=100, recycle=True)


class Measured(NamedTuple):
    """One generator's numbers; accuracies and shares as fractions."""

    cas: float
    gan_test: float
    weakest_class: float
    coverage: float
    distance: float
    memorised_percent: float
    images: int
    compute: float
    seconds: float


class Memory:
    """Finished results in a file of JSON lines, by name."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        self._known: dict[str, Any] = dict(json.loads(line) for line in lines)

    def recall(self, name: str, measure: Callable[[], Any]) -> Any:
        """What `measure` gave under this name before, or now."""
        if name not in self._known:
            self._known[name] = measure()
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps([name, self._known[name]]) + "\n")
        return self._known[name]


def main() -> None:
    """Prints one row a generator, then the mean of each recipe with its 95 % interval, and their difference."""
    params, device = parse_params(compose_params(sys.argv[1:])), pick_device()
    splits = split(load(params.dataset), params.dataset, replicate=None).images
    environment = describe_environment(device)
    key = fingerprint("train_gan", {"params": params.model_dump(mode="json"), "environment": environment})
    memory = Memory(Path(".resume/benchmarks.gan") / f"{key}.jsonl")
    judge = train(params, splits, splits["train"], empty_like(splits["train"]), seed=0, device=device)
    real = [
        memory.recall(f"real {seed}", partial(accuracy_of_real, params, splits, device, seed))
        for seed in range(CLASSIFIER_SEEDS)
    ]
    print(
        f"{params.dataset.name}, profile {params.profile}, {len(splits['train']):,} images, GAN seeds {GAN_SEEDS}, "
        f"{CLASSIFIER_SEEDS} classifier seeds each; {environment}"
    )
    print(f"real only: {interval_text([100 * accuracy for accuracy in real])} %", flush=True)
    recipes: dict[str, list[Measured]] = {params.gan.recipe: [], PEER: []}
    assert len(recipes) == 2, f"choose a recipe that is not {PEER}"
    for seed in GAN_SEEDS:
        compute = None
        for recipe, rows in recipes.items():
            measure = partial(measure_recipe, params, splits, judge, device, recipe=recipe, seed=seed, compute=compute)
            rows.append(Measured(*memory.recall(f"{recipe} {seed}", measure)))
            compute = rows[-1].compute
            print(f"{recipe:9} gan seed {seed}: {describe(rows[-1])}", flush=True)
    summarize(recipes)


def train(
    params: Params,
    splits: dict[str, LabelledImages],
    real: LabelledImages,
    synthetic: LabelledImages,
    *,
    seed: int,
    device: torch.device,
) -> Network:
    """A classifier of the profile's kind, on real images or, where there are synthetic ones, on those alone."""
    images = synthetic if len(synthetic) else real
    return train_unmixed(
        params.classifier, images, splits["val"], synthetic=len(synthetic) > 0, seed=seed, device=device
    )


def accuracy_of_real(params: Params, splits: dict[str, LabelledImages], device: torch.device, seed: int) -> float:
    """Test accuracy of a classifier trained on the real images."""
    network = train(params, splits, splits["train"], empty_like(splits["train"]), seed=seed, device=device)
    return measure_accuracy(predict(network, splits["test"], flip=params.classifier.flip), splits["test"])


def measure_recipe(
    params: Params,
    splits: dict[str, LabelledImages],
    judge: Network,
    device: torch.device,
    *,
    recipe: str,
    seed: int,
    compute: float | None,
) -> Measured:
    """Trains a generator for the profile's steps, or for as many as `compute` allows, and measures its images."""
    gan = params.gan.model_copy(update={"recipe": recipe})
    if compute is not None:
        no_floor = {"cas_images": 100, "min_gan_test": 0.0, "min_diversity": 0.0, "max_coverage_drop": 1.0}
        brief = {"judge": gan.judge.model_copy(update={"steps": 1}), "health": gan.health.model_copy(update=no_floor)}
        short, long = (
            timed_gan(gan.model_copy(update=brief | {"steps": steps}), splits, judge, device, seed=seed)[1]
            for steps in PACE_STEPS
        )
        pace = (long - short) / (PACE_STEPS[1] - PACE_STEPS[0])
        gan = gan.model_copy(update={"steps": max(1, round(compute / pace))})
    trained, spent, seconds = timed_gan(gan, splits, judge, device, seed=seed)
    sampler = trained.sampler
    classes = Labels.balanced(len(sampler.class_names))
    images, labels = sampler.draw(
        0, params.synthesize.num_images, seed=seed, std=params.synthesize.latent_std, labels=classes
    )
    drawn = LabelledImages(images, labels, sampler.class_names)
    eyes = judge_by("judge", judge)
    unscored = Drawn(drawn, np.zeros(len(drawn), np.float32), "0" * 64)
    whole = params.model_copy(update={"curation": WHOLE})
    found = assess(whole, unscored, splits["train"], splits["select"], eyes, device=device).record
    accuracies = []
    for classifier_seed in range(CLASSIFIER_SEEDS):
        network = train(params, splits, empty_like(drawn), drawn, seed=classifier_seed, device=device)
        logits = predict(network, splits["test"], flip=params.classifier.flip)
        accuracies.append(measure_accuracy(logits, splits["test"]))
    return Measured(
        cas=statistics.fmean(accuracies),
        gan_test=found.gan_test_accuracy,
        weakest_class=min(found.gan_test_accuracy_per_class.values()),
        coverage=found.coverage,
        distance=found.frechet_distance - found.frechet_distance_floor,
        memorised_percent=found.memorised_percent,
        images=gan.steps * gan.batch_size,
        compute=spent,
        seconds=seconds,
    )


def timed_gan(
    gan: GanParams, splits: dict[str, LabelledImages], judge: Network, device: torch.device, *, seed: int
) -> tuple[TrainedGan, float, float]:
    """The best generator of a training, the compute and the seconds that it took, probes and small CAS included."""
    val = splits["select"]
    clock = time.process_time if device.type == "cpu" else time.perf_counter

    def measure_cas(drawn: LabelledImages) -> float:
        network = train_unmixed(gan.judge, drawn, val, synthetic=True, seed=seed, device=device)
        return measure_accuracy(predict(network, val, flip=gan.judge.flip), val)

    probe = GeneratorProbe(gan.health, splits["train"], val, judge_by("judge", judge), measure_cas)
    callbacks = Callbacks(probe, lambda *_: None, lambda: 0)
    with tempfile.TemporaryDirectory() as folder:
        started, busy = time.perf_counter(), clock()
        trained = train_gan(gan, splits["train"], seed=seed, device=device, folder=Path(folder), callbacks=callbacks)
        return trained, clock() - busy, time.perf_counter() - started


def describe(row: Measured) -> str:
    """One generator in a line."""
    return (
        f"synthetic only {100 * row.cas:.2f} %, GAN-test {100 * row.gan_test:.1f} % (weakest class "
        f"{100 * row.weakest_class:.1f}), coverage {row.coverage:.3f}, Frechet above floor {row.distance:.2f}, "
        f"memorised {row.memorised_percent:.2f} %; {row.images:,} images in {row.compute:.0f} s of compute, "
        f"{row.seconds:.0f} s on the clock"
    )


def summarize(recipes: dict[str, list[Measured]]) -> None:
    """Prints each recipe's means over the GAN seeds, then the gain over the peer, paired by GAN seed."""
    for recipe, rows in recipes.items():
        print(
            f"{recipe:9} mean: synthetic only {interval_text([100 * row.cas for row in rows])} %, "
            f"GAN-test {interval_text([100 * row.gan_test for row in rows])} %, "
            f"coverage {interval_text([row.coverage for row in rows])}, "
            f"Frechet above floor {interval_text([row.distance for row in rows])}"
        )
    (name, own), (_, peer) = recipes.items()
    gains = [100 * (a.cas - b.cas) for a, b in zip(own, peer, strict=True)]
    ratios = [a.distance / b.distance for a, b in zip(own, peer, strict=True)]
    text = f"synthetic only {interval_text(gains)} points, Frechet above floor times {interval_text(ratios)}"
    print(f"{name} over {PEER}: {text}")


def interval_text(values: list[float]) -> str:
    """Mean with its 95 % t-interval where there are several values."""
    if len(values) < 2:
        return f"{values[0]:.3g} (n = 1)"
    found = mean_interval(values, 1e-9)
    return f"{found.mean:.4g} ({found.low:.4g} to {found.high:.4g}, n = {len(values)})"


if __name__ == "__main__":
    main()
