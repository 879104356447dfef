"""Images that no generator of ours made: their dataset folder, their assessment."""

from pathlib import Path

import pytest

from pipeline.dataset.regenerate import regenerate_rows
from pipeline.dataset.verify import verify_dataset
from pipeline.files import write_json
from pipeline.runtime.errors import UserError
from pipeline.shards.card import write_card
from pipeline.shards.digest import ContentDigest
from pipeline.shards.imported import SET_FILE, CopyCount, ImportedSet, find_imported
from pipeline.shards.manifest import MANIFEST_FILE, read_manifest, write_manifest
from pipeline.shards.plan import SplitPlan
from pipeline.shards.schema import describe_format
from pipeline.shards.writer import write_shards
from tests.shard_inputs import drawing, labelled

SET = ImportedSet(
    source="folder",
    name="diffusion",
    seed=3,
    num_found=90,
    num_images=42,
    subset="disjoint",
    class_mapping={"kitten": "cat"},
    copies={"test": CopyCount(exact=1, near=1, near_expected_percent=1.0)},
    num_dropped=2,
    images_sha256="a" * 64,
)


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    """A dataset folder of images that were taken from a set."""
    images, digest, root = labelled(40), ContentDigest(), tmp_path / "made"
    plan = SplitPlan("train", 40, images.class_names, SET.seed, SET.images_sha256, "d", "stored_png")
    splits = {"train": write_shards(root / "data", plan, drawing(images), digest)}
    write_manifest(root, splits, digest, recipe=SET, environment=describe_format("stored_png"))
    write_card(root, name="Theirs", licence="other", about={})
    return root


def test_a_dataset_of_taken_images_is_whole(imported: Path) -> None:
    """verify reads seed and generator as the manifest has them; the card tells what was taken."""
    assert verify_dataset(imported).startswith("OK: ")
    assert read_manifest(imported).imported == SET
    card = (imported / "README.md").read_text(encoding="utf-8")
    assert '"name": "diffusion"' in card
    assert "files.csv" in card
    assert "{" not in card.split("```json")[0]
    assert "Generator" not in card


def test_nobody_draws_taken_images_again(imported: Path) -> None:
    """There is no generator, and the one line says so."""
    with pytest.raises(UserError, match="taken from a set, not drawn"):
        regenerate_rows(imported, 1, Path("models/gan/0"), tolerance=0)


def test_a_manifest_names_one_origin(imported: Path) -> None:
    """Neither none nor two."""
    values = read_manifest(imported).model_dump(exclude_none=True)
    values.pop("imported")
    write_json(imported / MANIFEST_FILE, values)
    with pytest.raises(UserError, match=r"recipe and imported: one of them"):
        read_manifest(imported)


def test_a_set_is_found_by_its_file(tmp_path: Path) -> None:
    """A folder without it holds a GAN."""
    assert find_imported(tmp_path) is None
    write_json(tmp_path / SET_FILE, SET.model_dump())
    assert find_imported(tmp_path) == SET
