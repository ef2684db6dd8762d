"""When stages began and ended, for measurements, traces and profilers."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple, Protocol


class StageObserver(Protocol):
    """Told of stages in the thread that runs them; begins and ends nest."""

    def begin(self, name: str) -> None:
        """A stage begins."""
        ...

    def end(self, name: str, frame: int) -> None:
        """It has ended; frame: index of the source's frame, -1 when there was none (the source's end)."""
        ...


class Span(NamedTuple):
    """One stage of one frame."""

    name: str
    frame: int
    start_ns: int
    """``time.monotonic_ns()``: the clock of ``Frame.captured_ns``."""
    end_ns: int
    thread: str


class SpanRecorder:
    """Keeps every span, from all threads, in the order in which they ended."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._open = threading.local()

    def begin(self, name: str) -> None:
        """See :class:`StageObserver`."""
        if not hasattr(self._open, "starts"):
            self._open.starts = []
        self._open.starts.append(time.monotonic_ns())

    def end(self, name: str, frame: int) -> None:
        """See :class:`StageObserver`."""
        now = time.monotonic_ns()
        self.spans.append(Span(name, frame, self._open.starts.pop(), now, threading.current_thread().name))


class Observers:
    """Several observers as one."""

    def __init__(self, *observers: StageObserver) -> None:
        self._observers = observers

    def begin(self, name: str) -> None:
        """See :class:`StageObserver`."""
        for observer in self._observers:
            observer.begin(name)

    def end(self, name: str, frame: int) -> None:
        """See :class:`StageObserver`; the last to be told of the begin is the first to be told of the end."""
        for observer in reversed(self._observers):
            observer.end(name, frame)
