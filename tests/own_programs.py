"""Classifiers as a user writes them, and a cell that is trained by one."""

from pathlib import Path

import numpy as np

from pipeline.classifier.cell import run_cell
from pipeline.classifier.plan import plan_cell
from pipeline.classifier.record import CellRecord, read_cell_record
from pipeline.classifier.training import TrainingData
from pipeline.images import LabelledImages, empty_like
from pipeline.params.schema import Params
from tests.test_cell import grid
from tests.test_classifier import CPU

PROGRAMS = {
    "my_classifier.py": """
from torch import nn

def build(image_size, channels, num_classes):
    body = nn.Sequential(nn.Conv2d(channels, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d((4, 1)))
    return nn.Sequential(body, nn.Flatten(), nn.Dropout(0.1), nn.Linear(32, num_classes))

def tied(image_size, channels, num_classes):
    body = nn.Sequential(nn.Flatten(), nn.Linear(channels * image_size**2, 8), nn.Linear(8, 8), nn.Linear(8, 8))
    body[3].weight = body[2].weight
    return nn.Sequential(body, nn.Linear(8, num_classes))

def too_many(image_size, channels, num_classes):
    return nn.Sequential(build(image_size, channels, num_classes), nn.Linear(num_classes, num_classes + 1))

def no_head(image_size, channels, num_classes):
    return nn.Flatten()

def too_small(image_size, channels, num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(7, num_classes))

def no_module(image_size, channels, num_classes):
    return 7

def no_arguments():
    return nn.Flatten()

number = 7
""",
    "my_trainer.py": """
import numpy as np
from sklearn.linear_model import LogisticRegression

def train(task):
    model = LogisticRegression(C=0.01, max_iter=300)
    model.fit(pixels(task.images), task.labels, sample_weight=task.weights)
    return lambda images: model.predict_log_proba(pixels(images))

def pixels(images):
    return images.reshape(len(images), -1) / 255

def two(task, seed): ...

def nothing(task): ...

def labels(task):
    return lambda images: np.zeros(len(images), np.int64)

def infinite(task):
    return lambda images: np.full((len(images), task.num_classes), np.inf)
""",
    "my_broken.py": "def build(:",
}


def run_baseline(tiny: Params, patches: LabelledImages, folder: Path, **values: object) -> CellRecord:
    """The record of a baseline of two steps on 30 images, its network in `folder`/model."""
    classifier = tiny.classifier.model_copy(update=values)
    plan = plan_cell(grid(), train_size=30, replicate=7).model_copy(update={"steps": 2})
    real, val, test = (patches.select(np.arange(*rows)) for rows in ((0, 30), (30, 36), (36, 60)))
    run_cell(
        plan,
        classifier,
        TrainingData(real, empty_like(real), val),
        test,
        device=CPU,
        out=folder / "model",
        results=folder,
    )
    return read_cell_record(folder / "cells/train_baseline-100-7.json")
