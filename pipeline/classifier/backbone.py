"""Networks that are not ours: torchvision's, timm's, or the user's own, checked before anything is trained."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.classifier.finetuning import Headed
from pipeline.params.problems import suggest
from pipeline.params.schema import LIBRARIES
from pipeline.randomness import Stream, random_words
from pipeline.runtime.errors import UserError
from pipeline.runtime.own_code import find_function

KEY = "classifier.network"
PROBLEMS = (  # of a network that is not as it should be
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
SMALL = 64  # pixels, below which a stem made for photographs would throw most of the image away
STEMS = {  # first convolution, and the pooling after it, of torchvision's models by the beginning of their names
    "resnet": ("conv1", "maxpool"),
    "resnext": ("conv1", "maxpool"),
    "wide_resnet": ("conv1", "maxpool"),
    "densenet": ("features.conv0", "features.pool0"),
    "shufflenet": ("conv1.0", "maxpool"),
    "mobilenet": ("features.0.0", ""),
    "efficientnet": ("features.0.0", ""),
    "mnasnet": ("layers.0", ""),
    "regnet": ("stem.0", ""),
}


class Backbone(Headed):
    """A network of somebody else's with a head for our classes: images NCHW in [-1, 1] → logits.

    Grey images come to a library's network as three equal channels.
    """

    def __init__(self, body: nn.Module, num_classes: int, *, repeat_grey: bool) -> None:
        super().__init__()
        self.body, self.repeats_grey = body, repeat_grey
        self.head = _find_head(body, num_classes)

    @property
    def plain(self) -> nn.Module:
        """The network without us around it."""
        return self.body

    def kernels(self) -> list[nn.Parameter]:
        """What Muon moves: nothing, a network of somebody else's is trained plainly."""
        return []

    def features(self, images: Tensor) -> Tensor:
        """The pooled activations before the head, or what the network's own method `features` gives: (N, D)."""
        own = getattr(self.body, "features", None)
        if callable(own) and not isinstance(own, nn.Module):
            return cast(Tensor, own(self._prepare(images)))
        seen: list[Tensor] = []
        handle = self.body.get_submodule(self.head).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            self.body(self._prepare(images))
        finally:
            handle.remove()
        return seen[-1].mean((2, 3)) if seen[-1].ndim == 4 else seen[-1]

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.body(self._prepare(images)))

    def _prepare(self, images: Tensor) -> Tensor:
        if self.repeats_grey and images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        return self.normalise(images)


def is_code(name: str) -> bool:
    """Whether `name` names a module of the user's, and not a network of ours or of a library's."""
    return ":" in name and name.partition(":")[0] not in LIBRARIES


def build_backbone(name: str, image_size: int, channels: int, num_classes: int) -> Backbone:
    """An untrained network by its name: `torchvision:NAME`, `timm:NAME` or `my_module:build`.

    A user's `build(image_size, channels, num_classes)` gives a module of images float32 (N, channels, size, size) in
    [-1, 1] → logits (N, num_classes).

    Raises:
        UserError: there is no such network, or it cannot take such images.
    """
    library = name.partition(":")[0]
    try:
        body = BUILDS.get(library, _build_own)(name, image_size, channels, num_classes)
        if not isinstance(body, nn.Module):
            raise TypeError(f"built {type(body).__name__}, no torch.nn.Module")
        backbone = Backbone(body, num_classes, repeat_grey=library in LIBRARIES)
        found = _shapes(backbone, torch.zeros(2, channels, image_size, image_size))
    except UserError:
        raise
    except PROBLEMS as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"params.yaml: {KEY} '{name}': a pass over two images of {image_size}x{image_size} failed: "
            f"{type(error).__name__}: {reason}"
        ) from None
    _check_shapes(name, found, num_classes)
    return backbone


@contextmanager
def drawing_by(network: nn.Module, *, seed: int, step: int) -> Iterator[None]:
    """What a network of somebody else's draws inside, such as dropout, is a function of (seed, step)."""
    if not isinstance(network, Backbone):
        yield
        return
    devices = [device for device in {weight.device for weight in network.parameters()} if device.type != "cpu"]
    word = random_words(1, seed=seed, stream=Stream.CELL_DROPOUT, position=step)[0]
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int(word >> np.uint64(1)))
        yield


