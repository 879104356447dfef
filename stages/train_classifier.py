"""Train one classifier of the ablation: real images plus a share of synthetic ones."""

import numpy as np
import torch

from pipeline.classifier.cell import Cell, run_cell
from pipeline.classifier.curation import curate
from pipeline.classifier.mixing import num_real, num_steps, num_synthetic
from pipeline.device import pick_device
from pipeline.params.load import load_params
from pipeline.runtime.entry import IntFlag, PathFlag, run_stage
from pipeline.shards.reader import read_alike
from pipeline.shards.scores import read_scores
from pipeline.tracking import tracked_run


def main(
    prepared: PathFlag,
    synthetic: PathFlag,
    scores: PathFlag,
    synthetic_percent: IntFlag,
    seed: IntFlag,
    out: PathFlag,
    results: PathFlag,
) -> None:
    """Writes the classifier to OUT, its metrics and history below RESULTS."""
    params = load_params("classifier", "curation", "ablation.mode", "ablation.mixing", "ablation.budget",
                         "ablation.num_corrupted", "ablation.threads")  # fmt: skip
    classifier, curation, ablation = params.classifier, params.curation, params.ablation
    torch.set_num_threads(ablation.threads)
    train, val, test, pool = read_alike(*(prepared / split for split in ("train", "val", "test")), synthetic)
    real = train.select(np.arange(num_real(ablation.mode, len(train), synthetic_percent)))
    columns = read_scores(scores, (curation.rank_by, "near_copy"), pool.labels)
    size = num_synthetic(ablation.mode, len(train), len(real))
    kept = pool.select(curate(curation, pool.labels, columns, size=size))
    steps = num_steps(classifier.steps, ablation.budget, len(real) / len(train), synthetic_percent)
    real_percent = 0 if synthetic_percent == 100 else 100 - synthetic_percent * (ablation.mode == "replace")
    cell = Cell("train_classifier", real_percent, synthetic_percent, ablation.mixing, seed, steps, real, kept)
    settings = {"mode": ablation.mode, "mixing": ablation.mixing, "budget": ablation.budget}
    with tracked_run("train_classifier", cell=cell.identity) as run:
        run_cell(cell, classifier, val, test, num_corrupted=ablation.num_corrupted, settings=settings,
                 device=pick_device(), log=run.log, out=out, results=results)  # fmt: skip


if __name__ == "__main__":
    run_stage(main)
