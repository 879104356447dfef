import pytest
import torch

from pipeline.device import pick_device
from pipeline.runtime.errors import UserError


def test_threads_are_those_of_the_params() -> None:
    """Their number changes how sums round, so no environment may decide it."""
    before = torch.get_num_threads()
    try:
        pick_device(before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        pick_device(before)


@pytest.mark.parametrize("name", ["gpu", "cuda"])
def test_a_device_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """An unknown name, and cuda on a machine without a GPU."""
    monkeypatch.setenv("PIPELINE_DEVICE", name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=f"PIPELINE_DEVICE is '?{name}.*set it to auto"):
        pick_device()
