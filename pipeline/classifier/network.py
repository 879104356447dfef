"""The classifiers: a small speed-run network, a plain ResNet-18, or somebody else's: NCHW in [-1, 1] → logits."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.classifier.backbone import Backbone, build_backbone
from pipeline.classifier.finetuning import Headed, load_pretrained
from pipeline.classifier.whitening import PATCH, STRIDE, whitening_kernels
from pipeline.files import Record
from pipeline.images import ImageSet, Pixels
from pipeline.params.schema import OWN_NETWORKS, ClassifierParams, NetworkName, PositiveFloat
from pipeline.runtime.errors import UserError


class ConvNet(Headed):
    """Fixed whitening of patches, convolutions in two widths (2w, 4w), global max pooling, scaled logits.

    The shape of cifar10-airbench's network (Jordan 2024), which halves the sides at once, so that a CPU digests it.
    """

    def __init__(self, width: int, channels: int, num_classes: int) -> None:
        super().__init__()
        num_kernels = 2 * min(width // 2, channels * PATCH**2)  # grey patches have fewer directions
        self.whiten = nn.Conv2d(channels, num_kernels, PATCH, STRIDE, 1)
        self.whiten.weight.requires_grad = False
        nn.init.zeros_(cast(Tensor, self.whiten.bias))
        self.groups = nn.ModuleList([ConvGroup(num_kernels, 2 * width), ConvGroup(2 * width, 4 * width)])
        self.linear = nn.Linear(4 * width, num_classes, bias=False)
        self.scale = (4 * width) ** -0.5

    def whiten_by(self, images: Pixels) -> None:
        """Sets the first layer to whiten patches of `images`; it is never trained."""
        kernels = whitening_kernels(images, self.whiten.out_channels)
        self.whiten.weight.copy_(kernels)

    def kernels(self) -> list[nn.Parameter]:
        """What Muon moves: the trained convolutions."""
        return [weight for weight in self.groups.parameters() if weight.ndim == 4 and weight.requires_grad]

    def features(self, images: Tensor) -> Tensor:
        """The pooled activations before the linear layer: (N, 4 * width)."""
        x = F.gelu(self.whiten(images))
        for group in self.groups:
            x = group(x)
        return x.amax((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.linear(self.features(images)) * self.scale)


class ConvGroup(nn.Module):
    """Convolution, 2x2 max pooling, convolution, each with batch normalisation and GELU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, 1, 1, bias=False)
        self.norm1 = batch_norm(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.norm2 = batch_norm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return F.gelu(self.norm2(self.conv2(x)))


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation that trains its biases alone: a scale would only repeat the next layer's."""
    norm = nn.BatchNorm2d(channels)
    norm.weight.requires_grad = False
    return norm


class ResNet18(Headed):
    """torchvision's ResNet-18 (He et al. 2016) with the usual stem for small images: 3x3, stride 1, no pooling."""

    def __init__(self, channels: int, num_classes: int) -> None:
        from torchvision.models import resnet18  # here, because its import takes a second that others save

        super().__init__()
        self.body = resnet18()
        self.body.conv1 = nn.Conv2d(channels, self.body.conv1.out_channels, 3, 1, 1, bias=False)
        nn.init.kaiming_normal_(self.body.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's others
        self.body.maxpool = nn.Identity()
        self.linear = nn.Linear(self.body.fc.in_features, num_classes)
        self.body.fc = nn.Identity()

    def kernels(self) -> list[nn.Parameter]:
        """What Muon moves: nothing, the plain network is trained plainly."""
        return []

    def features(self, images: Tensor) -> Tensor:
        """The pooled activations before the linear layer: (N, 512)."""
        return cast(Tensor, self.body(self.normalise(images)))

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.linear(self.features(images)))


Network = ConvNet | ResNet18 | Backbone


class Architecture(Record):
    """What rebuilds a network."""

    network: NetworkName
    """`classifier.network`."""
    width: Annotated[int, Field(gt=0, le=2**16, multiple_of=2)]
    """Channels of the first convolution of `convnet`; others have their own."""
    channels: Literal[1, 3]
    """Of the images: 1 (grey) or 3 (RGB)."""
    num_classes: Annotated[int, Field(gt=0)]
    """Logits."""
    image_size: Annotated[int, Field(gt=0, le=2**12)] | None = None
    """Side of the square images, in pixels; absent where the network is ours, and fits all sizes."""
    mean: Annotated[tuple[float, ...], Field(min_length=1)] | None = None
    """`classifier.mean`; absent where it is empty."""
    std: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] | None = None
    """`classifier.std`; absent where it is empty."""

    @model_validator(mode="after")
    def _others_know_their_image_size(self) -> Self:
        if (self.image_size is None) != self.is_own:
            raise ValueError(f"image_size is {self.image_size} for {self.network}")
        return self

    @property
    def is_own(self) -> bool:
        """Whether the network is one of ours."""
        return self.network in OWN_NETWORKS


def device_of(network: Network) -> torch.device:
    """Where its weights are."""
    return next(network.parameters()).device


def choose_architecture(classifier: ClassifierParams, data: ImageSet) -> Architecture:
    """That of a classifier for images like `data`."""
    return Architecture(
        network=classifier.network,
        width=classifier.width,
        channels=data.images.shape[3],
        num_classes=len(data.class_names),
        image_size=None if classifier.network in OWN_NETWORKS else data.images.shape[1],
        mean=tuple(classifier.mean) or None,
        std=tuple(classifier.std) or None,
    )


def build_network(architecture: Architecture, *, seed: int) -> Network:
    """An untrained network whose weights are drawn by `seed`.

    Raises:
        UserError: there is no network of this name, or it does not take or give what it should.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _draw(architecture)
    network.mean, network.std = architecture.mean or (), architecture.std or ()
    channels = 3 if isinstance(network, Backbone) and network.repeats_grey else architecture.channels
    if len(network.mean) not in (0, 1, channels):
        raise UserError(f"params.yaml: mean of a classifier has {len(network.mean)} values for {channels} channels")
    return network


def begin_network(classifier: ClassifierParams, data: ImageSet, first: Callable[[], Pixels], *, seed: int) -> Network:
    """The network that a training of `classifier` on `data` begins with, on the CPU.

    Args:
        classifier: what it is, where its weights come from and which of them learn.
        data: images like those that it will see.
        first: makes the images that the first layer of a `convnet` without weights of its own is computed from.
        seed: draws what comes from no file.

    Raises:
        UserError: there is no such network, or its weights are missing or another's.
    """
    network = build_network(choose_architecture(classifier, data), seed=seed)
    if classifier.weights:
        load_pretrained(network, Path(classifier.weights))
    elif isinstance(network, ConvNet):
        network.whiten_by(first())
    if classifier.freeze:
        network.freeze()
    return network


def _draw(architecture: Architecture) -> Network:
    channels, num_classes = architecture.channels, architecture.num_classes
    if architecture.image_size is not None:
        return build_backbone(architecture.network, architecture.image_size, channels, num_classes)
    if architecture.network == "resnet18":
        return ResNet18(channels, num_classes)
    return ConvNet(architecture.width, channels, num_classes)
