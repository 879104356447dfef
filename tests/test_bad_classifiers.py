"""Classifiers of a user's that are not as they should be: the stage ends in one line, exit code 2, nothing written."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

from tests.bad_files import Check, set_params


def other_weights() -> None:
    """Those of torchvision's ResNet-18, for our small network."""
    torch.save(resnet18().state_dict(), "other.pth")
    set_params(classifier__weights="other.pth")


RIVALS = {"ablation__rivals": ["longer"]}
CASES: dict[str, tuple[Callable[[], object], tuple[str, ...]]] = {
    "no such module": (
        lambda: set_params(classifier__network="no_such_module:build"),
        ("classifier.network is 'no_such_module:build'", "write it as module:function")),
    "no such model": (
        lambda: set_params(classifier__network="torchvision:resnet81"), ("torchvision has no such model",)),
    "logits of another shape": (
        lambda: set_params(classifier__network="my_classifier:too_many"), ("logits are (2, 11), not (2, 10)",)),
    "weights that are not there": (
        lambda: set_params(classifier__network="my_classifier:build", classifier__weights="none.pth"),
        ("none.pth: not found",)),
    "weights of another network": (
        other_weights,
        ("other.pth: weights of another network: bn1.bias is (64,), not absent", "more")),
    "no such training": (
        lambda: set_params(classifier__train="my_trainer:absent", **RIVALS),
        ("classifier.train is 'my_trainer:absent'", "write it as module:function")),
    "a training without logits": (
        lambda: set_params(classifier__train="my_trainer:labels", **RIVALS),
        ("classifier.train 'my_trainer:labels'", "are int64 (20,), not float (20, 10)")),
}  # fmt: skip


@pytest.mark.usefixtures("own_programs")
@pytest.mark.parametrize("case", CASES)
def test_a_wrong_classifier_is_one_line(case: str, workdir: Path, check_refusal: Check) -> None:
    """Before any training, or where a training of the user's gives nothing to use."""
    damage, told = CASES[case]
    damage()
    check_refusal("train_baseline", *told)
