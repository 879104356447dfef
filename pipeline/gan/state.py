"""What a GAN's training is at between two steps, so that it can be stored, continued and taken back."""

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from pipeline.runtime.checkpoint import load_state, save_state

Parts = Mapping[str, nn.Module | Optimizer]
"""Everything with a state_dict, by name."""
Row = dict[str, float]
"""What one probe saw, by the name of its column in the history."""


class RunningMeans:
    """Means of the numbers that the losses report; they stay on the device until they are read."""

    def __init__(self, sums: dict[str, Tensor] | None = None, counts: dict[str, int] | None = None) -> None:
        self.sums, self.counts = sums or {}, counts or {}

    def add(self, numbers: dict[str, Tensor]) -> None:
        """Counts one more step's numbers (scalars); a name may be missing in some steps."""
        for name, value in numbers.items():
            before = self.sums.get(name)
            self.sums[name] = value.detach() if before is None else before.to(value.device) + value.detach()
            self.counts[name] = self.counts.get(name, 0) + 1

    def read(self) -> Row:
        """The means so far; waits for the device."""
        return {name: total.item() / self.counts[name] for name, total in self.sums.items()}


@dataclass
class TrainState:
    """How far training is; `first_row` is the history's first row since the last restart."""

    step: int = 0
    restarts: int = 0
    first_row: int = 0
    degraded: bool = False
    history: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class BestState:
    """The state with the highest small CAS (0-1; -1 before the first one), from which a restart begins."""

    step: int
    cas: float
    parts: dict[str, Any]


def snapshot(parts: Parts) -> dict[str, Any]:
    """A copy of every part's state."""
    return {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}


def restore(parts: Parts, states: Mapping[str, Any]) -> None:
    """Puts the states that `snapshot` copied into the parts."""
    for name, part in parts.items():
        part.load_state_dict(copy.deepcopy(states[name]))  # an optimizer would go on in the tensors that it is given


def save_training(file: Path, state: TrainState, best: BestState, means: RunningMeans, parts: Parts) -> None:
    """Stores all of it, atomically."""
    states = {name: part.state_dict() for name, part in parts.items()}
    means_so_far = {"sums": means.sums, "counts": means.counts}
    save_state(file, {"state": asdict(state), "best": vars(best), "parts": states} | means_so_far)


def load_training(file: Path, parts: Parts) -> tuple[TrainState, BestState, RunningMeans]:
    """What `save_training` stored, its parts restored; the beginning where nothing was."""
    if (stored := load_state(file)) is None:
        return TrainState(), BestState(0, -1.0, snapshot(parts)), RunningMeans()
    restore(parts, stored["parts"])
    return TrainState(**stored["state"]), BestState(**stored["best"]), RunningMeans(stored["sums"], stored["counts"])
