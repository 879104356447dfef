"""One cell of the ablation: its images, its training, and the files that hold its result."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from pipeline.classifier.attack import predict_attacked
from pipeline.classifier.corruptions import measure_robustness
from pipeline.classifier.inference import Answer, Logits, measure_accuracy, predict
from pipeline.classifier.metrics import (
    accuracy_per_class,
    calibration_error,
    confidence_gap,
    fit_temperature,
    negative_log_likelihood,
)
from pipeline.classifier.mixture import Mixture
from pipeline.classifier.network import Network, choose_architecture
from pipeline.classifier.own_training import train_own
from pipeline.classifier.plan import CellPlan
from pipeline.classifier.record import CellRecord, CellSettings
from pipeline.classifier.saved import ClassifierRecord, save_classifier
from pipeline.classifier.training import TrainedClassifier, TrainingData, train_classifier
from pipeline.files import hash_file, write_array, write_csv, write_json
from pipeline.images import ImageSet, concatenate, empty_like
from pipeline.params.schema import CellClassifierParams, ClassifierParams, Params
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import named_bars


def select_real(plan: CellPlan, train: ImageSet, reserve: ImageSet | None = None) -> ImageSet:
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


def select_stand_ins(plan: CellPlan, params: Params, train: ImageSet, reserve: ImageSet | None = None) -> ImageSet:
    """The real images that a control trains on in the synthetic images' place.

    `ceiling`: the first of the reserve, as many as the mixed cell would have synthetic ones, or all there are.
    `placebo`: train; in mode `replace` what the cut took from it. `real_only`: none.
    """
    if plan.control == "ceiling" and reserve is not None:
        curated = params.synthesize.num_images * params.curation.keep_percent // 100
        size = curated if params.curation.recycle else min(curated, plan.num_synthetic)
        return reserve.select(np.arange(min(size, len(reserve)), dtype=np.int64))
    if plan.control == "placebo":
        first = len(train) - plan.num_synthetic
        return train.select(np.arange(first, len(train), dtype=np.int64))
    return empty_like(train)


def run_cell(
    plan: CellPlan,
    classifier: CellClassifierParams,
    data: TrainingData,
    test: ImageSet,
    *,
    device: torch.device,
    out: Path,
    results: Path,
) -> None:
    """Trains the classifier of a cell, then reads the test images once, and the first of them corrupted.

    Writes weights and test logits to `out`, history and record below `results`; the record comes last: where it
    lies, the cell is whole. A training of the user's leaves no weights; the baseline's folder has a network in their
    place that `classifier` describes: the judge.
    """
    if classifier.train:
        own = train_own(classifier.train, data, _mixture(plan, classifier), seed=plan.replicate)
        answers, history = Answers(own.answer, None), own.history
        if plan.is_baseline:
            with named_bars("judge"):
                _train_network(plan, classifier, data, device=device, out=out)
    else:
        trained = _train_network(plan, classifier, data, device=device, out=out)
        answers, history = _answers(trained.network, classifier), trained.history
    measured = _measure(answers, plan, data.val, test)
    digest = hash_file(Path(classifier.weights)) if classifier.weights and not classifier.train else None
    record = describe_cell(plan, data, history[-1], measured, test).model_copy(update={"weights_sha256": digest})
    write_array(out / "test_logits.npy", measured.logits)
    write_csv(results / "history" / f"{plan.name}.csv", history)
    write_json(results / "cells" / f"{plan.name}.json", record.model_dump(exclude_none=True))


@dataclass(frozen=True)
class Answers:
    """A trained classifier in use: images to logits, float32 (N, num_classes).

    Attributes:
        plain: of images as they are.
        attacked: of images as an attack leaves them; None where it was not trained under one.
    """

    plain: Answer
    attacked: Answer | None


@dataclass(frozen=True)
class Measured:
    """What a trained classifier gave.

    Attributes:
        logits: for test (N, num_classes), under attack where it was trained under it.
        corrupted: accuracies by corruption.
        temperature: fitted on val.
        clean: then the logits for test as it is.
    """

    logits: Logits
    corrupted: dict[str, float]
    temperature: float
    clean: Logits | None


def _mixture(plan: CellPlan, classifier: ClassifierParams) -> Mixture:
    return Mixture(plan.mixing or "batch", plan.mixed_percent, classifier.batch_size, plan.steps)


def _train_network(
    plan: CellPlan, classifier: CellClassifierParams, data: TrainingData, *, device: torch.device, out: Path
) -> TrainedClassifier:
    """Trains a network by the one loop and saves it, as the judge where the cell's own training is the user's."""
    trained = train_classifier(classifier, data, _mixture(plan, classifier), seed=plan.replicate, device=device)
    record = ClassifierRecord(
        shape=choose_architecture(classifier, data.val),
        image_size=data.val.images.shape[1],
        class_names=data.val.class_names,
        flip=classifier.flip,
    )
    save_classifier(out, trained.network, record, name="judge" if classifier.train else "classifier")
    return trained


def _answers(network: Network, classifier: ClassifierParams) -> Answers:
    attacked = partial(predict_attacked, network, classifier=classifier) if classifier.attack_epsilon else None
    return Answers(partial(predict, network, flip=classifier.flip), attacked)


def _measure(answers: Answers, plan: CellPlan, val: ImageSet, test: ImageSet) -> Measured:
    answer = answers.attacked or answers.plain
    logits = answer(test)
    corrupted = measure_robustness(answers.plain, test, plan.num_corrupted)
    temperature = fit_temperature(answer(val), val)
    return Measured(logits, corrupted, temperature, answers.plain(test) if answers.attacked else None)


def describe_cell(
    plan: CellPlan, data: TrainingData, last: dict[str, float], measured: Measured, test: ImageSet
) -> CellRecord:
    """The record of a cell, to six digits.

    Args:
        plan: the cell.
        data: what it was trained on.
        last: the last row of its history.
        measured: what it gave.
        test: the test images.
    """
    logits, corrupted = measured.logits, measured.corrupted
    scaled = logits / np.float32(measured.temperature)
    return CellRecord(
        **plan.model_dump(include=set(CellSettings.model_fields)),
        num_synthetic=len(data.synthetic),
        train_loss=round(last["train_loss"], 6),
        val_accuracy=round(last["val_accuracy"], 6),
        test_accuracy=round(measure_accuracy(logits, test), 6),
        clean_test_accuracy=None if measured.clean is None else round(measure_accuracy(measured.clean, test), 6),
        temperature=round(measured.temperature, 6),
        test_loss=round(negative_log_likelihood(scaled, test), 6),
        test_calibration_error=round(calibration_error(scaled, test), 6),
        test_confidence_gap=round(confidence_gap(logits, test), 6),
        test_accuracy_per_class=accuracy_per_class(logits, test),
        num_corrupted=min(plan.num_corrupted, len(test)),
        corrupted_accuracy=round(fmean(corrupted.values()), 6),
        accuracy_per_corruption={name: round(accuracy, 6) for name, accuracy in corrupted.items()},
    )