def _build_torchvision(name: str, image_size: int, _: int, num_classes: int) -> nn.Module:
    """One of torchvision's classification models; below SMALL pixels its stem, if STEMS has it, keeps all of them."""
    from torchvision import models  # here, because its import takes seconds that others save

    model, known = name.partition(":")[2], models.list_models(module=models)
    if model not in known:
        raise UserError(f"params.yaml: {KEY} is '{name}': torchvision has no such model{suggest(model, known)}")
    values: dict[str, Any] = {"num_classes": num_classes}
    if model.startswith(("googlenet", "inception")):
        values |= {"aux_logits": False, "init_weights": True}
    if model.startswith("vit"):
        values["image_size"] = image_size
    network: nn.Module = models.get_model(model, weights=None, **values)
    stem = [paths for start, paths in STEMS.items() if model.startswith(start)]
    if stem and image_size < SMALL:
        _keep_pixels(network, *stem[0])
    return network


def _build_timm(name: str, image_size: int, _: int, num_classes: int) -> nn.Module:
    """One of timm's models; below SMALL pixels a stem `conv1`, `maxpool` keeps all of them."""
    try:
        import timm
    except ImportError:
        raise UserError(f"params.yaml: {KEY} is '{name}': timm is not installed; run: pip install timm") from None
    model = name.partition(":")[2]
    if not timm.is_model(model):
        raise UserError(f"params.yaml: {KEY} is '{name}': timm has no such model{suggest(model, timm.list_models())}")
    network: nn.Module = timm.create_model(model, pretrained=False, num_classes=num_classes, in_chans=3)
    stem = [getattr(network, part, None) for part in ("conv1", "maxpool")]
    if image_size < SMALL and isinstance(stem[0], nn.Conv2d) and stem[1]:
        _keep_pixels(network, "conv1", "maxpool")
    return network


def _build_own(name: str, image_size: int, channels: int, num_classes: int) -> nn.Module:
    build = find_function(name, KEY)
    built: nn.Module = build(image_size, channels, num_classes)
    return built


BUILDS: dict[str, Callable[[str, int, int, int], nn.Module]] = {"torchvision": _build_torchvision, "timm": _build_timm}


def _keep_pixels(network: nn.Module, convolution: str, pooling: str) -> None:
    """The first convolution takes steps of one pixel, and nothing is pooled after it; no weight changes its shape."""
    first = network.get_submodule(convolution)
    assert isinstance(first, nn.Conv2d)
    first.stride = (1, 1)
    if pooling:
        parent, _, leaf = pooling.rpartition(".")
        setattr(network.get_submodule(parent), leaf, nn.Identity())


def _find_head(body: nn.Module, num_classes: int) -> str:
    """Name of the last layer with an output a class; a convolution is one too.

    Raises:
        ValueError: there is none.
    """
    heads: list[str] = [
        name
        for name, module in body.named_modules()
        if (isinstance(module, nn.Linear) and module.out_features == num_classes)
        or (isinstance(module, nn.Conv2d) and module.out_channels == num_classes)
    ]
    if not heads:
        raise ValueError(f"no nn.Linear or nn.Conv2d in it has {num_classes} outputs, one a class")
    return heads[-1]


@torch.no_grad()
def _shapes(backbone: Backbone, images: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Those of logits and features for `images`, in evaluation mode so that no statistic moves."""
    backbone.eval()
    logits, features = backbone(images), backbone.features(images)
    backbone.train()
    return tuple(logits.shape), tuple(features.shape)


def _check_shapes(name: str, found: tuple[tuple[int, ...], tuple[int, ...]], num_classes: int) -> None:
    logits, features = found
    where = f"params.yaml: {KEY} '{name}': for two images,"
    if logits != (2, num_classes):
        raise UserError(f"{where} logits are {logits}, not {(2, num_classes)}")
    if len(features) != 2 or features[0] != 2:
        raise UserError(f"{where} features are {features}, not (2, D)")
