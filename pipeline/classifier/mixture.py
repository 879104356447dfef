"""Which real and which synthetic images every batch of a training holds."""

from dataclasses import dataclass
from typing import Literal

from pipeline.images import Indices
from pipeline.randomness import Stream, shuffled_rows


@dataclass(frozen=True)
class Mixture:
    """When a training sees its synthetic images.

    Attributes:
        mixing: `batch` spreads them evenly over the steps; `pretrain_finetune` begins with all of them, then only
            real images follow. Either way their total is the same, so at 0 and 100 % the two are one.
        synthetic_percent: percent of all images, rounded down to whole images.
        batch_size: images a step.
        num_steps: steps in all.
    """

    mixing: Literal["batch", "pretrain_finetune"]
    synthetic_percent: int
    batch_size: int
    num_steps: int

    def num_synthetic_until(self, step: int) -> int:
        """Synthetic images in the first `step` batches."""
        seen = step * self.batch_size
        if self.mixing == "batch":
            return seen * self.synthetic_percent // 100
        return min(seen, self.num_steps * self.batch_size * self.synthetic_percent // 100)


def batch_rows(mixture: Mixture, step: int, sizes: tuple[int, int], *, seed: int) -> tuple[Indices, Indices]:
    """Rows of the real and of the synthetic images in batch `step`, where there are `sizes` of each.

    Each source is passed through in a fresh seeded order every epoch, without replacement; the number of
    synthetic rows is carried from batch to batch, so the running share is exact to one image.
    """
    first = mixture.num_synthetic_until(step)
    count = mixture.num_synthetic_until(step + 1) - first
    real_first, real_count = step * mixture.batch_size - first, mixture.batch_size - count
    real = shuffled_rows(sizes[0], real_first, real_count, seed=seed, stream=Stream.CELL_REAL_ROWS)
    synthetic = shuffled_rows(sizes[1], first, count, seed=seed, stream=Stream.CELL_SYNTHETIC_ROWS)
    return real, synthetic
