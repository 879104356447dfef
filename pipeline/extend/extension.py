"""A trained generator, extended by new classes, and the dataset that it draws."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipeline.extend.fit import fit_rows
from pipeline.extend.record import Extension
from pipeline.extend.rows import widen
from pipeline.extend.streams import Stream
from pipeline.extend.warps import MILD, warped_copies
from pipeline.files import hash_file, write_json
from pipeline.gan.description import read_description
from pipeline.gan.loading import load_network
from pipeline.gan.sampling import Sampler
from pipeline.gan.synthesis import plan_synthesis, write_dataset
from pipeline.images import LabelledImages, concatenate
from pipeline.params.schema import ExtendParams, SynthesizeParams
from pipeline.runtime.errors import UserError
from pipeline.shards.card import write_card


@dataclass(frozen=True)
class ExtensionPlan:
    """What is to be made.

    Attributes:
        parent: folder of the trained generator and discriminator.
        networks: `gan.networks`.
        shots: images of the new classes, as many of each; class names and labels are those of old and new classes.
        values: how rows are fitted.
        seed: of the draws: the replicate.
    """

    parent: Path
    networks: str
    shots: LabelledImages
    values: ExtendParams
    seed: int


@dataclass(frozen=True)
class DatasetPlan:
    """The dataset of the extended generator: `values` but for the balance, which is balanced; title and licence."""

    values: SynthesizeParams
    name: str
    real_counts: Sequence[int]


def first_shots(shots: LabelledImages, count: int) -> LabelledImages:
    """The first `count` images of every class that there are images of.

    Raises:
        UserError: a class has fewer.
    """
    rows = []
    for label in np.unique(shots.labels):
        of_class = np.flatnonzero(shots.labels == label)
        if len(of_class) < count:
            raise UserError(
                f"params.yaml: extend.num_shots {count} is above the {len(of_class)} images of class "
                f"'{shots.class_names[label]}' that are neither test nor val: name at most so many"
            )
        rows.append(of_class[:count])
    return shots.select(np.concatenate(rows))


def extend_generator(plan: ExtensionPlan, out: Path, device: torch.device) -> Sampler:
    """Writes generator.safetensors, generator.json and extension.json to `out`; returns the generator.

    Raises:
        UserError: the parent's files are missing or corrupted, or the shots are unlike its images.
    """
    network, about = load_network(plan.parent, "generator", plan.networks)
    discriminator, _ = load_network(plan.parent, "discriminator", plan.networks)
    names = plan.shots.class_names
    _check_shots(plan, about.class_names, (about.image_size, about.image_size, about.channels))
    widened = widen(network, about, len(names) - len(about.class_names))
    widened.network.to(device)
    targets = _targets(plan)
    loss = fit_rows(widened, discriminator.to(device), targets, plan.values, about.latent_dim, seed=plan.seed)
    extended = about.model_copy(update={"class_names": names})
    sampler = Sampler(widened.network, about.latent_dim, extended.shape, names, device)
    sampler.save(out, extended)
    record = Extension(
        generator_sha256=hash_file(plan.parent / "generator.safetensors"),
        new_classes=names[len(about.class_names) :],
        num_shots=int(np.bincount(plan.shots.labels).max()),
        shots_sha256=plan.shots.digest(),
        loss=round(loss, 6),
    )
    write_json(out / "extension.json", record.model_dump())
    return sampler


def write_extended(
    root: Path, plan: DatasetPlan, sampler: Sampler, generator: Path, stop_wanted: Callable[[], int], *, seed: int
) -> None:
    """Writes the dataset of the generator in `generator` below `root`: shards, manifest and card, classes in turn.

    Raises:
        UserError: too few images are asked for, or the disk is full.
        StoppedError: `stop_wanted` gave a signal's number.
    """
    values = plan.values.model_copy(update={"class_balance": "balanced", "class_shares": []})
    synthesis = plan_synthesis(values, generator, sampler, plan.real_counts, seed=seed, device=sampler.device)
    write_dataset(root, synthesis, synthesis.recipe.model_dump_json(), stop_wanted)
    about = read_description(generator, "generator").model_dump()
    write_card(root, name=plan.name, licence=values.licence, about=about)


def _targets(plan: ExtensionPlan) -> LabelledImages:
    """The shots and mildly warped copies of them: `num_targets` of every new class."""
    parts = [
        warped_copies(
            plan.shots.select(np.flatnonzero(plan.shots.labels == label)),
            plan.values.num_targets,
            MILD,
            seed=plan.seed,
            stream=Stream.TARGET_WARPS,
        )
        for label in np.unique(plan.shots.labels)
    ]
    targets = parts[0]
    for part in parts[1:]:
        targets = concatenate(targets, part)
    return targets


def _check_shots(plan: ExtensionPlan, old: tuple[str, ...], shape: tuple[int, int, int]) -> None:
    if plan.shots.class_names[: len(old)] != old or len(plan.shots.class_names) == len(old):
        raise UserError(
            f"{plan.parent}: draws the classes {list(old)}; what is to be added must be of others, not of "
            f"{list(plan.shots.class_names)}"
        )
    if plan.shots.images.shape[1:] != shape:
        raise UserError(f"{plan.parent}: draws images of {shape} (height, width, channels), not of those of the shots")
