"""What a result says of images that come from a set, where no GAN has been."""

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from pipeline.evaluation.origin import leak_warnings, set_sentences, words
from pipeline.evaluation.report.write import to_text
from pipeline.evaluation.result import Result, read_result
from pipeline.files import write_json
from pipeline.shards.imported import CopyCount, ImportedSet
from tests.evaluation_files import evaluate_and_write, write_inputs
from tests.evaluation_inputs import make_params
from tests.test_imported import SET

CLEAN = SET.model_copy(
    update={
        "copies": {split: CopyCount(exact=0, near=1, near_expected_percent=1.0) for split in ("test", "val", "select")},
        "num_images": 100,
        "num_dropped": 3,
    }
)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A folder without a file of any GAN, evaluated into `out`."""
    folder = tmp_path_factory.mktemp("inputs")
    params = make_params("gan.recipe=none", "synthesize.source=folder", "synthesize.path=/x/diffusion")
    write_inputs(folder, params, {25: 0.004, 50: 0.01, 100: -0.03}.__getitem__)
    shutil.rmtree(folder / "results/gan")
    shutil.rmtree(folder / "results/history")
    shutil.rmtree(folder / "data/collected/gan")
    for replicate in params.ablation.replicates:
        place = folder / "data/collected/folder" / str(replicate)
        write_json(place / "set.json", CLEAN.model_copy(update={"seed": replicate}).model_dump())
        Image.new("L", (160, 160)).save(place / "samples.png")
    return folder, evaluate_and_write(folder, params, folder / "out")


def test_a_report_of_a_set_speaks_of_no_gan(evaluated: tuple[Path, Result]) -> None:
    """Verdict, setup and page say what the replicates have of their own, and what was taken from the set."""
    folder, result = evaluated
    assert result.warnings == ()
    assert "each with images of its own from this set)" in result.verdict_text
    page, text = (folder / "out/report.html").read_text("utf-8"), (folder / "out/report.md").read_text("utf-8")
    for told in (page, text):
        assert "From the set diffusion (90 images of these classes) every replicate takes 100." in told
        assert "test 0 and 5, val 0 and 5, select 0 and 5" in told
        assert "another program made" in told
    assert "GAN" not in re.sub(r"base64,[^\"]*", "", page.split("<details>")[0])
    assert "GAN" not in text.split("### Reproduce")[0]
    assert "GAN" not in to_text(result)
    assert read_result(folder / "out/ablation.json").sets[0].name == "diffusion"
    assert {entry.small_cas for entry in result.replicates} == {None}


def sets(exact: int, near: int, dropped: int, subset: str = "disjoint") -> list[ImportedSet]:
    """Two replicates of 100 images each that copy so many of test."""
    counts = CLEAN.copies | {"test": CopyCount(exact=exact, near=near, near_expected_percent=1.0)}
    return [CLEAN.model_copy(update={"copies": counts, "num_dropped": dropped, "subset": subset})] * 2


@pytest.mark.parametrize(("exact", "near", "warned"), [(0, 1, False), (0, 7, False), (0, 8, True), (1, 0, True)])
def test_leaks_are_warned_of_beyond_chance(exact: int, near: int, warned: bool) -> None:
    """An exact copy always; near ones where they are more than three times those of unseen real images, 18 of 600."""
    found = list(leak_warnings(sets(exact, near, 3)))
    assert len(found) == warned
    if warned:
        assert f"test {2 * exact} and {2 * near}" in found[0]
        assert "6 are left out of training." in found[0]


def test_a_leak_that_is_trained_on_is_no_gain_to_trust() -> None:
    """With drop_copies off."""
    assert "so a leak can look like a gain." in next(leak_warnings(sets(5, 5, 0)))


def test_a_set_without_any_copy_has_none_left_out(evaluated: tuple[Path, Result]) -> None:
    """That nothing is dropped is then no word about drop_copies."""
    none = CopyCount(exact=0, near=0, near_expected_percent=1.0)
    clean = CLEAN.model_copy(update={"copies": dict.fromkeys(CLEAN.copies, none), "num_dropped": 0})
    (sentence,) = set_sentences(evaluated[1].model_copy(update={"sets": (clean,)}))
    assert sentence.endswith("There is none to leave out.")


def test_only_disjoint_sets_stand_for_more_than_one_set() -> None:
    """Where replicates share images, all is said of this set."""
    assert "intervals cover other images" in words(sets(0, 0, 0)).replicates
    for subset in ("whole", "overlapping"):
        assert "all is said of this set" in words(sets(0, 0, 0, subset)).replicates
    assert "another training of the generator" in words(()).replicates
