"""What `evaluate` compares, with planted gains."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from pipeline.assessment.record import AssessRecord
from pipeline.classifier.plan import plan_cell
from pipeline.classifier.record import CellRecord, CellSettings
from pipeline.evaluation.ablation import compare_cells
from pipeline.evaluation.grid import Cells, Grid
from pipeline.evaluation.predictions import Logits, Predictions
from pipeline.evaluation.replicates import Made
from pipeline.evaluation.result import Result
from pipeline.gan.description import GanDescription
from pipeline.images import Indices
from pipeline.params.compose import compose_params
from pipeline.params.load import parse_params
from pipeline.params.schema import Control, Params

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
SIZE = 16  # pixels of an image's side

Gain = Callable[[int], float]  # synthetic_percent -> gain in accuracy over the baseline
OTHERS: dict[str, Gain] = {  # controls and rivals where nothing else is planted: of a setting that can tell
    "ceiling": lambda percent: 0.02,
    "placebo": lambda percent: 0.0,
    "real_only": lambda percent: 0.0,
    "mixup": lambda percent: 0.002,
    "cutmix": lambda percent: 0.004,
    "trivial_augment": lambda percent: -0.01,
    "cutout": lambda percent: 0.0,
    "longer": lambda percent: 0.001,
    "distilled": lambda percent: 0.002,
    "oversampling": lambda percent: 0.0,
    "class_weights": lambda percent: 0.0,
}


@dataclass(frozen=True)
class Inputs:
    """Everything that a comparison rests on."""

    params: Params
    grid: Grid
    made: Made
    predictions: Predictions

    def compare(self) -> Result:
        """The result, without a file in between."""
        return compare_cells(self.params, self.grid, self.made, self.predictions)


@cache
def make_params(*choices: str) -> Params:
    """Demo params with five replicates, a wide learning curve, three percents and `choices`."""
    grid = [
        "ablation.replicates=[0,1,2,3,4]",
        "ablation.real_percent=[25,50,100,200]",
        "ablation.synthetic_percent=[25,50,100]",
    ]
    return parse_params(compose_params(["dataset=digits", "profile=demo", *grid, *choices]))


def plant(params: Params, gain: Gain, classes: tuple[str, ...] = CLASSES, **others: Gain) -> Inputs:
    """Inputs in which synthetic images change accuracy by `gain`, and each control and rival by its own."""
    labels = np.arange(params.dataset.test_size) % len(classes)
    made = make_made(params.ablation.replicates, classes)
    predictions = Predictions(labels, lambda cell: make_logits(cell, labels))
    return Inputs(params, plant_cells(params, gain, classes, OTHERS | others), made, predictions)


def plant_cells(params: Params, gain: Gain, classes: Sequence[str], others: dict[str, Gain]) -> Grid:
    """Cells on the planted curve and with the planted gains.

    Equal replicates share a part of their luck; cells with a gain have some of their own.
    """
    random, ablation = np.random.default_rng(0), params.ablation
    shared = random.normal(0, 0.004, len(ablation.replicates))

    def cells(accuracies: Iterable[float], **key: Any) -> list[CellRecord]:
        return [
            make_cell(params, accuracy, classes, replicate=replicate, **key)
            for replicate, accuracy in zip(ablation.replicates, accuracies, strict=True)
        ]

    def gaining(gain: Gain, control: Control | None = None) -> Cells:
        own = random.normal(0, 0.001, (101, len(shared)))
        return {
            percent: cells(
                1 - BASELINE_ERROR + gain(percent) + shared + own[percent], control=control, synthetic_percent=percent
            )
            for percent in sorted(ablation.synthetic_percent)
        }

    errors = {percent: BASELINE_ERROR * (percent / 100) ** -EXPONENT for percent in ablation.real_percent}
    return Grid(
        real={percent: cells(1 - error + shared, real_percent=percent) for percent, error in errors.items()},
        mixed=gaining(gain),
        controls={control: gaining(others[control], control) for control in ablation.controls},
        rivals={rival: cells(1 - BASELINE_ERROR + others[rival](0) + shared, rival=rival) for rival in ablation.rivals},
    )


def make_cell(params: Params, accuracy: float, classes: Sequence[str] = CLASSES, **key: Any) -> CellRecord:
    """The cell of `key`, what plan_cell takes besides; all its results follow from `accuracy`."""
    plan = plan_cell(params, train_size=params.dataset.train_size, **key)
    mixed, images = plan.stage == "train_classifier", params.dataset.test_size
    return CellRecord(
        **plan.model_dump(include=set(CellSettings.model_fields)),
        num_synthetic=params.synthesize.num_images if mixed else plan.num_synthetic,
        train_loss=0.1,
        val_accuracy=round(min(accuracy, 1.0), 6),
        test_accuracy=round(round(min(accuracy, 1.0) * images) / images, 6),
        temperature=1.5,
        test_loss=round(0.2 - 2 * (accuracy - 0.96), 6),
        test_calibration_error=0.02 + 0.001 * plan.replicate - 0.01 * mixed,
        test_confidence_gap=0.03 - 0.01 * mixed,
        corrupted_accuracy=round(accuracy - 0.2, 6),
        accuracy_per_corruption={name: round(accuracy - 0.1 * place, 6) for place, name in enumerate(CORRUPTIONS)},
        num_corrupted=min(params.ablation.num_corrupted, images),
        test_accuracy_per_class={
            name: round(min(accuracy + 0.01 * (place - 1.5) * mixed, 1.0), 6) for place, name in enumerate(classes)
        },
    )


def make_logits(cell: CellRecord, labels: Indices) -> Logits:
    """Test logits of a cell, by its accuracy: the last images are wrong, taken for the next class."""
    num_classes, num_right = len(cell.test_accuracy_per_class), round(cell.test_accuracy * len(labels))
    taken = (labels + (np.arange(len(labels)) >= num_right)) % num_classes
    return 5 * np.eye(num_classes, dtype=np.float32)[taken]


def make_made(replicates: Sequence[int], classes: tuple[str, ...]) -> Made:
    """GANs without fault, and what was measured on their images."""
    fidelity = FIDELITY.model_copy(update={"gan_test_accuracy_per_class": dict.fromkeys(classes, 0.955)})
    gans = [
        GanDescription(
            recipe="r3", networks="", latent_dim=8, width=8, image_size=SIZE, channels=1, class_names=classes,
            images_seen=512, restarts=0, degraded=False, small_cas=0.5, seed=replicate,
        )
        for replicate in replicates
    ]  # fmt: skip
    return Made(tuple(gans), (), (fidelity,) * len(gans))
