import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifier.augment import Augmentation
from pipeline.classifier.cell import Cell, run_cell
from pipeline.classifier.mixing import Plan, batch_rows, num_real, num_steps, real_subset
from pipeline.classifier.network import ConvNet, ResNet18, Shape, build_network
from pipeline.classifier.record import read_cell_record
from pipeline.classifier.training import (
    extract_features,
    load_classifier,
    measure_accuracy,
    predict,
    save_classifier,
    train_classifier,
)
from pipeline.files import to_json
from pipeline.images import LabelledImages, empty_like
from pipeline.params.schema import Params
from pipeline.runtime.errors import UserError

CPU = torch.device("cpu")


def quiet(metrics: dict[str, float], step: int) -> None:
    """A log that nobody reads."""


# ---- mixing --------------------------------------------------------------------------------------------------


@given(st.integers(0, 300), st.integers(1, 64), st.integers(0, 100), st.integers(0, 5))
def test_every_batch_holds_the_exact_share(step: int, batch: int, percent: int, seed: int) -> None:
    """A batch is full, its synthetic count is the share to within one image, and the running total is exact."""
    plan = Plan("batch", percent, batch, step + 1)
    real, synthetic = batch_rows(plan, step, (40, 90), seed=seed)
    assert len(real) + len(synthetic) == batch
    assert abs(len(synthetic) - batch * percent / 100) < 1
    total = sum(len(batch_rows(plan, s, (40, 90), seed=seed)[1]) for s in range(min(step, 12)))
    assert total == min(step, 12) * batch * percent // 100


@given(st.integers(1, 30), st.integers(1, 64), st.integers(0, 100))
def test_pretraining_comes_first_and_the_totals_stay(num_steps: int, batch: int, percent: int) -> None:
    """Synthetic images come before all real ones, in all exactly as many of each kind as with `batch`."""
    counts, totals = [], []
    for mixing in ("pretrain_finetune", "batch"):
        rows = [batch_rows(Plan(mixing, percent, batch, num_steps), s, (40, 90), seed=0) for s in range(num_steps)]
        counts.append([len(synthetic) for _, synthetic in rows])
        totals.append([np.concatenate(source).tolist() for source in zip(*rows, strict=True)])
        assert all(len(real) + len(synthetic) == batch for real, synthetic in rows)
    assert totals[0] == totals[1]  # the very rows, in the same order: only when they come differs
    assert counts[0] == sorted(counts[0], reverse=True)
    assert sum(0 < count < batch for count in counts[0]) <= 1  # the batch in which the kinds change
    if percent in (0, 100):
        assert counts[0] == counts[1]


def test_each_source_is_passed_through_without_replacement() -> None:
    """No real or synthetic image comes twice before all of its kind came once."""
    batches = [batch_rows(Plan("batch", 30, 10, 10), step, (14, 9), seed=1) for step in range(10)]
    for kind, size in ((0, 14), (1, 9)):
        rows = np.concatenate([batch[kind] for batch in batches])
        for start in range(0, len(rows) - size + 1, size):
            assert sorted(rows[start : start + size]) == list(range(size))


def test_seeds_pair_the_cells() -> None:
    """At equal seeds, the real images come in the same order whatever the share of synthetic ones."""
    alone = np.concatenate([batch_rows(Plan("batch", 0, 10, 7), step, (14, 9), seed=3)[0] for step in range(7)])
    mixed = np.concatenate([batch_rows(Plan("batch", 50, 10, 14), step, (14, 9), seed=3)[0] for step in range(14)])
    assert np.array_equal(alone, mixed)


@pytest.mark.parametrize(
    ("mode", "percent", "expected"),
    [("add", 25, 1000), ("add", 100, 0), ("replace", 25, 750), ("replace", 99, 10), ("replace", 100, 0)],
)
def test_real_images_of_a_cell(mode: str, percent: int, expected: int) -> None:
    """`add` keeps all, `replace` cuts by the percent, and at 100 % none is left."""
    assert num_real(mode, 1000, percent) == expected


@pytest.mark.parametrize(
    ("budget", "share", "percent", "expected"),
    [
        ("steps", 0.5, 50, 300),
        ("real_epochs", 1.0, 50, 600),
        ("real_epochs", 0.5, 0, 150),
        ("real_epochs", 0.5, 50, 300),
    ],
)
def test_budgets(budget: str, share: float, percent: int, expected: int) -> None:
    """`steps` is equal for all; `real_epochs` gives each real image as many visits as in the baseline."""
    assert num_steps(300, budget, share, percent) == expected


def test_learning_curve_sets_are_nested(patches: LabelledImages) -> None:
    """More percent adds images and takes none away; above 100 % they come from the reserve; too many is told."""
    train, reserve = patches.select(np.arange(40)), patches.select(np.arange(40, 60))
    half, more = real_subset(train, reserve, 50), real_subset(train, reserve, 125)
    assert np.array_equal(half.images, train.images[:20])
    assert np.array_equal(more.images, patches.images[:50])
    with pytest.raises(UserError, match=r"real_percent 200 needs 80 real images.*name at most 150"):
        real_subset(train, reserve, 200)


