"""Train one real-only classifier: the baseline at 100 %, a point of the learning curve elsewhere."""

if __name__ == "__main__":
    from pipeline.runtime.entry import run_stage

    run_stage("train_baseline")  # imports this module, and so torch, when the machine is checked

from pipeline.classifier.cell import run_cell, select_real
from pipeline.classifier.plan import plan_cell
from pipeline.classifier.training import TrainingData
from pipeline.device import pick_device
from pipeline.images import empty_like
from pipeline.params.load import load_params
from pipeline.runtime.entry import IntFlag, PathFlag
from pipeline.shards.stored import open_alike
from pipeline.tracking import tracked_run


def main(
    prepared: PathFlag, test: PathFlag, real_percent: IntFlag, replicate: IntFlag, out: PathFlag, results: PathFlag
) -> None:
    """Writes the classifier to OUT, its record and history below RESULTS."""
    params = load_params("classifier", "ablation.budget", "ablation.num_corrupted", "ablation.threads")
    device = pick_device(params.ablation.threads)

    splits = ("train", "val", "reserve") if real_percent > 100 else ("train", "val")
    unseen, train, val, *reserve = open_alike(test, *(prepared / split for split in splits))
    plan = plan_cell(params, train_size=len(train), replicate=replicate, real_percent=real_percent)
    real = select_real(plan, train, *reserve)
    data = TrainingData(real, empty_like(real), val)

    paths = {"prepared": prepared, "test": test, "results": results}
    with tracked_run("train_baseline", paths, cell=plan.identity):
        run_cell(plan, params.classifier, data, unseen, device=device, out=out, results=results)
