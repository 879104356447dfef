"""`synthmix dataset` on folders that are damaged, or come from somebody else."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from pipeline.dataset.verify import find_problems
from pipeline.shards.reader import shard_files
from tests.bad_files import Check, Spoil, Work, change_json, cut, run, set_param

SET, GAN, MANIFEST = "data/synthetic/0", "models/gan/0", "data/synthetic/0/manifest.json"
VERIFY = partial(find_problems, Path(SET))
REDRAW = f"dataset regenerate {SET} --rows 2 --generator {GAN}"


def recipe(**values: Any) -> None:
    """Changes values of the manifest's recipe; Ellipsis removes one."""
    wanted = json.loads(Path(MANIFEST).read_text())["recipe"] | values
    change_json(MANIFEST, recipe={key: value for key, value in wanted.items() if value is not ...})


def lead_outside() -> None:
    """The manifest names a file of the system's as its shard."""
    splits = json.loads(Path(MANIFEST).read_text())["splits"]
    splits["train"][0]["file"] = "data/../../../../../etc/passwd"
    change_json(MANIFEST, splits=splits)


def rename_class(name: str) -> None:
    """Gives the first class another name in the shards."""
    for file in shard_files(Path(SET, "data")):
        table = pq.read_table(file)
        about = json.loads(table.schema.metadata[b"huggingface"])
        about["info"]["features"]["label"]["names"][0] = name
        metadata = dict(table.schema.metadata) | {b"huggingface": json.dumps(about).encode()}
        pq.write_table(table.replace_schema_metadata(metadata), file)


def replace_generator() -> None:
    """Weights that drew other images, whole and of the right shape."""
    from safetensors.numpy import load_file, save_file

    weights = {name: array.copy() for name, array in load_file(f"{GAN}/generator.safetensors").items()}
    weights["seed.weight"] += 1
    save_file(weights, f"{GAN}/generator.safetensors")


def without_params() -> None:
    """A generator that names code, where no params.yaml says which."""
    change_json(f"{GAN}/generator.json", networks="os:system")
    Path("params.yaml").unlink()


CASES: dict[str, tuple[Work, Spoil, tuple[str, ...]]] = {
    "manifest: missing": (VERIFY, Path(MANIFEST).unlink, (MANIFEST, "not found")),
    "manifest: cut off": (VERIFY, lambda: cut(MANIFEST, 0.5), (MANIFEST, "corrupted")),
    "manifest: a list": (VERIFY, lambda: Path(MANIFEST).write_text("[]"), (MANIFEST, "corrupted")),
    "manifest: nested": (VERIFY, lambda: Path(MANIFEST).write_text("[" * 10**5), (MANIFEST, "corrupted")),
    "manifest: leads outside": (VERIFY, lead_outside, (MANIFEST, "is no shard in data")),
    "manifest: counts are text": (VERIFY, lambda: change_json(MANIFEST, num_images="40"), (MANIFEST, "num_images")),
    "recipe: seed missing": (REDRAW, lambda: recipe(seed=...), (MANIFEST, "recipe.seed")),
    "recipe: seed is text": (REDRAW, lambda: recipe(seed="0"), (MANIFEST, "seed")),
    "recipe: shares of gigabytes": (
        REDRAW, lambda: recipe(class_balance="shares", class_shares=[10**12] * 10), (MANIFEST, "class_shares")),
    "recipe: real counts of terabytes": (REDRAW, lambda: recipe(real_counts=[10**15] * 10), (MANIFEST, "count")),
    "recipe: z far out": (REDRAW, lambda: recipe(latent_std=1e300), (MANIFEST, "latent_std")),
    "generator: another": (REDRAW, replace_generator, (GAN, "is generator", "was drawn by", "--generator")),
    "generator: names code": (
        REDRAW, lambda: change_json(f"{GAN}/generator.json", networks="os:system"), ("os:system", "gan.networks")),
    "generator: names code, no params": (REDRAW, without_params, ("os:system", "gan.networks")),
    "sample: no such row": (f"dataset sample {SET} --index 99 --out x.png", lambda: None, ("no row has index 99",)),
    "sample: shard cut off": (
        f"dataset sample {SET} --index 1 --out x.png", lambda: cut(f"{SET}/data/train-00000-of-00001.parquet", 0.5),
        ("not a readable Parquet file",)),
    "export: is there already": (
        f"dataset export {SET} --to pt --out params.yaml", lambda: None, ("params.yaml: is there already",)),
    "export: a class leads outside": (
        f"dataset export {SET} --to image_folder --out out", lambda: rename_class("../../x"),
        ("'../../x'", "export to")),
    "export: a class of a zero byte": (
        f"dataset export {SET} --to image_folder --out out", lambda: rename_class("a\0b"), ("cannot name a folder",)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_bad_dataset_is_one_line(case: str, workdir: Path, check_refusal: Check) -> None:
    """A manifest, recipe or generator of anybody's: one line, exit code 2, nothing written, nothing run."""
    work, damage, told = CASES[case]
    damage()
    check_refusal(work, *told)


def test_a_whole_dataset_is_verified(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that the cases spoil is one without fault: it is verified and drawn again."""
    assert run(REDRAW, monkeypatch) == 0


def test_rows_are_drawn_again_with_the_threads_of_the_manifest(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums round by the number of threads, so those that drew a dataset draw its rows again, whatever runs here."""
    before = torch.get_num_threads()
    try:
        set_param("ablation.threads", 2)
        assert run("synthesize", monkeypatch) == 0
        torch.set_num_threads(1)
        assert run(REDRAW, monkeypatch) == 0
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
