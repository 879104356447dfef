"""What a stage takes of its machine; never part of an output."""

import resource
import sys
import time

import psutil

RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes


class Usage:
    """Measures a stage: the whole of its own process, or, in one that runs many, what follows the making of this."""

    def __init__(self, *, own_process: bool) -> None:
        self._began = psutil.Process().create_time() if own_process else time.time()
        self._processor = 0.0 if own_process else time.process_time()

    def measure(self) -> dict[str, float]:
        """Wall and processor time in s, peak memory in MiB: that of the process, of earlier stages in it too."""
        used = {
            "wall_seconds": time.time() - self._began,
            "processor_seconds": time.process_time() - self._processor,
            "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT / 2**20,
        }
        torch = sys.modules.get("torch")
        if torch and torch.cuda.is_initialized():
            used["peak_device_memory_mib"] = torch.cuda.max_memory_allocated() / 2**20
        return used


def describe_torch() -> dict[str, str]:
    """Version and device of torch as tags, if the stage used it at all."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    device = torch.cuda.get_device_name() if torch.cuda.is_initialized() else "cpu"
    return {"torch": str(torch.__version__), "device": device}
