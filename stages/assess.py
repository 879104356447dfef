"""Measure the synthetic set: fidelity, diversity, class faithfulness, memorisation, and a score an image."""

from functools import partial

from pipeline.assessment.assess import Judge, assess, neighbours_picture
from pipeline.classifier.training import extract_features, load_classifier, predict
from pipeline.config import load_params
from pipeline.files import write_json, write_picture
from pipeline.gan.scoring import Scorer
from pipeline.runtime import PathFlag, pick_device, run_stage
from pipeline.shards.reader import read_alike
from pipeline.shards.scores import write_scores
from pipeline.tracking import tracked_run


def main(
    train: PathFlag,
    val: PathFlag,
    synthetic: PathFlag,
    generator: PathFlag,
    judge: PathFlag,
    out: PathFlag,
    metrics: PathFlag,
) -> None:
    """Writes scores and a picture of nearest neighbours to OUT, the metrics to METRICS."""
    params, device = load_params("assess", "gan.networks"), pick_device()
    seen, unseen, drawn = read_alike(train, val, synthetic)
    network = load_classifier(judge, device, drawn)
    scorer = Scorer.load(generator, device, drawn, networks=params.gan.networks)
    name = f"pooled activations of the real-only classifier {judge.name}"
    features, logits = partial(extract_features, network), partial(predict, network, flip=False)
    with tracked_run("assess", cell={}) as run:
        measured, scores, nearest = assess(params.assess, drawn, seen, unseen, Judge(name, features, logits))
        run.log({key: value for key, value in measured.items() if isinstance(value, float)}, 0)
        write_scores(out, scores | {"discriminator": scorer.score(drawn)})
        write_picture(out / "neighbours.png", neighbours_picture(drawn, seen, nearest))
        write_json(metrics, measured)


if __name__ == "__main__":
    run_stage(main)
