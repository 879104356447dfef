"""A training that starts from a trained pair instead of from drawn weights (`gan.init_from`).

Both networks are taken over. Classes are matched by name. A class of another name starts as a copy of one old class,
each of another one where there are enough: the mean of all old rows draws no class, and a short training does not
recover from it. Which one, the old discriminator says: that whose images it would soonest take the class's for. The
optimizers start afresh.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.files import hash_file
from pipeline.gan.build import find_build
from pipeline.gan.description import GanDescription, Name, Transfer, read_description
from pipeline.gan.loading import load_network
from pipeline.gan.networks import ImageShape, Pair
from pipeline.images import LabelledImages, to_unit_range
from pipeline.params.schema import GanParams
from pipeline.runtime.errors import UserError

KEY = "params.yaml: gan.init_from"
PAIR: tuple[Name, Name] = ("generator", "discriminator")
State = dict[str, Tensor]
Likeness = NDArray[np.float32]
IMAGES_A_CLASS, PASSES = 100, 50_000  # that classes are compared by, at most: of many classes fewer images each


class Start(NamedTuple):
    """Weights and buffers for the training's own networks, and where they come from."""

    generator: State
    discriminator: State
    record: Transfer

    def fill(self, pair: Pair) -> None:
        """Puts them into untrained networks."""
        for network, state in zip(pair, (self.generator, self.discriminator), strict=True):
            network.load_state_dict(state)


def read_start(gan: GanParams, real: LabelledImages, *, replicate: int) -> Start | None:
    """What a training on `real` starts from; None where `gan.init_from` is empty.

    Raises:
        UserError: the folder lacks a file, or holds a pair that does not fit params or images.
    """
    if not gan.init_from:
        return None
    folder = _find_pair(Path(gan.init_from), replicate)
    try:
        about = _read_about(folder, gan, real)
        networks = [load_network(folder, name, gan.networks)[0] for name in PAIR]
    except UserError as error:
        raise UserError(f"{KEY}: {error}") from None
    likeness = np.zeros((len(real.class_names), len(about.class_names)), np.float32)
    if not set(real.class_names) <= set(about.class_names):
        likeness = measure_likeness(networks[1], real, len(about.class_names))
    rows = match_rows(real.class_names, about.class_names, likeness)
    axes = find_class_axes(gan, about.shape)
    generator, discriminator = (_take_rows(n, axes[name], rows) for name, n in zip(PAIR, networks, strict=True))
    return Start(generator, discriminator, _record(folder, about, real.class_names, rows))


def match_rows(new: Sequence[str], old: Sequence[str], likeness: Likeness) -> list[int]:
    """The number of the old class that each new one starts as: that of its name, else one that no other takes.

    Of those, the assignment with the largest sum of `likeness` (new, old). Where they run out, old classes are taken
    more than once, each as often as another, give or take one.
    """
    from scipy.optimize import linear_sum_assignment  # here, as it takes a second of trainings that do not need it

    others = [number for number, name in enumerate(new) if name not in old]
    free = [row for row, name in enumerate(old) if name not in new]
    turns = np.array([*free, *islice(cycle(range(len(old))), max(len(others) - len(free), 0))], np.int64)
    rows = [old.index(name) if name in old else -1 for name in new]
    for place, turn in zip(*linear_sum_assignment(-likeness[others][:, turns]), strict=True):
        rows[others[place]] = int(turns[turn])
    return rows


