"""Networks that begin with somebody's weights: a body that is filled from a file, and a head drawn anew."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from pipeline.runtime.errors import UserError

WRAPPED = ("state_dict", "model")  # keys under which training programs keep the weights
UNLEARNED = ".num_batches_tracked"  # a count that older files lack and nothing here reads
MOST_NAMED = 3  # differences in one line


class Headed(nn.Module):
    """A network whose last layer, the head, belongs to its classes; all else is its body.

    Attributes:
        head: name of that layer in `plain`.
        mean: of the input's channels, for levels from 0 to 1; empty: images stay in [-1, 1].
        std: their standard deviations.
    """

    head: str = "linear"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    _frozen: bool = False

    @property
    def plain(self) -> nn.Module:
        """What weights are saved of and loaded into: under the names that its own program gives them."""
        return self

    def normalise(self, images: Tensor) -> Tensor:
        """NCHW in [-1, 1] => less `mean` and over `std`, if there are any."""
        if not self.mean:
            return images
        mean, std = (images.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (images - (2 * mean - 1)) / (2 * std)

    def freeze(self) -> None:
        """From now on only the head learns."""
        self._frozen = True
        for name, weight in self.plain.named_parameters():
            weight.requires_grad_(self.is_of_head(name))
        self.train()

    def is_of_head(self, name: str) -> bool:
        """Whether a weight of `plain` is the head's."""
        return name.startswith(f"{self.head}.")

    def train(self, mode: bool = True) -> Self:
        """Of a frozen network only the head trains: no statistic of its body moves, nothing in it drops out."""
        super().train(mode and not self._frozen)
        if self._frozen:
            self.plain.get_submodule(self.head).train(mode)
        return self


def load_pretrained(network: Headed, file: Path) -> None:
    """Puts the weights in `file`, all but the head's, into `network`.

    Args:
        network: on the CPU; its head stays as it was drawn.
        file: safetensors, or what `torch.save` wrote of a state_dict and `weights_only` can read.

    Raises:
        UserError: the file is missing, no such file, or of another network; the line names the first differences.
    """
    body = network.plain
    found = {key: value for key, value in _read_weights(file).items() if not network.is_of_head(key)}
    wanted = {key: value for key, value in body.state_dict().items() if not network.is_of_head(key)}
    if differences := _differences(wanted, found):
        more = f"; and {len(differences) - MOST_NAMED} more" if len(differences) > MOST_NAMED else ""
        raise UserError(f"{file}: weights of another network: {'; '.join(differences[:MOST_NAMED])}{more}")
    if broken := [key for key, value in found.items() if not value.isfinite().all()]:
        raise UserError(f"{file}: {broken[0]} holds NaN or infinity")
    body.load_state_dict(found, strict=False)


def _differences(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    shapes, others = ({key: tuple(value.shape) for key, value in named.items()} for named in (wanted, found))
    return [
        f"{key} is {others.get(key, 'absent')}, not {shapes.get(key, 'absent')}"
        for key in sorted(wanted.keys() | found.keys())
        if others.get(key) != shapes.get(key) and not (key.endswith(UNLEARNED) and key not in found)
    ]


def _read_weights(file: Path) -> dict[str, Tensor]:
    """The named tensors in `file`, on the CPU."""
    from safetensors.torch import load_file

    try:
        with warnings.catch_warnings(action="ignore"):  # what torch finds odd it reads, or refuses below
            values = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{file}: not found; params.yaml names it as weights to start from") from None
    except Exception as error:  # noqa: BLE001 - a file of anybody's: torch raises whatever its parsers do
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{file}: neither safetensors nor a state_dict that torch reads as weights: {reason}") from None
    inner = [values[key] for key in WRAPPED if isinstance(values, dict) and isinstance(values.get(key), dict)]
    weights = inner[0] if inner else values
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise UserError(f"{file}: holds no state_dict, by name a tensor each")
    return {str(key): value for key, value in weights.items()}
