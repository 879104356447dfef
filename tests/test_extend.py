"""New classes of a trained generator: old images stay, new rows learn, classifiers of all classes are trained."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.dataset.extend import extend_by_folder
from pipeline.dataset.regenerate import regenerate_rows
from pipeline.dataset.verify import verify_dataset
from pipeline.evaluation.new_classes import compare_arms
from pipeline.extend.arms import ExtendedData, run_arm, training_set
from pipeline.extend.extension import ExtensionPlan, extend_generator, first_shots
from pipeline.extend.record import ExtendedCell
from pipeline.extend.rows import widen
from pipeline.extend.warps import MILD, STRONG, warped_copies
from pipeline.gan.build import build_networks
from pipeline.gan.description import read_description
from pipeline.gan.labels import Labels
from pipeline.gan.sampling import Sampler
from pipeline.images import LabelledImages
from pipeline.params.compose import write_params
from pipeline.params.schema import Arm, ExtendParams, Params
from pipeline.runtime.errors import UserError
from pipeline.shards.reader import read_images
from tests.gan_inputs import CPU, RECIPES, make_gan, train
from tests.project import TINY

NAMES = ("top", "middle", "bottom", "left")


def values_of(tiny: Params, **changes: object) -> ExtendParams:
    """Few steps."""
    return tiny.extend.model_copy(update={"steps": 20, "num_targets": 8, **changes})


@pytest.fixture(scope="module")
def left() -> LabelledImages:
    """12 images of a class that `patches` has not: bright left."""
    images = np.random.default_rng(5).integers(0, 60, (12, 16, 16, 1)).astype(np.uint8)
    images[:, :, :5] += 180
    return LabelledImages(images, np.full(12, 3, np.int64), NAMES)


def only(label: int) -> Labels:
    """One class for ever."""
    return Labels(np.empty(0, np.int64), np.array([label]))


@pytest.fixture(scope="module")
def trained(tiny: Params, patches: LabelledImages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a pair of eight steps on `patches`."""
    folder = tmp_path_factory.mktemp("trained")
    train(tiny.gan, patches, folder / "state").save(folder / "gan")
    return folder / "gan"


@pytest.mark.parametrize("method", ["rows", "combination"])
def test_old_classes_draw_equal_bytes(
    tiny: Params, trained: Path, left: LabelledImages, tmp_path: Path, method: str
) -> None:
    """The extended generator on disk gives the old one's pixels for the old classes, and others for the new one."""
    plan = ExtensionPlan(trained, "", left, values_of(tiny, method=method), 0)
    extend_generator(plan, tmp_path / "a", CPU)
    extend_generator(plan, tmp_path / "b", CPU)
    assert (tmp_path / "a/generator.safetensors").read_bytes() == (tmp_path / "b/generator.safetensors").read_bytes()
    old, new = (Sampler.load(folder, CPU, networks="") for folder in (trained, tmp_path / "a"))
    assert new.class_names == NAMES
    before, after = (sampler.draw(0, 300, seed=1, std=1.0, labels=Labels.balanced(3))[0] for sampler in (old, new))
    assert before.tobytes() == after.tobytes()
    fresh = new.draw(0, 64, seed=1, std=1.0, labels=only(3))[0]
    assert all((fresh != old.draw(0, 64, seed=1, std=1.0, labels=only(k))[0]).any() for k in range(3))


def test_new_rows_come_nearer_to_their_images(
    tiny: Params, trained: Path, left: LabelledImages, tmp_path: Path
) -> None:
    """More steps, less loss."""
    losses = []
    for steps in (1, 60):
        plan = ExtensionPlan(trained, "", left, values_of(tiny, steps=steps), 0)
        extend_generator(plan, tmp_path / str(steps), CPU)
        losses.append(float((tmp_path / str(steps) / "extension.json").read_text().split('"loss": ')[1].split(",")[0]))
    assert losses[1] < 0.9 * losses[0]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_has_rows(tiny: Params, trained: Path, recipe: str) -> None:
    """In all of them the new class starts as the mean of the old rows."""
    gan = make_gan(tiny, recipe)
    about = read_description(trained, "generator").model_copy(
        update={"recipe": recipe, "latent_dim": gan.values.latent_dim, "width": gan.values.width}
    )
    generator, _ = build_networks(gan, about.shape, seed=0)
    widened = widen(generator.eval(), about, 2)
    state = widened.network.state_dict()
    assert widened.axes
    for name, axis in widened.axes.items():
        assert torch.equal(state[name].narrow(axis, 0, 3), generator.state_dict()[name])
        assert torch.allclose(state[name].select(axis, 4), generator.state_dict()[name].mean(axis))


def test_warped_copies_begin_with_the_images(left: LabelledImages) -> None:
    """Then each is another, and a function of the seed; strong ones are further off."""
    mild, strong = (warped_copies(left, 30, warp, seed=0, stream=43).images for warp in (MILD, STRONG))
    assert (mild[:12] == left.images).all()
    assert len({image.tobytes() for image in mild}) == 30
    assert (mild == warped_copies(left, 30, MILD, seed=0, stream=43).images).all()
    far = [np.abs(found[12:24].astype(int) - left.images).mean() for found in (mild, strong)]
    assert 0 < far[0] < far[1]


