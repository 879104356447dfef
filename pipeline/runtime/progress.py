"""Progress of long work: a bar with rate and time left on a terminal, plain lines elsewhere."""

import sys
import threading
import time

from tqdm import tqdm

tqdm.set_lock(threading.RLock())  # of its own, a semaphore, Python says that it leaked where a process was killed
SECONDS_BETWEEN_LINES = 30.0  # in a log file, a line every half minute is enough


class Progress:
    """Counts finished units of `name` up to `total`."""

    def __init__(self, name: str, *, total: int, unit: str, done: int = 0) -> None:
        self._started = self._last_line = time.monotonic()
        self._name, self._total, self._unit = name, total, unit
        self._done = self._done_at_start = done
        shown = sys.stderr.isatty()
        self._bar = tqdm(total=total, initial=done, desc=name, unit=unit, unit_scale=True, disable=not shown)

    def advance(self, units: int, note: str = "") -> None:
        """Counts `units` more; `note` shows the state of the work, such as its losses."""
        self._done += units
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(units)
        now = time.monotonic()
        if self._bar.disable and now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            print(self._line(now, note), file=sys.stderr, flush=True)  # noqa: T201 - a log line

    def rewind(self, done: int) -> None:
        """Goes back to `done` finished units; the rate counts from here."""
        self._started, self._done, self._done_at_start = time.monotonic(), done, done
        self._bar.n = done
        self._bar.refresh()

    def say(self, line: str) -> None:
        """Prints a line without breaking the bar."""
        tqdm.write(line, file=sys.stderr)

    def _line(self, now: float, note: str) -> str:
        rate = (self._done - self._done_at_start) / (now - self._started)
        left = (self._total - self._done) / max(rate, 1e-9)
        share = 100 * self._done / self._total
        digits = 0 if rate >= 10 else 2
        return f"{self._name}: {share:.0f} % ({rate:.{digits}f} {self._unit}/s, {left:.0f} s left) {note}".rstrip()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
