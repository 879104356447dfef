"""Networks that are not ours: torchvision's, timm's, or what a function of the user's gives."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.classifier.backbone import Backbone, build_backbone
from pipeline.classifier.inference import extract_features, measure_accuracy, predict
from pipeline.classifier.network import build_network, choose_architecture
from pipeline.classifier.saved import load_classifier, read_classifier_record
from pipeline.images import LabelledImages
from pipeline.params.schema import Params
from pipeline.runtime.errors import UserError
from tests.own_programs import run_baseline
from tests.test_classifier import CPU, train

pytestmark = pytest.mark.usefixtures("own_programs")


@pytest.mark.parametrize(
    ("name", "stride", "features"),
    [
        ("torchvision:resnet18", "conv1", 512),
        ("torchvision:densenet121", "features.conv0", 1024),
        ("torchvision:shufflenet_v2_x0_5", "conv1.0", 1024),
        ("torchvision:mobilenet_v3_small", "features.0.0", 1024),
        ("torchvision:mnasnet0_5", "layers.0", 1280),
        ("torchvision:regnet_y_400mf", "stem.0", 440),
        ("torchvision:squeezenet1_1", "", 512),
        ("torchvision:vit_b_32", "", 768),
        ("torchvision:convnext_tiny", "", 768),
    ],
)
def test_models_of_torchvision_keep_small_images(name: str, stride: str, features: int) -> None:
    """Below 64 pixels the stems that halve photographs keep every pixel, the others are as they are; so are weights."""
    small, large = (build_backbone(name, size, 3, 7) for size in (32, 64))
    for network, size, step in ((small, 32, (1, 1)), (large, 64, (2, 2))):
        assert network.eval()(torch.zeros(2, 3, size, size)).shape == (2, 7)
        assert network.features(torch.zeros(2, 3, size, size)).shape == (2, features)
        assert not stride or network.body.get_submodule(stride).stride == step
    if not name.endswith("vit_b_32"):  # it has an embedding of every position
        shapes = [{key: value.shape for key, value in n.plain.state_dict().items()} for n in (small, large)]
        assert shapes[0] == shapes[1]


def test_resnet18_of_torchvision_pools_nothing_at_small_sizes() -> None:
    """Its first block sees 32x32, like that of our own; its first convolution keeps torchvision's 7x7."""
    network, sizes = build_backbone("torchvision:resnet18", 32, 3, 10), []
    network.body.get_submodule("layer1").register_forward_hook(lambda *args: sizes.append(args[2].shape))
    network(torch.zeros(2, 3, 32, 32))
    assert sizes == [(2, 64, 32, 32)]
    assert network.plain.state_dict()["conv1.weight"].shape == (64, 3, 7, 7)


@pytest.mark.skipif(not importlib.util.find_spec("timm"), reason="the extra timm is not installed")
def test_a_model_of_timm(tiny: Params, patches: LabelledImages) -> None:
    """It is built without a download, learns from grey images, and its features feed its head."""
    trained = train(tiny, patches, network="timm:resnet10t", learning_rate=2.0, steps=4)
    assert predict(trained.network, patches, flip=False).shape == (60, 3)
    assert extract_features(trained.network, patches).shape == (60, 512)
    with pytest.raises(UserError, match=r"timm has no such model; did you mean resnet10t\?"):
        build_backbone("timm:resnet10tt", 32, 3, 10)


def test_features_feed_the_head(tiny: Params, patches: LabelledImages) -> None:
    """What the judge sees is what the network's last layer sees."""
    classifier = tiny.classifier.model_copy(update={"network": "my_classifier:build"})
    network = build_network(choose_architecture(classifier, patches), seed=0)
    assert isinstance(network, Backbone)
    features = torch.from_numpy(extract_features(network, patches))
    logits = network.body.get_submodule(network.head)(features).detach().numpy()
    assert np.allclose(logits, predict(network, patches, flip=False), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("torchvision:resnet19", r"torchvision has no such model; did you mean resnet1?[18]+\?"),
        ("torchvision:inception_v3", "a pass over two images of 32x32 failed: RuntimeError: "),
        ("no_such_module:build", "No module named 'no_such_module'; write it as module:function"),
        ("my_classifier:absent", "has no attribute 'absent'; write it as module:function"),
        ("my_broken:build", "invalid syntax"),
        ("my_classifier:number", "is no function"),
        ("my_classifier:no_arguments", "takes 0 positional arguments but 3 were given"),
        ("my_classifier:no_module", "built int, no torch.nn.Module"),
        ("my_classifier:no_head", "has 10 outputs, one a class"),
        ("my_classifier:too_many", r"for two images, logits are \(2, 11\), not \(2, 10\)"),
        ("my_classifier:too_small", "mat1 and mat2 shapes cannot be multiplied"),
    ],
)
def test_a_wrong_network_is_one_line(name: str, problem: str) -> None:
    """Not there, broken, or of other shapes: found before any training."""
    with pytest.raises(UserError, match=rf"^params.yaml: classifier.network (is )?'{name}'.*{problem}"):
        build_backbone(name, 32, 3, 10)


def test_torchvisions_resnet18_learns_from_scratch(tiny: Params, patches: LabelledImages) -> None:
    """By the one loop, in ten steps much of three easy classes."""
    trained = train(tiny, patches, network="torchvision:resnet18", learning_rate=2.0, steps=10)
    assert measure_accuracy(predict(trained.network, patches, flip=False), patches) > 0.7


def test_a_network_of_the_users_learns(tiny: Params, patches: LabelledImages) -> None:
    """By the one loop; what dropout inside it draws is a function of the seed, whatever was drawn before."""
    first, again = (train(tiny, patches, network="my_classifier:build", learning_rate=2.0) for _ in range(2))
    logits = predict(first.network, patches, flip=False)
    assert measure_accuracy(logits, patches) > 0.95
    assert np.array_equal(logits, predict(again.network, patches, flip=False))


@pytest.mark.parametrize("network", ["my_classifier:build", "my_classifier:tied"])
def test_the_cell_of_another_network_is_read_again(
    tiny: Params, patches: LabelledImages, tmp_path: Path, network: str
) -> None:
    """The saved network answers as the trained one did; without the user's word its file runs no code."""
    run_baseline(tiny, patches, tmp_path, network=network, batch_size=4)
    test = patches.select(np.arange(36, 60))
    loaded = load_classifier(tmp_path / "model", CPU, test, network=network)
    logits = np.load(tmp_path / "model/test_logits.npy")
    assert np.array_equal(predict(loaded, test, flip=tiny.classifier.flip), logits)
    assert read_classifier_record(tmp_path / "model").shape.image_size == 16
    with pytest.raises(UserError, match=rf"asks for the network '{network}', params.yaml names 'convnet'"):
        load_classifier(tmp_path / "model", CPU, test, network="convnet")
