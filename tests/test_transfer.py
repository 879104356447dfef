"""A training that starts from a trained pair."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from pipeline.files import load_weights
from pipeline.gan import training
from pipeline.gan.build import build_networks
from pipeline.gan.loading import load_network
from pipeline.gan.networks import ImageShape, PixelUnshuffleDiscriminator
from pipeline.gan.transfer import Start, find_class_axes, match_rows, read_start
from pipeline.images import LabelledImages
from pipeline.params.graph import check_graph, fit_graph
from pipeline.params.schema import GanParams, Params
from pipeline.runtime.errors import UserError
from tests.bad_files import change_json, run
from tests.gan_inputs import RECIPES, assert_equal, make_gan, seeing, strict, train
from tests.project import ROOT

CLASSES = ("middle", "new", "top")  # of `patches`, whose are top, middle and bottom
OLD = (1, 2, 0)  # the numbers of the classes there that these start as


@pytest.fixture
def renamed(patches: LabelledImages) -> LabelledImages:
    """The images, with two of their classes at other numbers and one of another name."""
    return LabelledImages(patches.images, patches.labels, CLASSES)


def save_old(gan: GanParams, patches: LabelledImages, folder: Path) -> GanParams:
    """Trains and saves a pair; returns the values with which a training starts from it."""
    (folder / "state").mkdir()
    train(gan, patches, folder / "state", seed=5).save(folder / "old")
    return gan.model_copy(update={"init_from": str(folder / "old")})


def start_of(gan: GanParams, real: LabelledImages, replicate: int = 0) -> Start:
    """What the training starts from."""
    start = read_start(gan, real, replicate=replicate)
    assert start
    return start


NAMES = st.lists(st.sampled_from("abcdef"), unique=True, min_size=1)


@given(NAMES, NAMES, st.integers(0, 99))
def test_classes_are_matched_by_name_and_others_are_distinct(new: list[str], old: list[str], seed: int) -> None:
    """No two classes start as one old class unless there are fewer old ones than new ones, whatever they resemble."""
    likeness = np.random.Generator(np.random.Philox(seed)).normal(size=(len(new), len(old))).astype(np.float32)
    rows = match_rows(new, old, likeness)
    assert [old[row] for name, row in zip(new, rows, strict=True) if name in old] == [n for n in new if n in old]
    if len(set(new) | set(old)) <= len(old) or len(new) <= len(old):
        assert len(set(rows)) == len(rows)


def test_other_classes_start_as_what_they_resemble(tiny: Params, patches: LabelledImages, tmp_path: Path) -> None:
    """A discriminator that knows bright bands at the top, middle and bottom finds them under new names."""
    shuffled = LabelledImages(patches.images, (patches.labels + 1) % 3, ("low", "high", "central"))
    gan = make_gan(tiny, "r3", steps=100, probe_every=100)
    (tmp_path / "state").mkdir()
    train(gan, patches, tmp_path / "state").save(tmp_path / "old")
    gan = gan.model_copy(update={"init_from": str(tmp_path / "old")})
    assert start_of(gan, shuffled).record.classes == {"low": "bottom", "high": "top", "central": "middle"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_training_starts_as_the_old_pair(
    tiny: Params, patches: LabelledImages, renamed: LabelledImages, tmp_path: Path, recipe: str
) -> None:
    """Images of every class are to the bit those of the old class that it starts as, in spite of its number.

    Logits are up to rounding: a spectral norm sums the rows in their order.
    """
    gan = save_old(make_gan(tiny, recipe), patches, tmp_path)
    start = start_of(gan, renamed)
    generator, discriminator = build_networks(gan, ImageShape(16, 1, 3), seed=0)
    start.fill((generator, discriminator))
    old_generator, old_discriminator = (
        load_network(tmp_path / "old", name, "")[0].eval() for name in ("generator", "discriminator")
    )
    with torch.no_grad():
        z, y, old = torch.randn(6, gan.values.latent_dim), torch.arange(6) % 3, torch.tensor(OLD * 2)
        images = old_generator(z, old)
        assert torch.equal(generator.eval()(z, y), images)
        assert not torch.equal(generator(z, old), images)
        torch.testing.assert_close(discriminator.eval()(images, y)[0], old_discriminator(images, old)[0])
    assert start.record.classes == {"middle": "middle", "new": "bottom", "top": "top"}


@pytest.mark.parametrize("num_classes", [2, 5])
def test_there_may_be_fewer_or_more_classes(
    tiny: Params, patches: LabelledImages, tmp_path: Path, num_classes: int
) -> None:
    """Both networks take the classes that there are."""
    gan = save_old(make_gan(tiny, "hinge_sn"), patches, tmp_path)
    names = tuple("vwxyz"[:num_classes])
    real = LabelledImages(patches.images, patches.labels % num_classes, names)
    (tmp_path / "again").mkdir()
    trained = train(gan, real, tmp_path / "again", start=start_of(gan, real))
    assert trained.sampler.network.state_dict()["embed.weight"].shape[0] == num_classes


def test_the_record_says_where_from_and_is_silent_otherwise(
    tiny: Params, patches: LabelledImages, renamed: LabelledImages, tmp_path: Path
) -> None:
    """generator.json of a training from drawn weights has no key more than before."""
    gan = save_old(tiny.gan, patches, tmp_path)
    train(gan, renamed, tmp_path, start=(start := start_of(gan, renamed))).save(tmp_path / "new")
    old, new = (json.loads((tmp_path / name / "generator.json").read_text()) for name in ("old", "new"))
    assert new["transfer"] == start.record.model_dump()
    assert new.keys() - old.keys() == {"transfer"}


def test_a_resumed_transfer_gives_the_same_numbers(
    tiny: Params, patches: LabelledImages, renamed: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after a restart and run again, weights and history are those of a run that was not, to the bit."""
    gan = save_old(make_gan(tiny, "r3", health=strict(tiny)), patches, tmp_path)
    start, rows = start_of(gan, renamed), [{"diversity_weakest": 0.01}]
    whole = train(gan, renamed, tmp_path, seeing(rows), start=start)
    monkeypatch.setattr(training, "SECONDS_BETWEEN_SAVES", 0.0)
    steps = iter(range(1, 100))

    def die() -> int:
        if next(steps) == 6:
            raise KeyboardInterrupt
        return 0

    with pytest.raises(KeyboardInterrupt):
        train(gan, renamed, tmp_path, seeing(rows, stop_wanted=die), start=start)
    assert whole.description.restarts == 1
    assert_equal(whole, train(gan, renamed, tmp_path, start=start))


