"""`configure` of a folder of pictures: sizes that fit, so that prepare can draw them, and what the user chose stays."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.orchestration.fit import fit_choices
from pipeline.params.compose import compose_params, title_of
from pipeline.params.load import parse_params
from pipeline.runtime.errors import UserError
from pipeline.sources.load import load
from pipeline.sources.splits import check_sizes, split
from tests.project import ROOT

CHOICES = ["dataset=image_folder", "profile=cpu"]


def folder(root: Path, counts: dict[str, int], *, side: int = 40, shade: int = 0) -> Path:
    """So many different pictures below each of these folders; other ones for another `shade`."""
    for start, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixel = (number % 256, number // 256, 10 * start + shade)
            Image.new("RGB", (side + 9, side), pixel).save(root / name / f"{number}.png")
    return root


@settings(max_examples=12)
@given(st.lists(st.integers(8, 60), min_size=2, max_size=4), st.booleans())
def test_fitted_sizes_can_be_drawn(tmp_path_factory: pytest.TempPathFactory, counts: list[int], has_test: bool) -> None:
    """Whatever the classes hold, with an official test set or without: every split, learning curve and control."""
    root, classes = tmp_path_factory.mktemp("set"), {f"c{number}": count for number, count in enumerate(counts)}
    if has_test:
        folder(root / "test", dict.fromkeys(classes, 8), shade=5)
    folder(root / "train" if has_test else root, classes)
    params = parse_params(compose_params(fit_choices([*CHOICES, f"path={root}"])))
    splits = split(load(params.dataset), params.dataset, replicate=0)
    check_sizes(splits, params.ablation)


def test_reasons_are_printed_and_choices_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unequal classes, pictures of 70 pixels, a small train set; what the user names is left alone."""
    root = folder(tmp_path, {"ant": 20, "bee": 100}, side=70)
    choices = fit_choices([*CHOICES, f"dataset.path={root}", "dataset.val_size=6"])
    assert choices == [
        *CHOICES, f"dataset.path={root}", "dataset.val_size=6",
        f"dataset.title={title_of(str(root))}", "dataset.image_size=32", "dataset.balance=natural",
        "dataset.test_size=22", "dataset.select_size=10", "dataset.train_size=34",
        "ablation.real_percent=[25,50,100,200]",
    ]  # fmt: skip
    said = capsys.readouterr().out.splitlines()
    assert said[1:3] == [
        "dataset.image_size=32: the shorter side is 70 pixels in the median; profile cpu takes 32 at most",
        "dataset.balance=natural: 2 classes of 20 to 100 pictures",
    ]
    assert len(said) == 7
    assert fit_choices([*choices[:4], "dataset.train_size=60"])[-1] == "ablation.real_percent=[25,50,100]"


def test_other_sources_are_left_alone(tmp_path: Path) -> None:
    """And a folder that is not there is one line."""
    assert fit_choices(["dataset=digits", "profile=demo"]) == ["dataset=digits", "profile=demo"]
    mine = ["dataset=csv", f"path={tmp_path / 'my list.csv'}"]
    assert re.fullmatch(r"dataset\.title=my-list-[0-9a-f]{4}", fit_choices(mine)[-1])
    assert fit_choices([*mine, "dataset.title=mine"]) == [*mine, "dataset.title=mine"]
    with pytest.raises(UserError, match="is not a folder that can be read"):
        fit_choices([*CHOICES, f"path={tmp_path / 'none'}"])


def test_the_page_on_own_images_shows_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Line by line, but for the digits of where the folder lies."""
    root = folder(tmp_path / "pictures", {"ant": 20, "bee": 100}, side=70)
    fit_choices(["dataset=image_folder", "profile=demo", f"path={root}"])
    said = re.sub(r"pictures-[0-9a-f]{4}", "pictures-3f2a", capsys.readouterr().out)
    assert f"```\n{said}```" in (ROOT / "docs/own-images.md").read_text(encoding="utf-8")