# ---- augmentation --------------------------------------------------------------------------------------------


def test_augmentation_only_moves_mirrors_and_covers(tiny: Params) -> None:
    """Every output is a shifted window of the reflected image, perhaps mirrored; the draws use the full range."""
    values = tiny.classifier.model_copy(update={"flip": True, "translate": 2, "cutout": 0})
    image = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1)
    padded = np.pad(image[0, :, :, 0].numpy(), 2, mode="reflect")
    windows = {
        side.tobytes(): (r, c, mirrored)
        for r in range(5)
        for c in range(5)
        for mirrored, side in enumerate((padded[r : r + 16, c : c + 16], padded[r : r + 16, c : c + 16][:, ::-1]))
    }
    augmented = Augmentation(values, 16, CPU)(image.repeat(2000, 1, 1, 1), seed=0, step=0)
    seen = {windows[one[:, :, 0].numpy().tobytes()] for one in augmented}
    assert len(seen) == 50


def test_cutout_is_one_whole_square(tiny: Params) -> None:
    """Each image loses exactly side x side pixels to grey, all inside, at varying places."""
    values = tiny.classifier.model_copy(update={"flip": False, "translate": 0, "cutout": 5})
    grey = Augmentation(values, 16, CPU)(torch.zeros(50, 16, 16, 3, dtype=torch.uint8), seed=0, step=1) == 128
    assert grey.sum((1, 2)).tolist() == [[25] * 3] * 50
    assert len({one.numpy().tobytes() for one in grey}) > 20


def test_augmentation_is_a_function_of_seed_and_step(tiny: Params, patches: LabelledImages) -> None:
    """The same step looks the same on resume; another step or seed does not."""
    values = tiny.classifier.model_copy(update={"translate": 2})
    images = torch.from_numpy(patches.images)
    looks = [Augmentation(values, 16, CPU)(images, seed=s, step=t) for s, t in ((0, 0), (0, 0), (0, 1), (1, 0))]
    assert torch.equal(looks[0], looks[1])
    assert not torch.equal(looks[0], looks[2])
    assert not torch.equal(looks[0], looks[3])


# ---- training ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("percent", "mixing"), [(0, "batch"), (50, "batch"), (50, "pretrain_finetune"), (100, "batch")]
)
def test_a_classifier_learns_from_either_source(
    tiny: Params, patches: LabelledImages, percent: int, mixing: str
) -> None:
    """Real only, mixed in either order and synthetic only all learn three easy classes."""
    none = empty_like(patches)
    real, synthetic = (none if percent == 100 else patches), (none if percent == 0 else patches)
    values = tiny.classifier.model_copy(update={"steps": 40})
    trained = train_classifier(values, real, synthetic, patches, synthetic_percent=percent, mixing=mixing,
                               num_steps=40, seed=0, device=CPU, log=quiet)  # fmt: skip
    assert measure_accuracy(predict(trained.network, patches, flip=False), patches) > 0.95
    assert trained.history[-1]["step"] == 40


def test_bfloat16_learns_as_well(tiny: Params, patches: LabelledImages) -> None:
    """Products in bfloat16 round, so the weights differ; they stay float32 and solve the task too."""
    weights = []
    for precision in ("float32", "bfloat16"):
        values = tiny.classifier.model_copy(update={"precision": precision})
        trained = train_classifier(values, patches, empty_like(patches), patches, synthetic_percent=0, mixing="batch",
                                   num_steps=40, seed=0, device=CPU, log=quiet)  # fmt: skip
        assert measure_accuracy(predict(trained.network, patches, flip=False), patches) > 0.95
        weights.append(trained.network.linear.weight)
    assert weights[1].dtype == torch.float32
    assert not torch.equal(*weights)


def test_resnet18_is_a_choice_and_is_told_from_its_files(tiny: Params, patches: LabelledImages, tmp_path: Path) -> None:
    """The plain network trains in the same loop, and a loaded one gives the same logits."""
    values = tiny.classifier.model_copy(update={"network": "resnet18", "batch_size": 4})
    trained = train_classifier(values, patches, empty_like(patches), patches, synthetic_percent=0, mixing="batch",
                               num_steps=1, seed=0, device=CPU, log=quiet)  # fmt: skip
    save_classifier(tmp_path, trained, patches, flip=False)
    loaded = load_classifier(tmp_path, CPU, patches)
    assert isinstance(loaded, ResNet18)
    few = patches.select(np.arange(4))
    assert extract_features(loaded, few).shape == (4, 512)
    assert np.array_equal(predict(loaded, few, flip=True), predict(trained.network, few, flip=True))