def test_an_alarm_goes_back_to_the_old_weights(
    tiny: Params, patches: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no state was healthy yet, a restart begins with the weights that were taken over, not with drawn ones."""
    gan = save_old(tiny.gan, patches, tmp_path)
    monkeypatch.setattr(training, "learning_rate", lambda gan, step, restarts: 0.0 if restarts else 1e30)
    trained = train(gan, patches, tmp_path, start=start_of(gan, patches))
    assert trained.description.restarts == 1
    old = load_weights(tmp_path / "old", "generator")
    assert all(torch.equal(weight, old[name]) for name, weight in trained.sampler.network.named_parameters())


def test_a_replicate_takes_its_own_pair(tiny: Params, patches: LabelledImages, tmp_path: Path) -> None:
    """Of a folder with one generator a replicate."""
    gan = save_old(tiny.gan, patches, tmp_path)
    shutil.move(tmp_path / "old", tmp_path / "all/3")
    gan = gan.model_copy(update={"init_from": str(tmp_path / "all")})
    assert torch.equal(
        start_of(gan, patches, 3).generator["embed.weight"],
        load_weights(tmp_path / "all/3", "generator")["embed.weight"],
    )
    with pytest.raises(UserError, match=r"all/4 holds a generator.json; name a trained generator's folder"):
        read_start(gan, patches, replicate=4)


def drop(name: str) -> Callable[[Path], object]:
    """Removes a file of the old pair."""
    return lambda folder: (folder / name).unlink()


def change(**values: object) -> Callable[[Path], object]:
    """Changes both descriptions of the old pair."""

    def spoil(folder: Path) -> None:
        for name in ("generator", "discriminator"):
            change_json(str(folder / f"{name}.json"), **values)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop("discriminator.safetensors"), "old/discriminator.safetensors: not found; the four files"),
        (drop("discriminator.json"), "old/discriminator.json: not found; the four files"),
        (drop("generator.safetensors"), "old/generator.safetensors: not found; the four files"),
        (shutil.rmtree, "neither it nor .*old/0 holds a generator.json"),
        (change(recipe="dcgan", width=9), "generator.json: recipe is dcgan, not r3; width is 9, not 8: set the same"),
        (change(image_size=32, channels=3), "image_size is 32, not 16; channels is 3, not 1"),
        (change(networks="os:system"), "asks for the networks 'os:system'"),
        (lambda folder: change_json(str(folder / "generator.json"), seed=9), "are of two trainings"),
    ],
)
def test_a_pair_that_does_not_fit_is_one_line(
    tiny: Params, patches: LabelledImages, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    """What is wrong, in which file, and what to do."""
    gan = save_old(tiny.gan, patches, tmp_path)
    spoil(tmp_path / "old")
    with pytest.raises(UserError, match=rf"^params.yaml: gan.init_from: .*{message}"):
        read_start(gan, patches, replicate=0)


class OneHot(nn.Module):
    """Takes z and the class side by side."""

    def __init__(self, latent_dim: int, shape: ImageShape) -> None:
        super().__init__()
        self.seed, self.shape = nn.Linear(latent_dim + shape.num_classes, shape.size**2), shape

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        x = torch.cat([z, nn.functional.one_hot(y, self.shape.num_classes)], 1)
        images: Tensor = self.seed(x).unflatten(1, (1, self.shape.size, self.shape.size))
        return images


def build_one_hot(latent_dim: int, width: int, shape: ImageShape) -> tuple[nn.Module, nn.Module]:
    """A generator of the user's without class rows."""
    return OneHot(latent_dim, shape), PixelUnshuffleDiscriminator(width, shape)


def test_own_networks_without_class_rows_are_one_line(tiny: Params) -> None:
    """Its first layer grows with the classes, but holds z too."""
    gan = make_gan(tiny, "r3", networks="tests.test_transfer:build_one_hot")
    with pytest.raises(UserError, match=r"seed.weight has not one row a class; use an nn.Embedding"):
        find_class_axes(gan, ImageShape(16, 1, 3))


def test_the_graph_depends_on_the_folder(tiny: Params, tmp_path: Path) -> None:
    """`configure` adds the dep and takes it out again, to the byte; a graph without it is refused."""
    file, committed = tmp_path / "dvc.yaml", (ROOT / "dvc.yaml").read_bytes()
    file.write_bytes(committed)
    started = tiny.model_copy(update={"gan": tiny.gan.model_copy(update={"init_from": "old"})})
    with pytest.raises(UserError, match=r"train_gan lacks the dep `- \$\{gan.init_from\}`"):
        check_graph(file, started)
    fit_graph(file, started)
    check_graph(file, started)
    assert "    deps:\n      - ${gan.init_from}\n      - stages/train_gan.py\n" in file.read_text()
    with pytest.raises(UserError, match=r"train_gan has a dep too much, \$\{gan.init_from\}: compose"):
        check_graph(file, tiny)
    fit_graph(file, tiny)
    assert file.read_bytes() == committed


def test_the_stage_starts_from_the_folder(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run by its command, it takes the pair and says so in its description; other state than without is resumed."""
    shutil.copytree("models/gan/0", "old")
    params = Path("params.yaml").read_text()
    assert "init_from: ''" in params
    Path("params.yaml").write_text(params.replace("init_from: ''", "init_from: old"))
    assert run("train_gan", monkeypatch) == 0
    digits = {str(k): str(k) for k in range(10)}
    assert json.loads(Path("models/gan/0/generator.json").read_text())["transfer"]["classes"] == digits
    assert Path("models/gan/0/generator.safetensors").read_bytes() != Path("old/generator.safetensors").read_bytes()
