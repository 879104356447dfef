"""Train one classifier of the ablation: real images plus a share of synthetic ones."""

if __name__ == "__main__":
    from pipeline.runtime.entry import run_stage

    run_stage("train_classifier")  # imports this module, and so torch, when the machine is checked

from pipeline.classifier.cell import run_cell, select_real
from pipeline.classifier.curation import curate
from pipeline.classifier.plan import plan_cell
from pipeline.classifier.targets import mixed_data
from pipeline.device import pick_device
from pipeline.params.load import load_params
from pipeline.runtime.entry import IntFlag, PathFlag
from pipeline.shards.scores import read_probabilities, read_scores
from pipeline.shards.stored import open_alike
from pipeline.tracking import tracked_run


def main(
    prepared: PathFlag,
    test: PathFlag,
    synthetic: PathFlag,
    scores: PathFlag,
    synthetic_percent: IntFlag,
    replicate: IntFlag,
    out: PathFlag,
    results: PathFlag,
) -> None:
    """Writes the classifier to OUT, its record and history below RESULTS."""
    params = load_params(
        "classifier",
        "curation",
        "ablation.mode",
        "ablation.mixing",
        "ablation.budget",
        "ablation.labels",
        "ablation.synthetic_weight",
        "ablation.num_corrupted",
        "ablation.threads",
    )
    device = pick_device(params.ablation.threads)

    train, val, unseen, pool = open_alike(prepared / "train", prepared / "val", test, synthetic)
    columns = read_scores(scores, (params.curation.rank_by, "near_copy"), pool)
    plan = plan_cell(params, train_size=len(train), replicate=replicate, synthetic_percent=synthetic_percent)
    rows = curate(params.curation, pool.labels, columns, size=plan.num_synthetic)
    predicted = read_probabilities(scores, pool)[rows]
    data = mixed_data(params.ablation, select_real(plan, train), pool.select(rows), val, predicted)

    paths = {"prepared": prepared, "test": test, "synthetic": synthetic, "scores": scores, "results": results}
    with tracked_run("train_classifier", paths, cell=plan.identity):
        run_cell(plan, params.classifier, data, unseen, device=device, out=out, results=results)
