from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from pipeline.classifier.mixture import Mixture
from pipeline.classifier.network import Architecture, ConvNet, Network, build_network
from pipeline.classifier.optimizer import Optimizer, orthogonalise, rate_factor, sgd_rate
from pipeline.classifier.training import TrainingData, train_classifier
from pipeline.classifier.whitening import PATCH, STRIDE, whitening_kernels
from pipeline.images import LabelledImages, empty_like
from pipeline.params.schema import Params

CPU = torch.device("cpu")


def small(network: Literal["convnet", "resnet18"] = "convnet") -> Network:
    """An untrained network for grey images of three classes."""
    return build_network(Architecture(network=network, width=8, channels=1, num_classes=3), seed=0)


def step_once(network: Network, tiny: Params, position: float) -> None:
    """One step along the gradient of a random batch."""
    optimizer = Optimizer(network, tiny.classifier)
    x = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    F.cross_entropy(network(x), torch.tensor([0, 1, 2, 0])).backward()
    optimizer.step(position)


# ---- whitening -----------------------------------------------------------------------------------------------


def coloured(count: int) -> np.ndarray:
    """Smooth random pictures, whose neighbouring pixels and channels are alike."""
    coarse = np.random.Generator(np.random.Philox(3)).integers(0, 256, (count, 4, 4, 3)).astype(np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def test_whitened_patches_are_uncorrelated_and_of_equal_size() -> None:
    """Responses to the very images have second moments near 1 and none in common; the other half is the negative."""
    images = coloured(300)
    kernels = whitening_kernels(images, 8)
    x = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1
    responses = F.conv2d(x, kernels, stride=STRIDE).transpose(0, 1).flatten(1).double()
    moments = (responses @ responses.T / responses.shape[1])[:4, :4]
    assert torch.allclose(moments, torch.diag(moments.diag()), atol=1e-4)
    assert ((moments.diag() > 0.9) & (moments.diag() < 1)).all()
    assert torch.equal(kernels[4:], -kernels[:4])
    assert kernels.shape == (8, 3, PATCH, PATCH)


def test_whitening_does_not_depend_on_the_order_of_images() -> None:
    """The sums are exact, so that no order, block or thread count changes a bit."""
    images = coloured(300)
    assert torch.equal(whitening_kernels(images, 32), whitening_kernels(images[::-1], 32))


def test_whitening_knows_the_training_images_of_its_cell_alone(tiny: Params, patches: LabelledImages) -> None:
    """Another val changes nothing, other training images do; a synthetic-only cell sees synthetic images only."""

    def first_layer(percent: int, real: LabelledImages, synthetic: LabelledImages, val: LabelledImages) -> bytes:
        data, mixture = TrainingData(real, synthetic, val), Mixture("batch", percent, 32, 3)
        network = train_classifier(tiny.classifier, data, mixture, seed=0, device=CPU).network
        assert isinstance(network, ConvNet)
        return network.whiten.weight.detach().numpy().tobytes()

    none, other = empty_like(patches), LabelledImages(255 - patches.images // 2, patches.labels, patches.class_names)
    own = first_layer(0, patches, none, patches)
    assert own == first_layer(0, patches, none, other)
    assert own == first_layer(0, patches, other, patches)
    assert own != first_layer(0, other, none, patches)
    assert own != first_layer(50, patches, other, patches)
    assert first_layer(100, patches, other, patches) == first_layer(100, none, other, patches)


def test_wide_networks_use_all_directions_of_grey_patches() -> None:
    """There are 16 directions in a grey patch, each with two signs."""
    network = build_network(Architecture(network="convnet", width=64, channels=1, num_classes=10), seed=0)
    assert isinstance(network, ConvNet)
    assert network.whiten.out_channels == 32
    network.whiten_by(coloured(20)[..., :1])


# ---- optimizer -----------------------------------------------------------------------------------------------


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 5))
def test_muon_levels_singular_values(rows: int, columns: int, seed: int) -> None:
    """Singular vectors stay, values come near to 1, whatever the scale of the gradient."""
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    level = torch.diag(left.T @ orthogonalise(1e-3 * matrix) @ right.T)
    large = values > 0.05 * values.norm()
    assert ((level[large] > 0.3) & (level[large] < 1.3)).all()


def test_rates_are_stated_apart_from_batch_and_momentum(tiny: Params) -> None:
    """Under a steady gradient, the weights move as far over 1,024 images whatever batch and momentum."""
    moved = []
    for batch, momentum in ((64, 0.5), (128, 0.9)):
        values = tiny.classifier.model_copy(update={"batch_size": batch, "momentum": momentum})
        weight = torch.zeros(1, requires_grad=True)
        sgd = torch.optim.SGD([weight], sgd_rate(values), momentum, nesterov=True)
        positions = []
        for _ in range(400):
            weight.grad = torch.ones(1)
            sgd.step()
            positions.append(weight.item())
        moved.append((positions[-1] - positions[-101]) / 100 * 1024 / batch)
    assert moved[0] == pytest.approx(moved[1], rel=1e-3)
    assert -moved[0] == pytest.approx(tiny.classifier.learning_rate, rel=1e-3)


def test_rates_rise_and_fall() -> None:
    """With a warm-up the peak comes where it ends; without one, rates only fall; either way they end at zero."""
    positions = np.linspace(0, 1, 101)
    with_one, without = ([rate_factor(position, share) for position in positions] for share in (0.2, 0.0))
    assert (with_one[0], with_one[10], with_one[20], with_one[-1]) == pytest.approx((0, 0.5, 1, 0))
    assert without == pytest.approx(1 - positions)


@pytest.mark.parametrize("name", ["convnet", "resnet18"])
def test_every_trained_weight_moves_and_no_other(tiny: Params, name: Literal["convnet", "resnet18"]) -> None:
    """One step moves all that has a gradient; the whitening and the scales of `convnet` stay."""
    network = small(name)
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    step_once(network, tiny, 0.1)
    moved = {name for name, weight in network.named_parameters() if not torch.equal(weight, before[name])}
    frozen = {"whiten.weight"} | {f"groups.{i}.norm{j}.weight" for i in (0, 1) for j in (1, 2)}
    assert moved == set(before) - (frozen if name == "convnet" else set())
    assert all(weight.grad is None for weight in network.parameters())


def test_the_last_step_changes_no_direction(tiny: Params) -> None:
    """At the end of the schedule only the norm of the kernels is set."""
    network = small()
    before = [kernel.detach().clone() for kernel in network.kernels()]
    step_once(network, tiny, 1.0)
    for kernel, old in zip(network.kernels(), before, strict=True):
        assert torch.allclose(kernel / kernel.norm(), old / old.norm(), atol=1e-6)
        assert kernel.norm().item() == pytest.approx(len(kernel) ** 0.5, rel=1e-5)
