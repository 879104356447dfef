"""A generator for more classes than it was trained on: a row more in all that has one row a class, and nothing else.

What has one row a class is found by building the networks anew for more classes: it is what has grown, an
`nn.Embedding`'s weight in the recipes. An old class reads its own rows alone: its images stay equal to the byte.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pipeline.gan.build import find_build
from pipeline.gan.description import GanDescription
from pipeline.runtime.errors import UserError

State = dict[str, Tensor]


@dataclass(frozen=True)
class WidenedGenerator:
    """A frozen generator with room for new classes.

    Attributes:
        network: for all classes, in evaluation mode; it has no gradients.
        axes: of each weight or buffer with one row a class, by its name in the state, the axis of the classes.
        num_old: classes that it was trained on; new ones follow.
    """

    network: nn.Module
    axes: Mapping[str, int]
    num_old: int

    def old_rows(self) -> State:
        """What it has of the old classes, the axis of the classes first."""
        state = self.network.state_dict()
        return {name: state[name].movedim(axis, 0)[: self.num_old] for name, axis in self.axes.items()}

    def draw(self, rows: Mapping[str, Tensor], z: Tensor, y: Tensor) -> Tensor:
        """Images, NCHW in [-1, 1], with `rows` for the new classes, through which gradients flow."""
        old = self.old_rows()
        joined = {name: torch.cat([old[name], rows[name]]).movedim(0, axis) for name, axis in self.axes.items()}
        images: Tensor = functional_call(self.network, joined, (z, y))
        return images

    @torch.no_grad()
    def fill(self, rows: Mapping[str, Tensor]) -> None:
        """Puts `rows` into the network."""
        state = self.network.state_dict()
        for name, axis in self.axes.items():
            state[name].movedim(axis, 0)[self.num_old :] = rows[name]


def widen(generator: nn.Module, about: GanDescription, num_new: int) -> WidenedGenerator:
    """The trained `generator`, which `about` describes, for `num_new` classes more, whose rows are the old ones' mean.

    Raises:
        UserError: networks of the user's have more than rows that depend on the number of classes.
    """
    shape, build = about.shape, find_build(about.recipe, about.networks)
    with torch.random.fork_rng(devices=[]):
        larger, _ = build(about.latent_dim, about.width, shape._replace(num_classes=shape.num_classes + num_new))
    state, wanted = dict(generator.state_dict()), larger.state_dict()
    if set(state) != set(wanted):
        raise _has_no_rows(sorted(set(state) ^ set(wanted))[0])
    axes = {name: _class_axis(name, state[name], wanted[name], shape.num_classes) for name in state}
    grown = {name: axis for name, axis in axes.items() if axis is not None}
    if not grown:
        raise _has_no_rows("nothing")
    for name, axis in grown.items():
        mean = state[name].float().mean(axis, keepdim=True).to(state[name].dtype)
        state[name] = torch.cat([state[name], *[mean] * num_new], axis)
    larger.load_state_dict(state)
    return WidenedGenerator(larger.eval().requires_grad_(False), grown, shape.num_classes)


def _class_axis(name: str, old: Tensor, new: Tensor, num_classes: int) -> int | None:
    """The axis by which a weight has grown; None where it has not."""
    if old.shape == new.shape:
        return None
    grown = [axis for axis in range(old.dim()) if old.dim() == new.dim() and old.shape[axis] != new.shape[axis]]
    if len(grown) != 1 or old.shape[grown[0]] != num_classes:
        raise _has_no_rows(name)
    return grown[0]


def _has_no_rows(name: str) -> UserError:
    return UserError(
        f"gan.networks: the generator cannot be extended, as {name} has not one row a class: use an nn.Embedding for "
        "the classes"
    )
