"""Train one control of the ablation: real images where a mixed cell has synthetic ones, for the same steps."""

if __name__ == "__main__":
    from pipeline.runtime.entry import run_stage

    run_stage("train_control")  # imports this module, and so torch, when the machine is checked

from typing import Annotated

import typer

from pipeline.classifier.cell import run_cell, select_real, select_stand_ins
from pipeline.classifier.plan import plan_cell
from pipeline.classifier.training import TrainingData
from pipeline.device import pick_device
from pipeline.params.load import load_params
from pipeline.params.schema import Control
from pipeline.runtime.entry import IntFlag, PathFlag
from pipeline.shards.stored import open_alike
from pipeline.tracking import tracked_run


def main(
    prepared: PathFlag,
    test: PathFlag,
    control: Annotated[Control, typer.Option(show_default=False)],
    synthetic_percent: IntFlag,
    replicate: IntFlag,
    out: PathFlag,
    results: PathFlag,
) -> None:
    """Writes the classifier to OUT, its record and history below RESULTS."""
    params = load_params(
        "classifier",
        "synthesize.num_images",
        "curation.keep_percent",
        "curation.recycle",
        "ablation.mode",
        "ablation.mixing",
        "ablation.budget",
        "ablation.num_corrupted",
        "ablation.threads",
    )
    device = pick_device(params.ablation.threads)

    splits = ("train", "val", "reserve") if control == "ceiling" else ("train", "val")
    unseen, train, val, *reserve = open_alike(test, *(prepared / split for split in splits))
    plan = plan_cell(
        params, train_size=len(train), replicate=replicate, synthetic_percent=synthetic_percent, control=control
    )
    stand_ins = select_stand_ins(plan, params, train, *reserve)
    data = TrainingData(select_real(plan, train), stand_ins, val)

    paths = {"prepared": prepared, "test": test, "results": results}
    with tracked_run("train_control", paths, cell=plan.identity):
        run_cell(plan, params.classifier, data, unseen, device=device, out=out, results=results)
