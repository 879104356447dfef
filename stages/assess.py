"""Measure the synthetic set: fidelity, diversity, class faithfulness, memorisation, and a score an image."""

if __name__ == "__main__":
    from pipeline.runtime.entry import run_stage

    run_stage("assess")  # imports this module, and so torch, when the machine is checked

from pipeline.assessment.assess import assess, check_generator, neighbours_picture
from pipeline.assessment.judge import judge_by
from pipeline.classifier.saved import load_classifier
from pipeline.device import pick_device
from pipeline.files import write_json, write_picture
from pipeline.gan.discriminator import TrainedDiscriminator
from pipeline.params.load import load_params
from pipeline.runtime.entry import IntFlag, PathFlag
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
    params = load_params("assess", "gan.networks", "ablation.threads")
    device = pick_device(params.ablation.threads)  # else a score's last digits depend on them, and the cells on those
    seen, unseen, drawn = read_alike(train, select, synthetic)
    weights = check_generator(synthetic, generator)
    name = f"pooled activations of the real-only classifier {judge.name}"
    classifier = judge_by(name, load_classifier(judge, device, drawn))
    discriminator = TrainedDiscriminator.load(generator, device, drawn, networks=params.gan.networks)
    paths = {"train": train, "select": select, "synthetic": synthetic, "out": out, "metrics": metrics}
    with tracked_run("assess", paths, cell={"replicate": replicate}):
        record, scores, nearest = assess(params.assess, drawn, seen, unseen, classifier, generator=weights)
        write_scores(out, scores | {"discriminator": discriminator.score(drawn)}, drawn)
        write_picture(out / "neighbours.png", neighbours_picture(drawn, seen, nearest))
        write_json(metrics, record.model_dump())
