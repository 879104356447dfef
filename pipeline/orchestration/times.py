"""What each kind of stage took in a run: printed at its end, since no output may hold a time."""

import resource
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Took:
    """Wall and processor time of one stage, in seconds; processor time is that of all its threads."""

    wall: float = 0.0
    processor: float = 0.0


@dataclass
class Times:
    """What the stages of a run took; `began` is when it started, on the clock of `time.monotonic`."""

    began: float = field(default_factory=time.monotonic)
    took: dict[str, list[Took]] = field(default_factory=dict)
    restored: dict[str, int] = field(default_factory=dict)

    def add(self, stage: str, took: Took) -> None:
        """Counts a stage, such as `train_gan@0`, that ran."""
        self.took.setdefault(_kind(stage), []).append(took)

    def add_restored(self, stage: str) -> None:
        """Counts a stage whose outs came from DVC's cache."""
        self.restored[_kind(stage)] = self.restored.get(_kind(stage), 0) + 1

    def describe(self) -> str:
        """A line a kind of stage, in the order in which they first ended, and a line for all; empty where none ran."""
        from pipeline.evaluation.report.write import align  # here: it loads torch, before the machine is checked

        if not self.took:
            return ""
        kinds = list(dict.fromkeys([*self.took, *self.restored]))
        rows: list[tuple[str, ...]] = [("stage", "ran", "from cache", "wall time", "processor time")]
        rows += [_row(kind, self.took.get(kind, ()), self.restored.get(kind, 0)) for kind in kinds]
        rows.append(_row("all", (took for group in self.took.values() for took in group), sum(self.restored.values())))
        elapsed = duration(time.monotonic() - self.began)
        return "\n".join([*align(rows), f"Elapsed: {elapsed}; the wall times of stages side by side add up to more."])


@contextmanager
def time_here() -> Iterator[Took]:
    """Fills in what this process takes for the block."""
    with _time(time.process_time) as took:
        yield took


@contextmanager
def time_children() -> Iterator[Took]:
    """Fills in what child processes that end within the block take."""

    def processor() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    with _time(processor) as took:
        yield took


def duration(seconds: float) -> str:
    """Such as '14 s', '3.2 min', '1.4 h'."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


@contextmanager
def _time(processor: Callable[[], float]) -> Iterator[Took]:
    took, began, used = Took(), time.monotonic(), processor()
    try:
        yield took
    finally:
        took.wall, took.processor = time.monotonic() - began, processor() - used


def _row(name: str, took: Iterable[Took], restored: int) -> tuple[str, ...]:
    group = list(took)
    wall, processor = (sum(getattr(entry, key) for entry in group) for key in ("wall", "processor"))
    return name, f"{len(group)}", f"{restored}", duration(wall), duration(processor)


def _kind(stage: str) -> str:
    return stage.split("@")[0]
