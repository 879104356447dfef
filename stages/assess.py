"""Measure the synthetic set: fidelity, diversity, class faithfulness, memorisation, and a score an image."""

if __name__ == "__main__":
    from pipeline.runtime.entry import run_stage

    run_stage("assess")  # imports this module, and so torch, when the machine is checked

from pipeline.assessment.assess import Drawn, assess, check_generator, neighbours_picture
from pipeline.assessment.judge import judge_by
from pipeline.classifier.saved import load_judge
from pipeline.device import pick_device
from pipeline.files import write_json, write_picture
from pipeline.gan.discriminator import TrainedDiscriminator
from pipeline.params.load import load_params
from pipeline.runtime.entry import IntFlag, PathFlag
from pipeline.shards.imported import find_imported
from pipeline.shards.reader import read_alike
from pipeline.shards.scores import write_scores
from pipeline.tracking import tracked_run


def main(
    train: PathFlag,
    select: PathFlag,
    synthetic: PathFlag,
    generator: PathFlag,
    judge: PathFlag,
    replicate: IntFlag,
    out: PathFlag,
    metrics: PathFlag,
) -> None:
    """Writes scores and a picture of nearest neighbours to OUT, the metrics to METRICS."""
    params = load_params("assess", "curation", "gan.networks", "classifier.network", "ablation.threads")
    device = pick_device(params.ablation.threads)  # else a score's last digits depend on them, and the cells on those
    seen, unseen, images = read_alike(train, select, synthetic)
    imported = find_imported(generator)
    weights = check_generator(synthetic, generator, imported)
    name = f"pooled activations of the real-only classifier {judge.name}"
    network = load_judge(judge, device, images, network=params.classifier.network)
    classifier = judge_by(name, network)
    discriminator = (
        None if imported else TrainedDiscriminator.load(generator, device, images, networks=params.gan.networks)
    )
    paths = {"train": train, "select": select, "synthetic": synthetic, "out": out, "metrics": metrics}
    with tracked_run("assess", paths, cell={"replicate": replicate}):
        drawn = Drawn(images, discriminator.score(images) if discriminator else None, weights)
        record, scores, nearest = assess(params, drawn, seen, unseen, classifier, device=device)
        write_scores(out, scores, images)
        write_picture(out / "neighbours.png", neighbours_picture(images, seen, nearest))
        write_json(metrics, record.model_dump())
