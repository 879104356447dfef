"""Inputs of `evaluate` as the stages before it would write them, with a planted gain."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.assessment.record import AssessRecord
from pipeline.classifier.plan import plan_cell
from pipeline.classifier.record import CellRecord, CellSettings
from pipeline.evaluation.ablation import evaluate
from pipeline.evaluation.report.evidence import EvidencePaths, read_evidence
from pipeline.evaluation.report.write import write_report
from pipeline.evaluation.result import Result
from pipeline.params.compose import compose_params
from pipeline.params.load import parse_params
from pipeline.params.schema import Params

CLASSES = ("cat", "dog", "<script>alert(1)</script>", "a|b `c`")
FIDELITY = AssessRecord(
    feature_space="pooled activations of the real-only classifier 100-0",
    generator=64 * "a",
    synthetic_digest=64 * "b",
    num_kept=300,
    num_images=200,
    frechet_distance=12.5,
    frechet_distance_floor=1.75,
    precision=0.81,
    recall=0.62,
    density=0.94,
    coverage=0.77,
    gan_test_accuracy=0.955,
    gan_test_accuracy_per_class=dict.fromkeys(CLASSES, 0.955),
    kept_gan_test_accuracy=0.975,
    memorised_percent=1.25,
    memorised_percent_expected=1.0,
    kept_memorised_percent=1.5,
    num_planted=40,
    copies_flagged_percent={"exact": 100.0, "mirrored": 100.0, "shifted": 97.5, "blurred": 90.0, "shifted_far": 25.0},
)

BASELINE_ERROR, EXPONENT = 0.04, 0.5  # the planted learning curve is a power law
CORRUPTIONS = ("noise", "blur", "brightness", "contrast", "pixelate")

Gain = Callable[[int], float]  # synthetic_percent -> gain in accuracy over the baseline


def make_params(*choices: str) -> Params:
    """Demo params with five seeds, a wide learning curve and `choices`."""
    grid = ["ablation.seeds=[0,1,2,3,4]", "ablation.real_percent=[25,50,100,200]"]
    return parse_params(compose_params(["dataset=digits", "profile=demo", *grid, *choices]))


def write_inputs(folder: Path, params: Params, gain: Gain, classes: tuple[str, ...] = CLASSES) -> None:
    """Everything that evaluate reads, as the stages before it would write it."""
    random, grid = np.random.default_rng(0), params.ablation
    level = {seed: random.normal(0, 0.004) for seed in grid.seeds}  # what equal seeds share
    for percent in grid.real_percent:
        for seed in grid.seeds:
            accuracy = 1 - BASELINE_ERROR * (percent / 100) ** -EXPONENT + level[seed]
            write_cell(folder, make_cell(params, accuracy, classes, seed=seed, real_percent=percent))
    for percent in grid.synthetic_percent:
        for seed in grid.seeds:
            accuracy = 1 - BASELINE_ERROR + gain(percent) + level[seed] + random.normal(0, 0.001)
            write_cell(folder, make_cell(params, accuracy, classes, seed=seed, synthetic_percent=percent))
    write_evidence(folder, classes)


def write_cell(folder: Path, cell: CellRecord) -> None:
    """One cell's JSON, as train_baseline and train_classifier write it."""
    path = folder / "cells" / f"{cell.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(cell.model_dump_json(exclude_none=True))


def make_cell(params: Params, accuracy: float, classes: Sequence[str] = CLASSES, **key: int) -> CellRecord:
    """The cell at `seed` and `real_percent` or `synthetic_percent`; all its results follow from `accuracy`."""
    plan, images = plan_cell(params, train_size=params.dataset.train_size, **key), params.dataset.test_size
    mixed, seed = plan.stage == "train_classifier", plan.seed
    return CellRecord(
        **plan.model_dump(include=set(CellSettings.model_fields)),
        num_synthetic=params.synthesize.num_images if mixed else 0,
        train_loss=0.1,
        val_accuracy=round(min(accuracy, 1.0), 6),
        test_accuracy=round(round(min(accuracy, 1.0) * images) / images, 6),
        test_loss=round(0.2 - 2 * (accuracy - 0.96), 6),
        test_calibration_error=0.02 + 0.001 * seed - 0.01 * mixed,
        corrupted_accuracy=round(accuracy - 0.2, 6),
        accuracy_per_corruption={name: round(accuracy - 0.1 * place, 6) for place, name in enumerate(CORRUPTIONS)},
        num_corrupted=min(params.ablation.num_corrupted, images),
        test_accuracy_per_class={
            name: round(min(accuracy + 0.01 * (place - 1.5) * mixed, 1.0), 6) for place, name in enumerate(classes)
        },
    )


def write_evidence(folder: Path, classes: tuple[str, ...]) -> None:
    """What the report shows besides the cells."""
    counts = {"train": 800, "reserve": 320, "val": 200, "test": 400}
    dataset: dict[str, Any] = {
        "dataset": "digits",
        "class_names": list(classes),
        "image_size": 16,
        "channels": 1,
        "counts": {split: dict.fromkeys(classes, count // len(classes)) for split, count in counts.items()},
        "duplicates_dropped": dict.fromkeys(counts, 0),
        "near_duplicates": {"val": 2, "select": 1, "test": 5},
        "near_duplicates_in_reserve": {"val": 3, "select": 4, "test": 7},
        "digests": {split: f"{place:064x}" for place, split in enumerate(counts)},
    }
    (folder / "dataset.json").write_text(json.dumps(dataset))
    (folder / "scores").mkdir(exist_ok=True)
    random, size = np.random.default_rng(1), dataset["image_size"]
    shapes = {
        folder / "gan_samples.png": (160, 160),
        folder / "scores" / "neighbours.png": (len(classes) * (2 * size + size // 4) - size // 4, 8 * size),
    }
    for path, shape in shapes.items():
        Image.fromarray(random.integers(0, 256, shape, np.uint8)).save(path)
    steps = range(250, 1501, 250)
    rows = [
        f"{step},{64 * step},{int(step > 700)},{0.6 + 10 / step:.6g},{0.8 - 10 / step:.6g},0.7,0.5,0.6,0.9,0.1,"
        + ("0.4" if step % 500 == 0 else "")  # a small CAS at every other probe
        for step in steps
    ]
    header = "step,images,restarts,loss_d,loss_g,gan_test,gan_test_weakest,diversity_weakest,coverage,overfitting,cas"
    (folder / "train_gan.csv").write_text("\n".join([header, *rows, ""]))


def evaluate_and_write(folder: Path, params: Params, out: Path) -> Result:
    """What the stage does."""
    result = evaluate(params, folder / "cells", FIDELITY)
    paths = EvidencePaths(*(folder / name for name in ("dataset.json", "gan_samples.png", "train_gan.csv", "scores")))
    out.mkdir(parents=True, exist_ok=True)
    write_report(out, result, read_evidence(params, paths, result))
    return result


def write_helping(folder: Path) -> tuple[Params, Result]:
    """Inputs in which 50 % helps, in `folder`, and their report in `folder/out`."""
    params = make_params()
    write_inputs(folder, params, {25: 0.004, 50: 0.01, 100: -0.03}.__getitem__)
    return params, evaluate_and_write(folder, params, folder / "out")


def change_cell(folder: Path, name: str, **values: Any) -> None:
    """Overwrites `values` in a cell."""
    path = folder / "cells" / f"{name}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
