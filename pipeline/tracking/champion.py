"""Registers the networks that a result names: the champion among the classifiers, the generator of the set to take.

A step of its own after evaluate, which reads no network: a clone can evaluate without them, pull the two that the
result names, and register them with `synthmix track sync`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.tracking import registry
from pipeline.tracking.contents import Network
from pipeline.tracking.execution import dvc_name
from pipeline.tracking.lock import Lock
from pipeline.tracking.package import model_files
from pipeline.tracking.store import Parent

if TYPE_CHECKING:
    from pipeline.evaluation.result import Result


def register_named(parent: Parent, file: Path, lock: Lock) -> list[str]:
    """Registers, under the parent run, what the result in `file` names; returns a line on each kind that it could not.

    A folder is here where it is, by md5, the one of dvc.lock. That of a cell which a program of the user's trained has
    no network.
    """
    from pipeline.evaluation.result import read_result  # here, as scipy comes with it and takes a second of each stage

    absent, lines = [], []
    for stage, kind, alias in _named(read_result(file)):
        paths = lock.paths(stage)
        if paths and lock.holds(paths["out"]) and not model_files(paths["out"], kind)[0].exists():
            lines.append(f"{stage} has no network to register: classifier.train trained it")
        elif paths and lock.holds(paths["out"]):
            registry.register(parent, parent.run_id, Network(kind, alias, paths["out"]))
        elif paths:  # else no GAN was trained
            absent.append(stage)
    if absent:
        stages = " ".join(absent)
        lines.append(f"networks of {stages} are not here; to register them: dvc pull {stages}; synthmix track sync")
    return lines


def _named(result: "Result") -> Iterator[tuple[str, str, str]]:
    """Stage in DVC, kind and alias of each."""
    best = result.champion
    yield dvc_name(best.stage, f"{best.percent}-{best.replicate}"), "classifier", "champion"
    if result.source == "gan":
        yield dvc_name("train_gan", str(result.dataset_replicate)), "generator", "current"
