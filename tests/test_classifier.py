from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifier.augment import Augmentation
from pipeline.classifier.inference import extract_features, measure_accuracy, predict
from pipeline.classifier.mixture import Mixture, batch_rows
from pipeline.classifier.network import Architecture, ConvNet, ResNet18, build_network
from pipeline.classifier.training import TrainedClassifier, TrainingData, train_classifier
from pipeline.images import LabelledImages, empty_like
from pipeline.params.schema import Params

CPU = torch.device("cpu")


# ---- which images --------------------------------------------------------------------------------------------------


@given(st.integers(0, 300), st.integers(1, 64), st.integers(0, 100), st.integers(0, 5))
def test_every_batch_holds_the_exact_share(step: int, batch: int, percent: int, seed: int) -> None:
    """A batch is full, its synthetic count is the share to within one image, and the running total is exact."""
    mixture = Mixture("batch", percent, batch, step + 1)
    real, synthetic = batch_rows(mixture, step, (40, 90), seed=seed)
    assert len(real) + len(synthetic) == batch
    assert abs(len(synthetic) - batch * percent / 100) < 1
    total = sum(len(batch_rows(mixture, s, (40, 90), seed=seed)[1]) for s in range(min(step, 12)))
    assert total == min(step, 12) * batch * percent // 100


@given(st.integers(1, 30), st.integers(1, 64), st.integers(0, 100))
def test_pretraining_comes_first_and_the_totals_stay(num_steps: int, batch: int, percent: int) -> None:
    """Synthetic images come before all real ones, in all exactly as many of each kind as with `batch`."""
    counts, totals = [], []
    for mixture in (Mixture(mixing, percent, batch, num_steps) for mixing in ("pretrain_finetune", "batch")):
        rows = [batch_rows(mixture, step, (40, 90), seed=0) for step in range(num_steps)]
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
    batches = [batch_rows(Mixture("batch", 30, 10, 10), step, (14, 9), seed=1) for step in range(10)]
    for kind, size in ((0, 14), (1, 9)):
        rows = np.concatenate([batch[kind] for batch in batches])
        for start in range(0, len(rows) - size + 1, size):
            assert sorted(rows[start : start + size]) == list(range(size))


def test_seeds_pair_the_cells() -> None:
    """At equal seeds, the real images come in the same order whatever the share of synthetic ones."""

    def order(percent: int, num_steps: int) -> list[int]:
        mixture = Mixture("batch", percent, 10, num_steps)
        return [int(row) for step in range(num_steps) for row in batch_rows(mixture, step, (14, 9), seed=3)[0]]

    assert order(0, 7) == order(50, 14)


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
    """The same step draws the same on resume; another step or seed does not."""
    values = tiny.classifier.model_copy(update={"translate": 2})
    images = torch.from_numpy(patches.images)
    drawn = [Augmentation(values, 16, CPU)(images, seed=s, step=t) for s, t in ((0, 0), (0, 0), (0, 1), (1, 0))]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[3])


# ---- training ------------------------------------------------------------------------------------------------


def train(
    params: Params,
    real: LabelledImages,
    synthetic: LabelledImages | None = None,
    *,
    percent: int = 0,
    mixing: Literal["batch", "pretrain_finetune"] = "batch",
    seed: int = 0,
    **values: object,
) -> TrainedClassifier:
    """A classifier of the tiny params but for `values`, measured on its own images."""
    classifier = params.classifier.model_copy(update={"steps": 40} | values)
    synthetic = synthetic or empty_like(real)
    data = TrainingData(real, synthetic, val=real or synthetic)
    mixture = Mixture(mixing, percent, classifier.batch_size, classifier.steps)
    return train_classifier(classifier, data, mixture, seed=seed, device=CPU)


@pytest.mark.parametrize(
    ("percent", "mixing"), [(0, "batch"), (50, "batch"), (50, "pretrain_finetune"), (100, "batch")]
)
def test_a_classifier_learns_from_either_source(
    tiny: Params, patches: LabelledImages, percent: int, mixing: Literal["batch", "pretrain_finetune"]
) -> None:
    """Real only, mixed in either order and synthetic only all learn three easy classes."""
    real, synthetic = (empty_like(patches) if percent == share else patches for share in (100, 0))
    trained = train(tiny, real, synthetic, percent=percent, mixing=mixing)
    assert measure_accuracy(predict(trained.network, patches, flip=False), patches) > 0.95
    assert [row["step"] for row in trained.history] == [10, 20, 30, 40]
    assert trained.history[-1]["val_accuracy"] > 0.95
    assert trained.history[-1]["train_loss"] < trained.history[0]["train_loss"]


def test_bfloat16_learns_as_well(tiny: Params, patches: LabelledImages) -> None:
    """Products in bfloat16 round, so the weights differ; they stay float32 and solve the task too."""
    full, half = (train(tiny, patches, precision=precision).network for precision in ("float32", "bfloat16"))
    assert measure_accuracy(predict(half, patches, flip=False), patches) > 0.95
    assert isinstance(full, ConvNet)
    assert isinstance(half, ConvNet)
    assert half.linear.weight.dtype == torch.float32
    assert not torch.equal(full.linear.weight, half.linear.weight)


def test_training_is_a_function_of_its_seed(tiny: Params, patches: LabelledImages) -> None:
    """Equal seeds give equal logits to the bit; another seed gives another network."""
    first, same, other = (
        predict(train(tiny, patches, steps=6, seed=seed).network, patches, flip=True) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


# ---- networks ------------------------------------------------------------------------------------------------


def test_resnet18_sees_small_images_at_their_size() -> None:
    """Its stem keeps all pixels: 11.2 million weights, and the first block works on 32x32."""
    network = build_network(Architecture(network="resnet18", width=8, channels=3, num_classes=10), seed=0)
    assert isinstance(network, ResNet18)
    assert sum(p.numel() for p in network.parameters()) == 11_173_962
    sizes = []
    network.body.layer1.register_forward_hook(lambda *args: sizes.append(args[2].shape))
    network(torch.zeros(2, 3, 32, 32))
    assert sizes == [(2, 64, 32, 32)]


def test_features_feed_the_linear_layer(patches: LabelledImages) -> None:
    """Logits are the scaled linear map of the features that the assessment uses."""
    network = build_network(Architecture(network="convnet", width=8, channels=1, num_classes=3), seed=0)
    features = torch.from_numpy(extract_features(network, patches))
    assert features.shape == (60, 32)
    assert isinstance(network, ConvNet)
    logits = network.linear(features) * network.scale
    assert np.allclose(logits.detach().numpy(), predict(network, patches, flip=False), atol=1e-5)
