"""Sizes that fit a folder of pictures: what `configure` writes where the user names none, and why."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import typer
from PIL import Image

from pipeline.params.compose import compose_params
from pipeline.params.load import parse_params
from pipeline.params.schema import OWN_SETS, DatasetParams, Params
from pipeline.runtime.progress import Progress
from pipeline.sources.image_folder import find_pictures
from pipeline.sources.pictures import read_size

NUM_MEASURED = 200  # pictures whose headers are read
SIDES = (64, 32, 16)
LARGEST_SIDE = {"gpu": 64}  # of a profile; 32 elsewhere: at 64, every step takes four times as long
PERCENT = {"test_size": 20, "val_size": 10, "select_size": 10, "train_size": 30}  # the rest is reserve
UNEQUAL = 2  # times the smallest class; beyond it, equal classes would leave out most pictures
PERCENT_DISTINCT = 95  # of the pictures are counted on: copies are dropped when the splits are drawn


class Suggestion(NamedTuple):
    """A value of params.yaml and the reason for it."""

    key: str
    value: object
    reason: str


def fit_choices(choices: list[str]) -> list[str]:
    """The choices of `configure`, and for a folder of pictures the values that fit it, each printed with its reason.

    What the user chose stays.

    Raises:
        UserError: a choice is wrong, or the folder cannot be read.
    """
    params = parse_params(compose_params(choices))
    if params.dataset.name not in OWN_SETS:
        return choices
    chosen = {choice.partition("=")[0] for choice in choices}
    called = Suggestion("dataset.title", params.dataset.title, "the folder's name, and four digits for where it lies")
    if params.dataset.name != "image_folder":
        return choices + _say([called], chosen)
    cifar10 = parse_params(compose_params(["dataset=cifar10", f"profile={params.profile}"]))
    return choices + _say([called, *suggest(params, chosen, cifar10.dataset)], chosen)


def _say(suggestions: Sequence[Suggestion], chosen: Collection[str]) -> list[str]:
    """Prints what the user has not chosen, with its reason; returns it as choices."""
    fitted = []
    for key, value, reason in suggestions:
        if key not in chosen:
            fitted.append(f"{key}={value}".replace(" ", ""))
            typer.echo(f"{fitted[-1]}: {reason}")
    return fitted


def suggest(params: Params, chosen: Collection[str], limits: DatasetParams) -> list[Suggestion]:
    """What suits the pictures in the folder `dataset.path`.

    Args:
        params: the values in force.
        chosen: keys whose values stay; the others fit them.
        limits: what the same profile takes of CIFAR-10; no split becomes larger.

    Raises:
        UserError: there are not two folders with pictures.
    """
    found = find_pictures(Path(params.dataset.path))
    official = "test" if "test" in found else "val" if "val" in found else None
    counts = _add(*({name: len(files) for name, files in found[split].items()} for split in found if split != official))
    tests = {name: len(files) for name, files in found[official].items()} if official else {}
    few, many = min(counts.values()), max(counts.values())
    natural = many > UNEQUAL * few if "dataset.balance" not in chosen else params.dataset.balance == "natural"
    usable, official_test = (_usable(held, natural=natural) for held in (counts, tests))
    sizes = _sizes(usable, official_test, len(counts), limits)
    taken = {name: getattr(params.dataset, name) for name in PERCENT if f"dataset.{name}" in chosen}
    taken = {size.key.removeprefix("dataset."): int(str(size.value)) for size in sizes} | taken
    pool = usable + (taken["test_size"] if official else 0)
    classes = f"{len(counts)} classes of {few} to {many} pictures"
    return [
        _image_size([file for part in found.values() for files in part.values() for file in files], params.profile),
        Suggestion("dataset.balance", "natural" if natural else "balanced", classes),
        *sizes,
        _real_percents(pool, taken, params.ablation.real_percent),
    ]


def _usable(held: Mapping[str, int], *, natural: bool) -> int:
    """The pictures that the splits may need at most."""
    pictures = sum(held.values()) if natural else min(held.values(), default=0) * len(held)
    return pictures * PERCENT_DISTINCT // 100


def _add(*counts: Mapping[str, int]) -> dict[str, int]:
    return {name: sum(count.get(name, 0) for count in counts) for name in counts[0]}


def _image_size(files: Sequence[Path], profile: str) -> Suggestion:
    chosen = files[:: -(-len(files) // NUM_MEASURED)]
    sides = []
    with warnings.catch_warnings(), Progress("looking at pictures", total=len(chosen), unit="image") as progress:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        for file in chosen:
            sides += [min(size)] if (size := read_size(file)) else []
            progress.advance(1)
    side = int(median(sides)) if sides else 0
    largest = LARGEST_SIDE.get(profile, 32)
    fitting = [size for size in SIDES if size <= min(side, largest)]
    reason = f"the shorter side is {side} pixels in the median; profile {profile} takes {largest} at most"
    return Suggestion("dataset.image_size", fitting[0] if fitting else SIDES[-1], reason)


def _sizes(usable: int, official_test: int, num_classes: int, limits: DatasetParams) -> list[Suggestion]:
    """Whole rounds of the classes."""
    sizes = []
    for name, percent in PERCENT.items():
        wanted, reason = usable * percent // 100, f"{percent} % of {usable} pictures"
        if name == "test_size" and official_test:
            wanted, reason = official_test, f"the {official_test} official test pictures"
        if wanted > (limit := getattr(limits, name)):
            wanted, reason = limit, f"{reason}, but no more than this profile takes of CIFAR-10"
        sizes.append(Suggestion(f"dataset.{name}", max(wanted // num_classes, 1) * num_classes, reason))
    return sizes


def _real_percents(pool: int, taken: Mapping[str, int], real_percents: Sequence[int]) -> Suggestion:
    train = taken["train_size"]
    most = max(100 * (pool - sum(taken.values()) + train) // train, 100)
    percents = [percent for percent in real_percents if percent <= most]
    return Suggestion("ablation.real_percent", percents, f"train and reserve hold {most} % of train")
