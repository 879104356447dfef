"""Training that begins with somebody's weights."""

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18

from pipeline.classifier.finetuning import Headed
from pipeline.classifier.inference import measure_accuracy, predict
from pipeline.classifier.saved import load_classifier
from pipeline.files import save_model
from pipeline.images import LabelledImages, to_unit_range
from pipeline.params.schema import Params
from pipeline.runtime.errors import UserError
from tests.own_programs import run_baseline
from tests.test_classifier import CPU, train

pytestmark = pytest.mark.usefixtures("own_programs")
Values = dict[str, Any]  # of classifier params


@pytest.fixture
def pretrained(tmp_path: Path, patches: LabelledImages, tiny: Params) -> Path:
    """Weights of the user's network, trained for a task of other classes, in a file of torch's."""
    names = ("a", "b")
    other = LabelledImages(patches.images, patches.labels % 2, names)
    network = train(tiny, other, network="my_classifier:build", learning_rate=2.0, steps=10).network
    torch.save({"state_dict": network.plain.state_dict()}, tmp_path / "pretrained.pth")
    save_file(network.plain.state_dict(), tmp_path / "pretrained.safetensors")
    return tmp_path / "pretrained.pth"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_frozen_body_stays_what_its_file_says(
    tiny: Params, patches: LabelledImages, pretrained: Path, suffix: str
) -> None:
    """Weights and statistics alike, to the bit; the head, drawn for three classes, learns on it."""
    file = pretrained.with_suffix(suffix)
    values: Values = {"network": "my_classifier:build", "learning_rate": 2.0, "weights": str(file), "freeze": True}
    trained = train(tiny, patches, **values, steps=40)
    before = torch.load(pretrained, weights_only=True)["state_dict"]
    after = trained.network.plain.state_dict()
    changed = [key for key in before if before[key].shape != after[key].shape or not before[key].equal(after[key])]
    assert changed == ["3.weight", "3.bias"]
    assert measure_accuracy(predict(trained.network, patches, flip=False), patches) > 0.95


def test_the_body_has_a_rate_of_its_own(tiny: Params, patches: LabelledImages, pretrained: Path) -> None:
    """At a thousandth of the head's rate it hardly moves; at the same rate it does."""
    before = torch.load(pretrained, weights_only=True)["state_dict"]["0.0.weight"]
    moved = []
    for factor in (0.001, 1.0):
        values: Values = {"weights": str(pretrained), "body_learning_rate": factor}
        network = train(tiny, patches, network="my_classifier:build", learning_rate=2.0, steps=5, **values).network
        moved.append((network.plain.state_dict()["0.0.weight"] - before).norm().item())
    assert 0 < moved[0] < moved[1] / 100


@pytest.mark.parametrize(("network", "untouched"), [("convnet", "whiten.weight"), ("resnet18", "body.bn1.bias")])
def test_our_own_networks_are_fine_tuned_too(
    tiny: Params, patches: LabelledImages, tmp_path: Path, network: str, untouched: str
) -> None:
    """From a file of ours; frozen, only their linear layer moves, and nothing is whitened anew."""
    values: Values = {"network": network, "learning_rate": 2.0, "steps": 2}
    first = train(tiny, patches, **values, seed=1).network.state_dict()
    save_model(tmp_path, "ours", first, {})
    images = LabelledImages(255 - patches.images, patches.labels, patches.class_names)
    values |= {"weights": str(tmp_path / "ours.safetensors"), "freeze": True}
    second = train(tiny, images, **values).network.state_dict()
    assert {key for key in first if not first[key].equal(second[key])} - {"linear.bias"} == {"linear.weight"}
    assert first[untouched].equal(second[untouched])


def test_resnet18_of_torchvision_is_fine_tuned_at_any_size(
    tmp_path: Path, patches: LabelledImages, tiny: Params
) -> None:
    """From weights of the plain model with a thousand classes, as torchvision offers them; half of the bits will do."""
    weights = {
        key: value.half() if value.is_floating_point() else value for key, value in resnet18().state_dict().items()
    }
    torch.save(weights, tmp_path / "resnet18.pth")
    values: Values = {
        "weights": str(tmp_path / "resnet18.pth"),
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    trained = train(tiny, patches, network="torchvision:resnet18", learning_rate=0.5, steps=1, freeze=True, **values)
    after = trained.network.plain.state_dict()
    assert all(after[key].equal(weights[key].float()) for key in weights if key.endswith("conv1.weight"))


def test_images_are_normalised_as_torchvision_does_it() -> None:
    """Levels over 255, less the mean, over the standard deviation; grey ones in all three channels."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    network = Headed()
    network.mean, network.std = mean, std
    levels = torch.arange(0, 192, dtype=torch.uint8).reshape(1, 8, 8, 3)
    expected = (levels.permute(0, 3, 1, 2) / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    assert torch.allclose(network.normalise(to_unit_range(levels)), expected, atol=1e-5)


WRONG_WEIGHTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (lambda file: file.unlink(), "not found"),
    "a folder": (
        lambda file: file.rename(file.with_name("other")).with_name(file.name).mkdir(),
        "neither safetensors nor a state_dict",
    ),
    "no weights": (lambda file: file.write_text("weights"), "neither safetensors nor a state_dict"),
    "a pickle that runs code": (
        lambda file: file.write_bytes(pickle.dumps(Path.cwd)),
        "neither safetensors nor a state_",
    ),
    "a list": (lambda file: torch.save([torch.ones(1)], file), "holds no state_dict"),
    "another network": (
        lambda file: torch.save(resnet18().state_dict(), file),
        r"weights of another network: 0.0.bias is absent, not \(8,\); .*; and \d+ more",
    ),
    "another shape": (
        lambda file: torch.save(torch.load(file)["state_dict"] | {"0.0.weight": torch.ones(8, 3, 3, 3)}, file),
        r"weights of another network: 0.0.weight is \(8, 3, 3, 3\), not \(8, 1, 3, 3\)$",
    ),
    "NaN": (
        lambda file: torch.save(torch.load(file)["state_dict"] | {"0.0.bias": torch.full((8,), torch.nan)}, file),
        "0.0.bias holds NaN or infinity",
    ),
}


@pytest.mark.parametrize("case", WRONG_WEIGHTS)
def test_wrong_weights_are_one_line(tiny: Params, patches: LabelledImages, pretrained: Path, case: str) -> None:
    """It names the file, before any training."""
    damage, problem = WRONG_WEIGHTS[case]
    damage(pretrained)
    with pytest.raises(UserError, match=rf"pretrained.pth: {problem}"):
        train(tiny, patches, network="my_classifier:build", weights=str(pretrained))


def test_a_cell_names_the_weights_that_it_began_with(
    tiny: Params, patches: LabelledImages, pretrained: Path, tmp_path: Path
) -> None:
    """By their sha256, also where they were normalised for; the saved network answers as before."""
    values = {
        "network": "my_classifier:build",
        "batch_size": 4,
        "weights": str(pretrained),
        "mean": [0.5],
        "std": [0.2],
    }
    record = run_baseline(tiny, patches, tmp_path, **values)
    assert record.weights_sha256 == hashlib.sha256(pretrained.read_bytes()).hexdigest()
    test = patches.select(np.arange(36, 60))
    loaded = load_classifier(tmp_path / "model", CPU, test, network="my_classifier:build")
    answer = predict(loaded, test, flip=tiny.classifier.flip)
    assert np.array_equal(answer, np.load(tmp_path / "model/test_logits.npy"))
