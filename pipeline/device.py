"""Which device a stage computes on, made deterministic, and what of it the bytes depend on."""

import os
from typing import TYPE_CHECKING

from pipeline.runtime.errors import UserError

if TYPE_CHECKING:  # stages without a network start without torch
    import torch


def pick_device(threads: int | None = None) -> "torch.device":
    """The device named by PIPELINE_DEVICE (auto, cpu or cuda), made deterministic.

    Args:
        threads: of the processor, whose number changes how sums round; None leaves torch's choice.

    Raises:
        UserError: an unknown name, or cuda where there is none.
    """
    import torch

    wanted = os.environ.get("PIPELINE_DEVICE", "auto")
    if wanted not in ("auto", "cpu", "cuda"):
        raise UserError(f"PIPELINE_DEVICE is '{wanted}'; set it to auto, cpu or cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("PIPELINE_DEVICE is cuda, but torch sees no GPU; set it to auto or cpu")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False
    if threads is not None:
        torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("warn")  # as use_deterministic_algorithms, without its 2 s import of a compiler
    # Filling costs a tenth of a training step, and no operation of ours reads memory that it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property of the module
    return torch.device(wanted)


def describe_environment(device: "torch.device") -> dict[str, str | int]:
    """What, besides the inputs, the bits of a network's output depend on: device model, versions, threads."""
    import torch

    if device.type == "cuda":
        return {"device": torch.cuda.get_device_name(device), "torch": torch.__version__}
    return {"device": "cpu", "torch": torch.__version__, "threads": torch.get_num_threads()}
