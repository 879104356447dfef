"""What `collect` takes, and what it refuses."""

import shutil
from pathlib import Path

import pytest

from tests.bad_files import Check, change_json, run, set_param

SOURCES = {
    "gan/{}/generator.json": "models",
    "scores/{}/neighbours.png": "data",
    "train_baseline/100-{}/test_logits.npy": "models",
    "train_classifier/50-{}/test_logits.npy": "models",
}
RECORDS = ("assess/{}.json", "cells/train_baseline-100-{}.json", "cells/train_classifier-50-{}.json")


@pytest.fixture
def project(workdir: Path) -> Path:
    """All that it reads; both replicates have the files of the first."""
    for name, above in SOURCES.items():
        old, new = (workdir / above / name.format(replicate) for replicate in (0, 1))
        shutil.copytree(old.parent, new.parent)
    for name in RECORDS:
        shutil.copy(workdir / "results" / name.format(0), workdir / "results" / name.format(1))
    return workdir


def test_what_evaluate_needs_is_copied(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the byte, and nothing else; what an earlier grid left goes."""
    stray = project / "data/collected/gan/9/generator.json"
    stray.parent.mkdir(parents=True)
    stray.touch()
    assert run("collect", monkeypatch) == 0
    out, sources = project / "data/collected", {name.format(r): SOURCES[name] for name in SOURCES for r in (0, 1)}
    assert {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()} == set(sources)
    for name, above in sources.items():
        assert (out / name).read_bytes() == (project / above / name).read_bytes()


def test_it_names_what_is_to_be_pulled(project: Path, check_refusal: Check) -> None:
    """One line with all stages, and what was there before stays."""
    for name in ("models/train_classifier/50-0/test_logits.npy", "data/scores/0/neighbours.png"):
        (project / name).unlink()
    told = "data/scores/0/neighbours.png: not found, nor 1 more; run: dvc pull assess train_classifier, or dvc "
    check_refusal("collect", told)


def test_real_only_cells_are_compared_too(project: Path, check_refusal: Check) -> None:
    """Where they are the baselines; a cell without its record is not whole."""
    set_param("ablation.controls", ["real_only"])
    check_refusal("collect", "results/cells/train_control-real_only-50-0.json: not found; run: dvc repro train_control")


def test_records_must_be_of_the_same_images(project: Path, check_refusal: Check) -> None:
    """They stand for it among the deps."""
    change_json("results/assess/0.json", generator=64 * "0")
    check_refusal("collect", "results/assess/0.json: is of other images than models/gan/0; run: dvc repro assess")
