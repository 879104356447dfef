"""A dataset to share: its card says what the images are worth, and the dataset itself stays as it is."""

import shutil
from pathlib import Path

import pytest
import yaml

from pipeline.dataset.hub import export_for_hub, size_category
from pipeline.runtime.errors import UserError
from tests.bad_files import change_json
from tests.evaluation_files import write_helping
from tests.shard_inputs import RECIPE, dataset, labelled, tree

DRAWN_BY = "3" * 64


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Path]:
    """A dataset that the GAN of replicate 3 drew, and results in which such images help."""
    write_helping(tmp_path / "project")
    results, root = tmp_path / "project/results", dataset(tmp_path / "set", labelled(40))
    shutil.copy(tmp_path / "project/out/ablation.json", results)
    change_json(str(results / "assess/3.json"), generator=DRAWN_BY, coverage=0.123, memorised_percent=4.56)
    recipe = RECIPE.model_copy(update={"generator_sha256": DRAWN_BY})
    change_json(str(root / "manifest.json"), recipe=recipe.model_dump(mode="json"))
    return root, results


def test_the_card_says_what_the_images_are_worth(made: tuple[Path, Path], tmp_path: Path) -> None:
    """Verdict, what was measured on this very set, its size in the header; the rest is the dataset's, byte by byte."""
    root, results = made
    before = tree(root)
    said = export_for_hub(root, results, tmp_path / "shared")
    assert said.endswith(f"hf upload YOUR_NAME/digits-synthetic {tmp_path / 'shared'} . --repo-type dataset")
    after = tree(tmp_path / "shared")
    card = after.pop("README.md").decode()
    old = before.pop("README.md").decode()
    assert after == before == {name: content for name, content in tree(root).items() if name != "README.md"}
    header, old_header = (yaml.safe_load(text.split("---\n")[1]) for text in (card, old))
    assert header == old_header | {"size_categories": ["n<1K"]}
    for words in ("**Adding synthetic images helps**", "this is that of replicate 3", "0.123", "4.56", "a placebo"):
        assert words in card
    assert card.split("## How it was made")[1] == old.split("## How it was made")[1]


def test_a_set_of_other_images_gets_no_verdict(made: tuple[Path, Path], tmp_path: Path) -> None:
    """The answer on disk is not about it."""
    root, results = made
    change_json(str(results / "assess/3.json"), generator="4" * 64)
    with pytest.raises(UserError, match=r"no set that .*ablation\.json speaks of"):
        export_for_hub(root, results, tmp_path / "shared")
    assert not (tmp_path / "shared").exists()


@pytest.mark.parametrize(
    ("num_images", "named"),
    [(999, "n<1K"), (1000, "1K<n<10K"), (10_000, "10K<n<100K"), (99_999, "10K<n<100K"), (10**6, "1M<n<10M"),
     (10**9, "1B<n<10B"), (10**12 - 1, "100B<n<1T"), (10**12, "n>1T")],
)  # fmt: skip
def test_sizes_have_the_names_of_the_hub(num_images: int, named: str) -> None:
    """As its documentation of dataset cards lists them."""
    assert size_category(num_images) == named
