"""What evaluate needs of the outs of many stages, copied into one folder: an out, which a clone can pull.

DVC pulls outs, but not the folder above them, and takes such a folder for changed where only some of them are there.
So no stage depends on one: the records in git, which the same stages write, stand for the outs that they describe.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.assessment.record import read_assess_record
from pipeline.classifier.record import read_cell_record
from pipeline.files import hash_file
from pipeline.gan.description import read_description
from pipeline.params.schema import AblationParams, Params
from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.errors import UserError
from pipeline.shards.imported import SET_FILE, find_imported

SAMPLES_FILE = "samples.png"  # beside SET_FILE; of a GAN they are in git


@dataclass(frozen=True)
class Places:
    """Where the stages before evaluate have written: records, networks, scores."""

    results: Path
    models: Path
    scores: Path


@dataclass(frozen=True)
class Item:
    """A file to copy: `target` of DVC, whose out holds it at `source`, and where below the new folder it goes."""

    target: str
    source: Path
    place: Path


def collect(params: Params, places: Places, out: Path) -> None:
    """Makes the folder `out` of what `items` names.

    Args:
        params: `synthesize.source`; of `ablation` `controls`, `replicates` and `synthetic_percent`.
        places: where it lies.
        out: replaced if it is there.

    Raises:
        UserError: a file is missing, a record is missing or corrupted, or is that of other images.
    """
    wanted = list(items(params, places))
    if missing := [item for item in wanted if not item.source.is_file()]:
        raise UserError(_missing(missing))
    _check_origins(params, places)
    shutil.rmtree(out, ignore_errors=True)
    for item in wanted:
        write_bytes(out / item.place, item.source.read_bytes())


def items(params: Params, places: Places) -> Iterator[Item]:
    """Of each replicate: what describes its generator or imported set, the picture of neighbours, and test logits.

    The logits are those of the cells that evaluate compares image by image: mixed ones and their baselines.
    """
    source = params.synthesize.source
    stage, name = ("train_gan", "generator.json") if source == "gan" else ("screen_set", SET_FILE)
    for replicate in params.ablation.replicates:
        origin, picture = Path(source) / f"{replicate}" / name, Path(f"{replicate}/neighbours.png")
        yield Item(f"{stage}@{replicate}", places.models / origin, origin)
        if source != "gan":
            samples = origin.with_name(SAMPLES_FILE)
            yield Item(f"{stage}@{replicate}", places.models / samples, samples)
        yield Item(f"assess@{replicate}", places.scores / picture, "scores" / picture)
        for cell, key in _compared(params.ablation, replicate):
            read_cell_record(places.results / "cells" / f"{cell}-{key}.json")  # it comes last: the cell is whole
            logits = Path(cell) / key / "test_logits.npy"
            yield Item(f"{cell}@{key}", places.models / logits, logits)


def _compared(ablation: AblationParams, replicate: int) -> Iterator[tuple[str, str]]:
    yield "train_baseline", f"100-{replicate}"
    for percent in ablation.synthetic_percent:
        yield "train_classifier", f"{percent}-{replicate}"
        if "real_only" in ablation.controls:
            yield "train_control", f"real_only-{percent}-{replicate}"


def _missing(missing: list[Item]) -> str:
    """Names the first one, and all stages to pull or to run."""
    stages = " ".join(dict.fromkeys(item.target.split("@")[0] for item in missing))
    others = f", nor {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"{missing[0].source}: not found{others}; run: dvc pull {stages}, or dvc repro {stages}"


def _check_origins(params: Params, places: Places) -> None:
    """Images were drawn, or taken from a set, as the record of what was measured on them says."""
    for replicate in params.ablation.replicates:
        folder, file = places.models / params.synthesize.source / f"{replicate}", f"assess/{replicate}.json"
        if read_assess_record(places.results / file).generator != _origin(folder):
            raise UserError(f"{places.results / file}: is of other images than {folder}; run: dvc repro assess")


def _origin(folder: Path) -> str:
    """sha256 of the images that were taken from a set, or of the weights that drew them."""
    if imported := find_imported(folder):
        return imported.images_sha256
    read_description(folder, "generator")
    return hash_file(folder / "generator.safetensors")
