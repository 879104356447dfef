"""Signals: stages that save before they stop, and that end with their parent."""

import ctypes
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>


def die_with_parent() -> None:
    """Asks Linux to end this process when its parent ends, so that a killed `dvc` leaves no orphan at work."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def hold_signals() -> Iterator[Callable[[], int]]:
    """Holds SIGTERM and SIGINT back; the callable gives the first one's number, or 0.

    Work that can save its state asks at every step (pre-emptible machines send SIGTERM, dvc's death does too).
    A second signal has its usual effect at once.
    """
    received: list[int] = []
    held = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in held}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def receive(number: int, _: object) -> None:
        received.append(number)
        restore()

    for number in held:
        signal.signal(number, receive)
    try:
        yield lambda: received[0] if received else 0
    finally:
        restore()
