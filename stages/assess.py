"""Measure the synthetic set: fidelity, diversity, class faithfulness, memorisation, and a score an image."""

from functools import partial
from pathlib import Path

from pipeline.assessment.assess import Judge, assess, neighbours_picture
from pipeline.classifier.inference import extract_features, predict
from pipeline.classifier.saved import load_classifier
from pipeline.device import pick_device
from pipeline.files import hash_file, write_json, write_picture
from pipeline.gan.scoring import Scorer
from pipeline.params.load import load_params
from pipeline.runtime.entry import PathFlag, run_stage
from pipeline.runtime.errors import UserError
from pipeline.shards.reader import read_alike, read_column
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
    params = load_params("assess", "gan.networks", "ablation.threads")
    device = pick_device(params.ablation.threads)  # else a score's last digits depend on them, and the cells on those
    seen, unseen, drawn = read_alike(train, val, synthetic)
    weights = check_generator(synthetic, generator)
    network = load_classifier(judge, device, drawn)
    scorer = Scorer.load(generator, device, drawn, networks=params.gan.networks)
    name = f"pooled activations of the real-only classifier {judge.name}"
    features, logits = partial(extract_features, network), partial(predict, network, flip=False)
    paths = {"train": train, "val": val, "synthetic": synthetic, "out": out, "metrics": metrics}
    with tracked_run("assess", paths):
        measured, scores, nearest = assess(params.assess, drawn, seen, unseen, Judge(name, features, logits))
        write_scores(out, scores | {"discriminator": scorer.score(drawn)})
        write_picture(out / "neighbours.png", neighbours_picture(drawn, seen, nearest))
        write_json(metrics, measured | {"generator": weights, "synthetic_digest": drawn.digest()})


def check_generator(synthetic: Path, generator: Path) -> str:
    """The sha256 of the weights in `generator`, which must have drawn the images.

    Raises:
        UserError: names both generators by the sha256 of their weights.
    """
    ours = hash_file(generator / "generator.safetensors")
    others = set(read_column(synthetic, "generator")) - {ours}
    if others:
        raise UserError(f"{synthetic}: holds images drawn by {min(others)[:12]}…, {generator} is {ours[:12]}…; "
                        "run: dvc repro synthesize")  # fmt: skip
    return ours


if __name__ == "__main__":
    run_stage(main)