@torch.no_grad()
def measure_likeness(discriminator: nn.Module, real: LabelledImages, num_old: int) -> Likeness:
    """How much more real the images of each new class look as one of each old class than all images do: (new, old).

    In logits of a network on the CPU; from the first images of every class, 0 for a class without any.
    """
    discriminator.eval()
    likeness = np.zeros((len(real.class_names), num_old), np.float32)
    count = min(max(PASSES // likeness.size, 1), IMAGES_A_CLASS)
    present = np.unique(real.labels)
    for new in present:
        x = to_unit_range(torch.from_numpy(real.images[np.flatnonzero(real.labels == new)[:count]]))
        likeness[new] = [discriminator(x, torch.full((len(x),), old))[0].mean() for old in range(num_old)]
    likeness[present] -= likeness[present].mean(0)
    return likeness


def find_class_axes(gan: GanParams, shape: ImageShape) -> dict[Name, list[tuple[str, int]]]:
    """Of each network the weights and buffers with one row a class, and the axis: those that grow with a class more.

    Raises:
        UserError: such an axis of networks of the user's holds more than the classes.
    """
    build = find_build(gan.recipe, gan.networks)
    larger = shape._replace(num_classes=shape.num_classes + 1)
    with torch.random.fork_rng(devices=[]), nullcontext() if gan.networks else torch.device("meta"):
        pairs = [build(gan.values.latent_dim, gan.values.width, each) for each in (shape, larger)]
    return {
        name: _grown(small.state_dict(), large.state_dict(), shape.num_classes)
        for name, small, large in zip(PAIR, *pairs, strict=True)
    }


def _grown(small: State, large: State, num_classes: int) -> list[tuple[str, int]]:
    axes = [(name, axis) for name, value in small.items() for axis in range(value.dim())]
    grown = [(name, axis) for name, axis in axes if small[name].shape[axis] != large[name].shape[axis]]
    for name, axis in grown:
        if small[name].shape[axis] != num_classes:
            raise UserError(f"{KEY}: gan.networks: {name} has not one row a class; use an nn.Embedding for the classes")
    return grown


def _take_rows(network: nn.Module, axes: Sequence[tuple[str, int]], rows: Sequence[int]) -> State:
    state: State = dict(network.state_dict())
    for name, axis in axes:
        state[name] = state[name].index_select(axis, torch.tensor(rows))
    return state


def _find_pair(path: Path, replicate: int) -> Path:
    """`path`, or the replicate's own folder below it."""
    for folder in (path, path / str(replicate)):
        if (folder / "generator.json").is_file():
            if lacking := [f for name in PAIR for f in _files(folder, name) if not f.is_file()]:
                raise UserError(f"{KEY}: {lacking[0]}: not found; the four files of a folder models/gan/0 are needed")
            return folder
    raise UserError(
        f"{KEY}: {path}: neither it nor {path / str(replicate)} holds a generator.json; name a trained generator's "
        "folder, as models/gan/0 of another run, or all of them, as its models/gan"
    )


def _files(folder: Path, name: Name) -> tuple[Path, Path]:
    return folder / f"{name}.json", folder / f"{name}.safetensors"


def _read_about(folder: Path, gan: GanParams, real: LabelledImages) -> GanDescription:
    """The description of the pair.

    Raises:
        UserError: the files are of two trainings, or params or images need other networks.
    """
    about, other = (read_description(folder, name) for name in PAIR)
    if about != other:
        raise UserError(f"{folder}: generator.json and discriminator.json are of two trainings; copy the folder again")
    _, size, _, channels = real.images.shape
    values = {"latent_dim": gan.values.latent_dim, "width": gan.values.width}
    wanted = {"recipe": gan.recipe} | values | {"image_size": size, "channels": channels}
    wrong = [
        f"{key} is {getattr(about, key)}, not {value}" for key, value in wanted.items() if getattr(about, key) != value
    ]
    if wrong:
        raise UserError(f"{folder}/generator.json: {'; '.join(wrong)}: set the same here, or name another generator")
    return about


def _record(folder: Path, about: GanDescription, class_names: Sequence[str], rows: Sequence[int]) -> Transfer:
    return Transfer(
        generator_sha256=hash_file(folder / "generator.safetensors"),
        discriminator_sha256=hash_file(folder / "discriminator.safetensors"),
        classes={name: about.class_names[row] for name, row in zip(class_names, rows, strict=True)},
    )
