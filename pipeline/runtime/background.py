"""Work that goes on in another thread while this one makes more of it."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Queue
from threading import Thread
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

Item = TypeVar("Item")


class CutShortError(Exception):
    """Ends the work of a BackgroundWorker early: what should come next never will, because of an error elsewhere."""


class BackgroundWorker(Generic[Item]):
    """A thread in which `work` consumes what is put, at most `depth` items behind; use it as a context manager.

    At the end of the block everything that was put has been worked on. An error of the work comes out of the
    next `put`, or of the block, as it is. If the block ends in an error of its own, the work finds its items
    followed by a CutShortError, so that it finishes what is whole and drops the rest.
    """

    def __init__(self, work: Callable[[Iterator[Item]], None], depth: int) -> None:
        self._work = work
        self._queue: Queue[Any] = Queue(depth)
        self._error: BaseException | None = None
        self._ended = False
        self._thread = Thread(target=self._run, daemon=True)  # a second Ctrl-C need not wait for it

    def put(self, item: Item) -> None:
        """Hands `item` over; waits while `depth` items are waiting."""
        if self._error is not None:
            raise self._error
        self._queue.put(item)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._queue.put(_End(cut_short=kind is not None))
        self._thread.join()
        if self._error is not None and self._error is not error:
            raise self._error

    def _run(self) -> None:
        try:
            with suppress(CutShortError):
                self._work(self._items())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that puts
            self._error = error
        while not self._ended:  # nobody shall wait for a place in the queue of a worker that has stopped
            self._take()

    def _take(self) -> Any:
        item = self._queue.get()
        self._ended = isinstance(item, _End)
        return item

    def _items(self) -> Iterator[Item]:
        while not isinstance(item := self._take(), _End):
            yield item
        if item.cut_short:
            raise CutShortError


class _End:
    """What is put last."""

    def __init__(self, *, cut_short: bool) -> None:
        self.cut_short = cut_short