@pytest.fixture
def data(patches: LabelledImages, left: LabelledImages) -> ExtendedData:
    """Two shots of the new class."""
    old = LabelledImages(patches.images, patches.labels, NAMES)
    both = LabelledImages(
        np.concatenate([patches.images, left.images]), np.concatenate([patches.labels, left.labels]), NAMES
    )
    drawn = LabelledImages(255 - left.images, left.labels, NAMES)
    return ExtendedData(old, first_shots(left, 2), drawn, left, both, both)


@pytest.mark.parametrize(
    ("arm", "shots", "drawn", "different"),
    [("real_only", 2, 0, 2), ("oversampled", 20, 0, 2), ("augmented", 2, 0, 20), ("synthetic", 10, 10, 12),
     ("augmented_synthetic", 2, 10, 20), ("oracle", 4, 0, 12)],
)  # fmt: skip
def test_arms_differ_in_the_new_class_alone(
    data: ExtendedData, arm: Arm, shots: int, drawn: int, different: int
) -> None:
    """Every class has 20 rows but in real_only; of the new one so many are the shots, drawn, or different at all."""
    images = training_set(arm, data, seed=0)
    counts = np.bincount(images.labels).tolist()
    assert counts == [20, 20, 20, 2 if arm == "real_only" else 20]
    new = [image.tobytes() for image in images.images[images.labels == 3]]
    assert sum(image in {one.tobytes() for one in data.shots.images} for image in new) == shots
    assert sum(image in {one.tobytes() for one in data.drawn.images} for image in new) == drawn
    assert len(set(new)) == different


def test_a_classifier_of_all_classes_is_measured(data: ExtendedData, tiny: Params) -> None:
    """The oracle sees real images of the new class, and finds it."""
    classifier = tiny.classifier.model_copy(update={"steps": 40})
    cell = run_arm("oracle", data, classifier, num_shots=2, seed=0, device=CPU)
    assert (cell.num_new_test, cell.num_old_test, cell.num_images) == (12, 60, 80)
    assert cell.new_recall > 0.5
    expected = 2 * cell.new_recall * cell.old_accuracy / (cell.new_recall + cell.old_accuracy)
    assert cell.harmonic_mean == pytest.approx(expected, abs=1e-5)


def test_a_folder_of_pictures_becomes_a_class(
    trained: Path, left: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its dataset is sound, is drawn again by its generator, and holds the class; what is wrong costs one line."""
    monkeypatch.chdir(tmp_path)
    write_params(Path("params.yaml"), [*TINY, "extend.steps=5", "synthesize.num_images=40"])
    Path("pictures").mkdir()
    for number, image in enumerate(left.images):
        Image.fromarray(image[..., 0]).save(f"pictures/{number}.png")
    said = extend_by_folder("left", Path("pictures"), trained, Path("out"))
    assert "'left' from 12 images" in said
    assert verify_dataset(Path("out/dataset")).startswith("OK")
    assert "40 rows drawn again: 0.0000 %" in regenerate_rows(
        Path("out/dataset"), 40, Path("out/generator"), tolerance=0
    )
    assert np.bincount(read_images(Path("out/dataset/data")).labels).tolist() == [10] * 4
    for name, folder, line in (("top", "pictures", "give a name of its own"), ("new", "none", "is no folder"),
                               ("left", "pictures", "is there already")):  # fmt: skip
        with pytest.raises(UserError, match=line):
            extend_by_folder(name, Path(folder), trained, Path("out"))


def cells(arm: Arm, *recalls: float) -> list[ExtendedCell]:
    """A cell a replicate."""
    return [
        ExtendedCell(
            arm=arm, num_shots=5, replicate=replicate, steps=1, num_images=1, num_new_test=100, num_old_test=900,
            new_recall=recall, old_accuracy=0.9, harmonic_mean=0.5, val_harmonic_mean=0.5,
        )
        for replicate, recall in enumerate(recalls)
    ]  # fmt: skip


def test_arms_are_compared_by_replicate() -> None:
    """Replicates of very different recall, with the same gain each: a clear difference, under one correction."""
    found = compare_arms(
        ["left"],
        {("oversampled", 5): cells("oversampled", 0.1, 0.5, 0.8), ("synthetic", 5): cells("synthetic", 0.2, 0.6, 0.9),
         ("real_only", 5): cells("real_only", 0.1, 0.5, 0.8)},
    )  # fmt: skip
    gain, none = found.comparisons
    assert (gain.arm, gain.against, none.arm) == ("synthetic", "oversampled", "real_only")
    assert gain.new_recall_mean == pytest.approx(0.1)
    assert 0 < gain.new_recall_low < 0.1 < gain.new_recall_high
    assert gain.p_value_holm < 0.05
    assert none.p_value_holm == 1


def test_unlike_images_are_refused(tiny: Params, trained: Path, left: LabelledImages, tmp_path: Path) -> None:
    """Shots among other classes, or of another size, are refused before anything is fitted."""
    wrong = LabelledImages(left.images, left.labels, ("a", "b", "c", "left"))
    large = LabelledImages(np.zeros((1, 32, 32, 1), np.uint8), left.labels[:1], NAMES)
    for shots, line in ((wrong, "draws the classes"), (large, "draws images of")):
        with pytest.raises(UserError, match=line):
            extend_generator(ExtensionPlan(trained, "", shots, values_of(tiny), 0), tmp_path, CPU)
