"""Train one real-only classifier: the baseline at 100 %, a point of the learning curve elsewhere."""

import torch

from pipeline.classifier.cell import Cell, run_cell
from pipeline.classifier.mixing import num_steps, real_subset
from pipeline.device import pick_device
from pipeline.images import empty_like
from pipeline.params.load import load_params
from pipeline.runtime.entry import IntFlag, PathFlag, run_stage
from pipeline.shards.reader import read_alike
from pipeline.tracking import tracked_run


def main(prepared: PathFlag, real_percent: IntFlag, seed: IntFlag, out: PathFlag, results: PathFlag) -> None:
    """Writes the classifier to OUT, its metrics and history below RESULTS."""
    params = load_params("classifier", "ablation.budget", "ablation.num_corrupted", "ablation.threads")
    torch.set_num_threads(params.ablation.threads)
    splits = ("train", "val", "test", "reserve") if real_percent > 100 else ("train", "val", "test")
    train, val, test, *rest = read_alike(*(prepared / split for split in splits))
    reserve = rest[0] if rest else empty_like(train)
    real = real_subset(train, reserve, real_percent)
    steps = num_steps(params.classifier.steps, params.ablation.budget, real_percent / 100, synthetic_percent=0)
    cell = Cell("train_baseline", real_percent, 0, "batch", seed, steps, real, empty_like(real))
    settings = {"budget": params.ablation.budget}
    with tracked_run("train_baseline", cell=cell.identity) as run:
        run_cell(cell, params.classifier, val, test, num_corrupted=params.ablation.num_corrupted, settings=settings,
                 device=pick_device(), log=run.log, out=out, results=results)  # fmt: skip


if __name__ == "__main__":
    run_stage(main)
