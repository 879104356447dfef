"""The optimizer: Muon for the kernels of `convnet`, Nesterov SGD for everything else."""

from typing import cast

import torch
from torch import Tensor, nn

from pipeline.classifier.network import Network
from pipeline.params.schema import ClassifierParams

KILO = 1024  # examples that rates are stated for
WARM_UP = 0.2  # of the steps, where SGD moves all weights; Muon needs none, since it sets the size of its steps
ITERATIONS = 3
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # a quintic that lifts small singular values the fastest


class Optimizer:
    """Both optimizers of one network, and their falling rates."""

    def __init__(self, network: Network, classifier: ClassifierParams) -> None:
        self._values = classifier
        self._kernels = network.kernels()
        self._buffers = [torch.zeros_like(kernel) for kernel in self._kernels]
        self._rate = sgd_rate(classifier)
        self._warm_up = 0.0 if self._kernels else WARM_UP
        self._sgd = torch.optim.SGD(self._groups(network), self._rate, classifier.momentum, nesterov=True)

    def step(self, position: float) -> None:
        """One update by the gradients at hand; drops them.

        `position` in the training, 0 to 1, decides the rates.
        """
        factor = rate_factor(position, self._warm_up)
        for group in self._sgd.param_groups:
            group["lr"] = self._rate * factor * group["scale"]
        self._sgd.step()
        for kernel, buffer in zip(self._kernels, self._buffers, strict=True):
            self._step_kernel(kernel, buffer, factor)
            kernel.grad = None
        self._sgd.zero_grad(set_to_none=True)

    @torch.no_grad()
    def _step_kernel(self, kernel: nn.Parameter, buffer: Tensor, factor: float) -> None:
        """Muon (Jordan et al. 2024): Nesterov momentum, orthogonalised; kernel and buffer are (out, in, 3, 3).

        Before its step a kernel is brought to the norm sqrt(out), that of an orthogonal update of as many rows.
        """
        assert kernel.grad is not None
        buffer.mul_(self._values.muon_momentum).add_(kernel.grad)
        wanted = kernel.grad.add(buffer, alpha=self._values.muon_momentum)
        kernel.mul_(len(kernel) ** 0.5 / kernel.norm())
        update = orthogonalise(wanted.flatten(1)).view_as(kernel)
        kernel.sub_(update, alpha=self._values.muon_learning_rate * factor * self._values.body_learning_rate)

    def _groups(self, network: Network) -> list[dict[str, object]]:
        """Weight decay for matrices and kernels only: biases and normalisation keep their scale.

        The body has a rate of its own.
        """
        muon = {id(kernel) for kernel in self._kernels}
        decay = self._values.weight_decay / self._values.learning_rate  # of weights, not of rate times weights
        groups: list[dict[str, object]] = []
        for in_head, scale in ((True, 1.0), (False, self._values.body_learning_rate)):
            part = [
                weight
                for name, weight in network.plain.named_parameters()
                if weight.requires_grad and id(weight) not in muon and network.is_of_head(name) == in_head
            ]
            for is_matrix, share in ((True, decay), (False, 0.0)):
                params = [weight for weight in part if (weight.ndim > 1) == is_matrix]
                groups.append({"params": params, "weight_decay": share, "scale": scale})
        return [group for group in groups if group["params"]]


def rate_factor(position: float, warm_up: float) -> float:
    """Factor of the rates at `position`, 0 to 1: linear up over the share `warm_up` of the steps, linear down to 0."""
    return position / warm_up if position < warm_up else (1 - position) / (1 - warm_up)


def sgd_rate(classifier: ClassifierParams) -> float:
    """torch's learning rate for the mean loss of a batch, out of the one for 1,024 examples at no momentum.

    Momentum m lengthens steps along a steady gradient 1/(1 - m) times; undoing that keeps the two values apart.
    """
    return classifier.learning_rate * classifier.batch_size / KILO * (1 - classifier.momentum)


def orthogonalise(matrix: Tensor) -> Tensor:
    """The nearest matrix (m, n) with equal singular values, roughly: they come to lie between about 0.5 and 1.5.

    A Newton-Schulz iteration: for X = U S V^T, every round replaces S by aS + bS^3 + cS^5.
    """
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix) / (matrix.norm() + 1e-7)  # no singular value above 1
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return cast(Tensor, x.T if tall else x)