def test_resnet18_sees_small_images_at_their_size() -> None:
    """Its stem keeps all pixels: 11.2 million weights, and the first block works on 32x32."""
    network = build_network(Shape("resnet18", 8, 3, 10), seed=0)
    assert isinstance(network, ResNet18)
    assert sum(p.numel() for p in network.parameters()) == 11_173_962
    sizes = []
    network.body.layer1.register_forward_hook(lambda *args: sizes.append(args[2].shape))
    network(torch.zeros(2, 3, 32, 32))
    assert sizes == [(2, 64, 32, 32)]


def test_training_is_a_function_of_its_seed(tiny: Params, patches: LabelledImages) -> None:
    """Equal seeds give equal logits to the bit; another seed gives another network."""

    def logits(seed: int) -> np.ndarray:
        trained = train_classifier(tiny.classifier, patches, empty_like(patches), patches, synthetic_percent=0,
                                   mixing="batch", num_steps=6, seed=seed, device=CPU, log=quiet)  # fmt: skip
        return predict(trained.network, patches, flip=True)

    assert np.array_equal(logits(1), logits(1))
    assert not np.array_equal(logits(1), logits(2))


def test_a_cell_writes_everything_and_its_numbers_agree(tiny: Params, patches: LabelledImages, tmp_path: Path) -> None:
    """Accuracy in the metrics is that of the kept logits, and a loaded network gives the same logits."""
    cell = Cell("train_baseline", 100, 0, "batch", 7, 6, patches, empty_like(patches))
    run_cell(cell, tiny.classifier, patches, patches, num_corrupted=20, settings={"budget": "steps"}, device=CPU,
             log=quiet, out=tmp_path / "model", results=tmp_path)  # fmt: skip
    logits = np.load(tmp_path / "model" / "test_logits.npy")

    facts = json.loads((tmp_path / "cells" / "train_baseline-100-7.json").read_text())
    assert facts["test_accuracy"] == pytest.approx((logits.argmax(1) == patches.labels).mean(), abs=1e-6)
    assert np.mean(list(facts["test_accuracy_per_class"].values())) == pytest.approx(facts["test_accuracy"], abs=1e-6)
    assert (facts["num_real"], facts["num_synthetic"], facts["seed"]) == (60, 0, 7)
    about = json.loads((tmp_path / "model" / "classifier.json").read_text())
    assert (about["image_size"], about["flip"]) == (16, tiny.classifier.flip)
    loaded = load_classifier(tmp_path / "model", CPU, patches)
    assert np.array_equal(predict(loaded, patches, flip=about["flip"]), logits)
    assert (tmp_path / "history" / "train_baseline-100-7.csv").read_text().startswith("step,train_loss,val_accuracy\n")


def test_features_feed_the_linear_layer(patches: LabelledImages, tmp_path: Path) -> None:
    """Logits are the scaled linear map of the features that the assessment uses."""
    network = build_network(Shape("convnet", 8, 1, 3), seed=0).eval()
    features = torch.from_numpy(extract_features(network, patches))
    assert features.shape == (60, 32)
    assert isinstance(network, ConvNet)
    logits = network.linear(features) * network.scale
    assert np.allclose(logits.detach().numpy(), predict(network, patches, flip=False), atol=1e-5)


def test_a_pickle_in_disguise_is_refused(patches: LabelledImages, tmp_path: Path) -> None:
    """A weights file that is no safetensors is told in one line and never executed."""
    torch.save({"weight": torch.ones(1)}, tmp_path / "classifier.safetensors")
    (tmp_path / "classifier.json").write_text("{}")
    with pytest.raises(UserError, match="no classifier can be read here"):
        load_classifier(tmp_path, CPU, patches)


# ---- the record of a cell ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"test_loss": float("nan")}, "test_loss: Input should be a finite number"),
        ({"test_accuracy": 95.3}, "test_accuracy: Input should be less than or equal to 1"),
        ({"num_corrupted": 0}, "num_corrupted"),
        ({"test_accuracy_per_class": {}}, "test_accuracy_per_class"),
        ({"mode": None}, "mode and mixing"),
    ],
)
def test_a_corrupted_record_is_one_line(tmp_path: Path, change: dict[str, object], problem: str) -> None:
    """It names the file, the key and the cell's target; records of the repository are read and written as they are."""
    for file in Path("results/cells").glob("*.json"):
        assert to_json(read_cell_record(file).model_dump(exclude_none=True)) == file.read_bytes()
    path = tmp_path / "train_classifier-50-1.json"
    path.write_bytes(to_json(json.loads(Path("results/cells/train_classifier-50-0.json").read_bytes()) | change))
    with pytest.raises(UserError) as error:
        read_cell_record(path)
    assert str(error.value).startswith(f"{path}: corrupted ({problem}")
    assert str(error.value).endswith("; delete it and run: dvc repro train_classifier@50-1")
