"""One cell of the ablation: its images, its training, and the files that hold its result."""

from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from pipeline.classifier.corruptions import measure_robustness
from pipeline.classifier.inference import Logits, measure_accuracy, predict
from pipeline.classifier.metrics import accuracy_per_class, calibration_error, negative_log_likelihood
from pipeline.classifier.mixture import Mixture
from pipeline.classifier.network import choose_architecture
from pipeline.classifier.plan import CellPlan
from pipeline.classifier.record import CellRecord, CellSettings
from pipeline.classifier.saved import ClassifierRecord, save_classifier
from pipeline.classifier.training import TrainingData, train_classifier
from pipeline.files import write_array, write_csv, write_json
from pipeline.images import LabelledImages, concatenate
from pipeline.params.schema import ClassifierParams
from pipeline.runtime.errors import UserError


def select_real(plan: CellPlan, train: LabelledImages, reserve: LabelledImages | None = None) -> LabelledImages:
    """The first `plan.num_real` images of train followed by those of the reserve.

    Raises:
        UserError: there are not so many.
    """
    if plan.num_real <= len(train):
        return train.select(np.arange(plan.num_real))
    num_all = len(train) + (len(reserve) if reserve else 0)
    if reserve is None or plan.num_real > num_all:
        raise UserError(
            f"params.yaml: ablation.real_percent {plan.real_percent} needs {plan.num_real} real images; train and "
            f"reserve have {num_all}: name at most {100 * num_all // len(train)}"
        )
    return concatenate(train, reserve.select(np.arange(plan.num_real - len(train))))


def run_cell(
    plan: CellPlan,
    classifier: ClassifierParams,
    data: TrainingData,
    test: LabelledImages,
    *,
    device: torch.device,
    out: Path,
    results: Path,
) -> None:
    """Trains the classifier of a cell, then reads the test images once, and the first of them corrupted.

    Writes weights and test logits to `out`, history and record below `results`; the record comes last: where it
    lies, the cell is whole.
    """
    mixture = Mixture(plan.mixing or "batch", plan.synthetic_percent, classifier.batch_size, plan.steps)
    trained = train_classifier(classifier, data, mixture, seed=plan.seed, device=device)
    logits = predict(trained.network, test, flip=classifier.flip)
    corrupted = measure_robustness(trained.network, test, plan.num_corrupted, flip=classifier.flip)
    record = describe_cell(plan, data, trained.history[-1], logits, corrupted, test)
    save_classifier(
        out,
        trained.network,
        ClassifierRecord(
            shape=choose_architecture(classifier, test),
            image_size=test.images.shape[1],
            class_names=test.class_names,
            flip=classifier.flip,
        ),
    )
    write_array(out / "test_logits.npy", logits)
    write_csv(results / "history" / f"{plan.name}.csv", trained.history)
    write_json(results / "cells" / f"{plan.name}.json", record.model_dump(exclude_none=True))


def describe_cell(
    plan: CellPlan,
    data: TrainingData,
    last: dict[str, float],
    logits: Logits,
    corrupted: dict[str, float],
    test: LabelledImages,
) -> CellRecord:
    """The record of a cell, to six digits.

    Args:
        plan: the cell.
        data: what it was trained on.
        last: the last row of its history.
        logits: of the test images, (N, num_classes).
        corrupted: accuracy under each corruption.
        test: the test images.
    """
    return CellRecord(
        **plan.model_dump(include=set(CellSettings.model_fields)),
        num_synthetic=len(data.synthetic),
        train_loss=round(last["train_loss"], 6),
        val_accuracy=round(last["val_accuracy"], 6),
        test_accuracy=round(measure_accuracy(logits, test), 6),
        test_loss=round(negative_log_likelihood(logits, test), 6),
        test_calibration_error=round(calibration_error(logits, test), 6),
        test_accuracy_per_class=accuracy_per_class(logits, test),
        num_corrupted=min(plan.num_corrupted, len(test)),
        corrupted_accuracy=round(fmean(corrupted.values()), 6),
        accuracy_per_corruption={name: round(accuracy, 6) for name, accuracy in corrupted.items()},
    )
