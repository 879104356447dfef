"""What a cell trains on: its real rows, its synthetic rows, and which of them every batch holds."""

from dataclasses import dataclass

import numpy as np

from pipeline.images import Indices, LabelledImages, concatenate
from pipeline.randomness import Stream, shuffled_rows
from pipeline.runtime.errors import UserError


def num_real(mode: str, train_size: int, synthetic_percent: int) -> int:
    """Real images of a cell.

    All of them in mode `add`, (100 - percent) % of them in mode `replace`, and none at 100 % in either.
    """
    if synthetic_percent == 100:
        return 0
    if mode == "add":
        return train_size
    return train_size * (100 - synthetic_percent) // 100


def num_synthetic(mode: str, train_size: int, num_real: int) -> int:
    """Synthetic images that a set holds beside `num_real` real ones, or one pass of it where they are recycled.

    As many as train_size in mode `add` and without real images; in mode `replace` what keeps the set's size.
    """
    return train_size if mode == "add" else train_size - num_real


def num_steps(steps: int, budget: str, real_share: float, synthetic_percent: int) -> int:
    """Optimizer steps of a cell with `real_share` times train_size real images; the baseline makes `steps`.

    Budget `steps`: the same for all. Budget `real_epochs`: as many passes over the cell's real images as the
    baseline makes over its own, so synthetic images come on top.
    """
    if budget == "steps":
        return steps
    return max(1, round(steps * real_share * 100 / (100 - synthetic_percent)))


@dataclass(frozen=True)
class Plan:
    """When a training sees its synthetic images.

    Attributes:
        mixing: `batch` spreads them evenly over the steps; `pretrain_finetune` begins with all of them, then only
            real images follow. Either way their total is the same, so at 0 and 100 % the two are one.
        synthetic_percent: percent of all images, rounded down to whole images.
        batch_size: images a step.
        num_steps: steps in all.
    """

    mixing: str
    synthetic_percent: int
    batch_size: int
    num_steps: int

    def num_synthetic_until(self, step: int) -> int:
        """Synthetic images in the first `step` batches."""
        seen = step * self.batch_size
        if self.mixing == "batch":
            return seen * self.synthetic_percent // 100
        return min(seen, self.num_steps * self.batch_size * self.synthetic_percent // 100)


def batch_rows(plan: Plan, step: int, sizes: tuple[int, int], *, seed: int) -> tuple[Indices, Indices]:
    """Rows of the real and of the synthetic images in batch `step`.

    Each source is passed through in a fresh seeded order every epoch, without replacement; the number of
    synthetic rows is carried from batch to batch, so the running share is exact to one image.
    """
    first = plan.num_synthetic_until(step)
    count = plan.num_synthetic_until(step + 1) - first
    real_first = step * plan.batch_size - first
    real = shuffled_rows(sizes[0], real_first, plan.batch_size - count, seed=seed, stream=Stream.CELL_REAL_ROWS)
    synthetic = shuffled_rows(sizes[1], first, count, seed=seed, stream=Stream.CELL_SYNTHETIC_ROWS)
    return real, synthetic


def real_subset(train: LabelledImages, reserve: LabelledImages, real_percent: int) -> LabelledImages:
    """The first `real_percent` % of train_size, taken from train and, above 100 %, from the reserve.

    Raises:
        UserError: there are not so many real images.
    """
    wanted = len(train) * real_percent // 100
    if wanted == 0:
        raise UserError(f"params.yaml: ablation.real_percent {real_percent} of {len(train)} images is none; name more")
    if wanted <= len(train):
        return train.select(np.arange(wanted))
    if wanted > len(train) + len(reserve):
        most = 100 * (len(train) + len(reserve)) // len(train)
        raise UserError(
            f"params.yaml: ablation.real_percent {real_percent} needs {wanted} real images; train and "
            f"reserve have {len(train) + len(reserve)}: name at most {most}"
        )
    return concatenate(train, reserve.select(np.arange(wanted - len(train))))
