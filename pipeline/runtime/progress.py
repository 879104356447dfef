"""Progress of long work: a bar with rate and time left on a terminal, plain lines elsewhere."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 30.0  # in a log file, a line every half minute is enough
_name: ContextVar[str] = ContextVar("_name", default="")
_open_bars: "list[Progress]" = []  # the innermost comes last


@contextmanager
def named_bars(name: str) -> Iterator[None]:
    """Bars in here that ask for `bar_name` are called `name`: the same training is a cell, or the judge of a GAN."""
    token = _name.set(name)
    try:
        yield
    finally:
        _name.reset(token)


def bar_name(otherwise: str) -> str:
    """What `named_bars` says, or `otherwise` outside of it."""
    return _name.get() or otherwise


def say(line: str) -> None:
    """Prints a line on stderr, above any bar."""
    _use_own_lock()
    tqdm.write(line, file=sys.stderr)


@cache
def _use_own_lock() -> None:
    """Of tqdm's own, a semaphore, Python says that it leaked where a process was killed."""
    tqdm.set_lock(threading.RLock())


class Progress:
    """Counts finished units of `name` up to `total`; inside another bar, it leaves nothing on the terminal."""

    def __init__(self, name: str, *, total: int, unit: str, done: int = 0) -> None:
        _use_own_lock()
        self._started = self._last_line = time.monotonic()
        self._outer = _open_bars[-1] if _open_bars else None
        self._name = f"{name} @ {self._outer.position()}" if self._outer else name
        self._total, self._unit, self._note = total, unit, ""
        self._done = self._done_at_start = done
        self._bar = tqdm(
            total=total,
            initial=done,
            desc=self._name,
            unit=unit,
            leave=self._outer is None,
            disable=not sys.stderr.isatty(),
        )

    def advance(self, units: int, note: str = "") -> None:
        """Counts `units` more; `note` shows the state of the work, such as its losses, until the next one."""
        self._done += units
        self._note = note or self._note
        self._bar.set_postfix_str(self._note, refresh=False)
        self._bar.update(units)
        now = time.monotonic()
        if self._bar.disable and now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._print(self._state(now))

    def rewind(self, done: int) -> None:
        """Goes back to `done` finished units; the rate counts from here."""
        self._started, self._done, self._done_at_start = time.monotonic(), done, done
        self._bar.n = done
        self._bar.refresh()

    def conclude(self, result: str) -> None:
        """Shows what came of the work: in its bar, or in a log as a line, but of inner work."""
        self._note = result
        self._bar.set_postfix_str(result)
        if self._bar.disable and self._outer is None:
            self._print(result)

    def position(self) -> str:
        """How far it is: `step 500`."""
        return f"{self._unit} {self._done}"

    def _state(self, now: float) -> str:
        rate = (self._done - self._done_at_start) / (now - self._started)
        left = (self._total - self._done) / max(rate, 1e-9)
        share = 100 * self._done / self._total
        digits = 0 if rate >= 10 else 2
        return f"{share:.0f} % ({rate:.{digits}f} {self._unit}/s, {left:.0f} s left) {self._note}".rstrip()

    def _print(self, text: str) -> None:
        print(f"{self._name}: {text}", file=sys.stderr, flush=True)  # noqa: T201 - a log line

    def __enter__(self) -> "Progress":
        _open_bars.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _open_bars.remove(self)
        self._bar.close()
