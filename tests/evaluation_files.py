"""Files of `evaluate` as the stages before it would write them, with planted gains."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.evaluation.ablation import compare_cells
from pipeline.evaluation.grid import read_grid
from pipeline.evaluation.new_classes import read_new_classes
from pipeline.evaluation.predictions import read_predictions
from pipeline.evaluation.replicates import read_made
from pipeline.evaluation.report.evidence import EvidencePaths, read_evidence
from pipeline.evaluation.report.write import write_report
from pipeline.evaluation.result import Result
from pipeline.files import write_json
from pipeline.images import Indices, LabelledImages
from pipeline.params.schema import Params
from pipeline.shards.reader import read_column
from pipeline.shards.writer import write_split
from pipeline.sources.description import DatasetDescription
from tests.evaluation_inputs import CLASSES, SIZE, Gain, Inputs, make_params, plant


def write_inputs(
    folder: Path, params: Params, gain: Gain, classes: tuple[str, ...] = CLASSES, **others: Gain
) -> Inputs:
    """Everything that evaluate reads, at its place in `folder`, as the stages before it would write it."""
    inputs = plant(params, gain, classes, **others)
    write_cells(folder, inputs)
    for replicate, gan, assessed in zip(
        params.ablation.replicates, inputs.made.gans, inputs.made.assessed, strict=True
    ):
        write_json(folder / f"data/collected/gan/{replicate}/generator.json", gan.model_dump())
        write_json(folder / f"results/assess/{replicate}.json", assessed.model_dump())
        write_evidence(folder, replicate, classes)
    write_images(folder / "data/prepared/test", inputs.predictions.labels, classes)
    return inputs


def write_images(folder: Path, labels: Indices, classes: tuple[str, ...]) -> None:
    """A split of real images, of noise."""
    pixels = np.random.default_rng(2).integers(0, 256, (len(labels), SIZE, SIZE, 1), np.uint8)
    images = LabelledImages(pixels, labels, classes)
    write_split(folder, folder.name, images, index=np.arange(len(labels)), seed=0, generator="real")


def write_cells(folder: Path, inputs: Inputs) -> None:
    """Record and test logits of every cell."""
    records = folder / "results/cells"
    records.mkdir(parents=True)
    for cell in inputs.grid.all_cells():
        (records / f"{cell.name}.json").write_text(cell.model_dump_json(exclude_none=True))
        model = folder / "data/collected" / cell.name.replace("-", "/", 1)
        model.mkdir(parents=True)
        np.save(model / "test_logits.npy", inputs.predictions.logits(cell))


def write_evidence(folder: Path, replicate: int, classes: tuple[str, ...]) -> None:
    """What the report shows of a replicate besides the numbers."""
    counts = {"train": 800, "reserve": 320, "val": 200, "select": 200, "test": 400}
    description = DatasetDescription(
        dataset="digits",
        class_names=classes,
        image_size=SIZE,
        channels=1,
        counts={split: dict.fromkeys(classes, count // len(classes)) for split, count in counts.items()},
        duplicates_dropped=dict.fromkeys(counts, 0),
        near_duplicates={"val": 2, "select": 1, "test": 5},
        near_duplicates_in_reserve={"val": 3, "select": 4, "test": 7},
        digests={split: f"{place:064x}" for place, split in enumerate(counts)},
    )
    write_json(folder / f"data/prepared/{replicate}/dataset.json", description.model_dump())
    write_images(folder / f"data/prepared/{replicate}/train", np.arange(40) % len(classes), classes)
    random = np.random.default_rng(replicate)
    pictures = {
        f"results/gan/samples-{replicate}.png": (160, 160),
        f"data/collected/scores/{replicate}/neighbours.png": (
            len(classes) * (2 * SIZE + SIZE // 4) - SIZE // 4,
            8 * SIZE,
        ),
    }
    for name, shape in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, shape, np.uint8)).save(folder / name)
    write_history(folder / f"results/history/train_gan-{replicate}.csv")


def write_history(file: Path) -> None:
    """Six probes of a GAN that was restarted once."""
    header = "step,images,restarts,loss_d,loss_g,gan_test,gan_test_weakest,diversity_weakest,coverage,overfitting,cas"
    rows = [
        f"{step},{64 * step},{int(step > 700)},{0.6 + 10 / step:.6g},{0.8 - 10 / step:.6g},0.7,0.5,0.6,0.9,0.1,"
        + ("0.4" if step % 500 == 0 else "")  # a small CAS at every other probe
        for step in range(250, 1501, 250)
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([header, *rows, ""]))


def evaluate_and_write(folder: Path, params: Params, out: Path) -> Result:
    """What the stage does with the files that `write_inputs` left in `folder`."""
    results, collected, prepared = (folder / name for name in ("results", "data/collected", "data/prepared"))
    grid = read_grid(params, results / "cells")
    made = read_made(params.ablation.replicates, params.synthesize.source, collected, results / "assess")
    predictions = read_predictions(collected, read_column(prepared / "test", "label"))
    new_classes = read_new_classes(params, results / "cells")
    result = compare_cells(params, grid, made, predictions).model_copy(update={"new_classes": new_classes})
    paths = EvidencePaths(results, prepared, collected)
    out.mkdir(parents=True, exist_ok=True)
    write_report(out, result, read_evidence(params, paths, result, grid, predictions))
    return result


def write_helping(folder: Path) -> tuple[Inputs, Result]:
    """Inputs in which 50 % helps, in `folder`, and their report in `folder/out`."""
    inputs = write_inputs(folder, make_params(), {25: 0.004, 50: 0.01, 100: -0.03}.__getitem__)
    return inputs, evaluate_and_write(folder, inputs.params, folder / "out")


def change_cell(folder: Path, name: str, **values: Any) -> None:
    """Overwrites `values` in a cell."""
    path = folder / f"results/cells/{name}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
