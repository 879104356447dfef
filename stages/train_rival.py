"""Train one rival of the synthetic images: the real-only classifier, with what else their compute would buy."""

if __name__ == "__main__":
    from pipeline.runtime.entry import run_stage

    run_stage("train_rival")  # imports this module, and so torch, when the machine is checked

from typing import Annotated

import typer

from pipeline.classifier.cell import run_cell, select_real
from pipeline.classifier.inference import predict_probabilities
from pipeline.classifier.plan import plan_cell
from pipeline.classifier.rival import rival_data, with_rival
from pipeline.classifier.saved import load_judge
from pipeline.device import pick_device
from pipeline.params.load import load_params
from pipeline.params.schema import Rival
from pipeline.runtime.entry import IntFlag, PathFlag
from pipeline.shards.stored import open_alike
from pipeline.tracking import tracked_run


def main(
    prepared: PathFlag,
    test: PathFlag,
    baseline: PathFlag,
    rival: Annotated[Rival, typer.Option(show_default=False)],
    replicate: IntFlag,
    out: PathFlag,
    results: PathFlag,
) -> None:
    """Writes the classifier to OUT, its record and history below RESULTS."""
    params = load_params("classifier", "rivals", "ablation.budget", "ablation.num_corrupted", "ablation.threads")
    device = pick_device(params.ablation.threads)

    unseen, train, val = open_alike(test, prepared / "train", prepared / "val")
    plan = plan_cell(params, train_size=len(train), replicate=replicate, rival=rival)
    real, soft = select_real(plan, train), None
    if rival == "distilled":
        judge = load_judge(baseline, device, train, network=params.classifier.network)
        soft = predict_probabilities(judge, real, flip=params.classifier.flip)
    data = rival_data(rival, real, val, soft)

    paths = {"prepared": prepared, "test": test, "results": results}
    with tracked_run("train_rival", paths, cell=plan.identity):
        run_cell(plan, with_rival(params, rival), data, unseen, device=device, out=out, results=results)
