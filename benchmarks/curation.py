"""What picking the images is worth: `python -m benchmarks.curation dataset=digits profile=demo`.

Every seed trains a GAN and draws from it. Every switch alone then decides which images train a synthetic-only
classifier of that seed, on as many images as there are real ones unless they are recycled. A last row puts together
what val liked. Gains are over raw samples, paired by seed. Choices are made on val, and p is val's; test is the report.

Further arguments are values as for `synthmix configure`. SEEDS (5) tells how many. GENERATOR names a folder such as
models/gan/0, whose generator and discriminator all seeds then draw from; without it each seed trains its own. Finished
GANs and classifiers are remembered in .resume/benchmarks.curation, so that a second call goes on.
"""

import os
import statistics
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.gan import Memory, accuracy_of_real, interval_text, timed_gan, train
from pipeline.assessment.assess import Drawn, assess
from pipeline.assessment.judge import judge_by
from pipeline.classifier.curation import ScoreColumns, curate
from pipeline.classifier.inference import measure_accuracy, predict
from pipeline.classifier.network import Network
from pipeline.device import describe_environment, pick_device
from pipeline.evaluation.statistics import SIGNIFICANCE, holm, paired_difference
from pipeline.evaluation.wording import p_text, points
from pipeline.files import hash_file
from pipeline.gan.discriminator import TrainedDiscriminator
from pipeline.gan.labels import Labels
from pipeline.gan.sampling import Sampler
from pipeline.images import LabelledImages, empty_like
from pipeline.params.compose import compose_params
from pipeline.params.load import parse_params
from pipeline.params.schema import CurationParams, Params
from pipeline.runtime.checkpoint import fingerprint
from pipeline.sources.load import load
from pipeline.sources.splits import split

SEEDS = int(os.environ.get("SEEDS", "5"))
GENERATOR = os.environ.get("GENERATOR", "")
POOL = 4  # the pool that images are picked from, over the number of real images
RAW = CurationParams(drop_near_copies=False, rank_by="confidence", keep_percent=100, recycle=False)


class Setting(NamedTuple):
    """What a row of the table trains on: a pool of `pool` times train_size images, drawn at `latent_std`, curated."""

    kind: str
    name: str
    latent_std: float = 1.0
    pool: int = POOL
    curation: CurationParams = RAW


class Measured(NamedTuple):
    """Images trained on, and the classifier's accuracies."""

    num_images: int
    val: float
    test: float


class Bench(NamedTuple):
    """What all rows share."""

    params: Params
    splits: dict[str, LabelledImages]
    judge: Network
    device: torch.device
    folder: Path
    memory: Memory


Pools = Callable[[float, int], tuple[LabelledImages, ScoreColumns]]
Rows = dict[Setting, list[Measured]]  # one a seed


def main() -> None:
    """Prints a line a seed, then the table."""
    bench = prepare(parse_params(compose_params(sys.argv[1:])))
    rows: Rows = {setting: [] for setting in SETTINGS}
    for seed in range(SEEDS):
        pools = cache(partial(draw, bench, seed))
        for setting in SETTINGS:
            rows[setting].append(measure(bench, pools, setting, seed))
        print(f"seed {seed}: " + ", ".join(f"{s.name} {100 * rows[s][seed].test:.2f}" for s in SETTINGS), flush=True)
    if together := combine(rows):
        rows[together] = [measure(bench, partial(draw, bench, seed), together, seed) for seed in range(SEEDS)]
    print_table(rows, bench.splits)


def switch(**values: object) -> CurationParams:
    """Raw but for `values`."""
    return RAW.model_copy(update=values)


SETTINGS = [
    Setting("raw", "raw"),
    *(Setting("latent_std", f"latent_std {std}", std, pool=1) for std in (0.7, 0.85, 1.2, 1.4)),
    *(
        Setting("keep", f"keep {keep} % by {rank}", curation=switch(rank_by=rank, keep_percent=keep))
        for rank in ("confidence", "discriminator")
        for keep in (75, 50)
    ),
    Setting("near", "near-copies dropped", curation=switch(drop_near_copies=True)),
    *(Setting("recycle", f"pool x{pool}, recycled", 1.0, pool, switch(recycle=True)) for pool in (2, POOL)),
]


def prepare(params: Params) -> Bench:
    """Real images and judge; prints what they are and what real images alone give."""
    device = pick_device()
    splits = split(load(params.dataset), params.dataset, replicate=None).images
    environment = describe_environment(device)
    if GENERATOR:  # tells at once what is missing
        load_gan(Path(GENERATOR), params, splits["train"], device)
    models = {
        name: hash_file(Path(GENERATOR) / f"{name}.safetensors") for name in ("generator", "discriminator") if GENERATOR
    }
    parts = {"params": params.model_dump(mode="json"), "environment": environment, "models": models}
    key = fingerprint("train_gan", parts)
    folder = Path(".resume/benchmarks.curation") / key
    memory = Memory(folder / "rows.jsonl")
    judge = train(params, splits, splits["train"], empty_like(splits["train"]), seed=0, device=device)
    real = [
        memory.recall(f"real {seed}", partial(accuracy_of_real, params, splits, device, seed)) for seed in range(SEEDS)
    ]
    print(
        f"{params.dataset.name}, profile {params.profile}, {len(splits['train']):,} images, {SEEDS} seeds, "
        f"{'the GAN of ' + GENERATOR if GENERATOR else 'a GAN each'}; {environment}"
    )
    print(f"real only: {interval_text([100 * accuracy for accuracy in real])} %", flush=True)
    return Bench(params, splits, judge, device, folder, memory)


def find_gan(bench: Bench, seed: int) -> tuple[Sampler, TrainedDiscriminator]:
    """The GAN of GENERATOR, or this seed's own, trained now if it was not before."""
    folder = Path(GENERATOR) if GENERATOR else bench.folder / f"gan-{seed}"
    if not GENERATOR and not (folder / "discriminator.json").exists():  # the file that is written last
        gan = bench.params.gan
        trained, _, seconds = timed_gan(gan, bench.splits, bench.judge, bench.device, seed=seed)
        print(f"GAN {seed}: {trained.description.summary(gan)}, {seconds:.0f} s")
        trained.save(folder)
    return load_gan(folder, bench.params, bench.splits["train"], bench.device)


def load_gan(
    folder: Path, params: Params, data: LabelledImages, device: torch.device
) -> tuple[Sampler, TrainedDiscriminator]:
    """Both networks in `folder`, made for images like `data`."""
    networks = params.gan.networks
    return Sampler.load(folder, device, networks=networks), TrainedDiscriminator.load(
        folder, device, data, networks=networks
    )


def draw(bench: Bench, seed: int, std: float, pool: int) -> tuple[LabelledImages, ScoreColumns]:
    """The seed's first `pool` times train_size images at this spread, and their scores."""
    sampler, discriminator = find_gan(bench, seed)
    seen, unseen = bench.splits["train"], bench.splits["select"]
    labels = Labels.balanced(len(sampler.class_names))
    drawn = LabelledImages(*sampler.draw(0, pool * len(seen), seed=seed, std=std, labels=labels), sampler.class_names)
    eyes = judge_by("judge", bench.judge)
    scored = Drawn(drawn, discriminator.score(drawn), "0" * 64)
    whole = bench.params.model_copy(update={"curation": RAW})
    return drawn, assess(whole, scored, seen, unseen, eyes, device=bench.device).scores


def measure(bench: Bench, pools: Pools, setting: Setting, seed: int) -> Measured:
    """Trains and tests one synthetic-only classifier on the images that the setting picks, unless it is known."""

    def train_it() -> Measured:
        pool, scores = pools(setting.latent_std, setting.pool)
        drawn = pool.select(curate(setting.curation, pool.labels, scores, size=len(bench.splits["train"])))
        network = train(bench.params, bench.splits, empty_like(drawn), drawn, seed=seed, device=bench.device)
        val, test = (
            measure_accuracy(predict(network, real, flip=bench.params.classifier.flip), real)
            for real in (bench.splits["val"], bench.splits["test"])
        )
        return Measured(len(drawn), val, test)

    return Measured(*bench.memory.recall(f"{seed} {setting}", train_it))


def combine(rows: Rows) -> Setting | None:
    """Of every kind of switch the one with the best mean val accuracy, where that is above raw's; None if none is."""
    above = [setting for setting in SETTINGS if mean_val(rows[setting]) > mean_val(rows[SETTINGS[0]])]
    by_val = sorted(above, key=lambda setting: mean_val(rows[setting]))
    liked = {setting.kind: setting for setting in by_val}  # the best of a kind comes last
    if not liked:
        return None
    curation: dict[str, object] = {}
    for setting in liked.values():
        curation |= {key: value for key, value in setting.curation if value != getattr(RAW, key)}
    std = liked["latent_std"].latent_std if "latent_std" in liked else 1.0
    pool = liked["recycle"].pool if "recycle" in liked else POOL
    name = " + ".join(liked[kind].name for kind in sorted(liked))
    return Setting("together", f"together: {name}", std, pool, switch(**curation))


def mean_val(row: list[Measured]) -> float:
    """Mean val accuracy over the seeds."""
    return statistics.fmean(found.val for found in row)


def print_table(rows: Rows, splits: dict[str, LabelledImages]) -> None:
    """Every row's gain over raw samples; p over all switches, but not for what was put together from their gains."""
    raw = rows[SETTINGS[0]]
    gains = {
        setting: {
            split: paired_difference(
                [getattr(found, split) for found in row],
                [getattr(found, split) for found in raw],
                1 / len(splits[split]),
            )
            for split in ("val", "test")
        }
        for setting, row in rows.items()
        if setting.kind != "raw"
    }
    switches = [setting for setting in gains if setting.kind != "together"]
    adjusted = dict(zip(switches, holm([gains[setting]["val"].p_value for setting in switches]), strict=True))
    print(f"\nraw, {raw[0].num_images:,} images: {interval_text([100 * found.test for found in raw])} % on test")
    print("| setting | images | gain on val | p (Holm) | gain on test | 95 % interval |\n|---|---|---|---|---|---|")
    for setting, gain in gains.items():
        images = round(statistics.fmean(found.num_images for found in rows[setting]))
        p_value = p_text(adjusted[setting]) if setting in adjusted else ""
        test = gain["test"].difference
        print(
            f"| {setting.name} | {images:,} | {points(gain['val'].difference.mean)} | {p_value} | "
            f"{points(test.mean)} | {points(test.low)} to {points(test.high)} |"
        )
    proven = [
        setting.name
        for setting in switches
        if adjusted[setting] < SIGNIFICANCE and gains[setting]["val"].difference.mean > 0
    ]
    print(f"proven on val (p < {SIGNIFICANCE}, gain above 0): {', '.join(proven) or 'none'}")


if __name__ == "__main__":
    main()
