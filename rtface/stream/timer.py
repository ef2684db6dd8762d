"""How long each stage takes."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from rtface.stream.spans import StageObserver
from rtface.types import Frame


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Summary of one stage over the frames in which it ran, milliseconds."""

    count: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    total_ms: float


class StageTimer:
    """Collects milliseconds per stage and frame. For one thread.

    Stages may be nested: each has its own time, without that of the stages inside it, so that all add up.
    """

    def __init__(self, observer: StageObserver | None = None) -> None:
        """observer: is told of every stage's begin and end; None costs nothing."""
        self._observer = observer
        self._index = -1
        self._frame: dict[str, float] = {}
        self._inner_ms: list[float] = []  # time of nested stages, one entry per open stage
        self._history: dict[str, array[float]] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block; blocks of the same name in one frame add up."""
        if self._observer is not None:
            self._observer.begin(name)
        self._inner_ms.append(0.0)
        start = time.perf_counter_ns()
        try:
            yield
        finally:
            elapsed = (time.perf_counter_ns() - start) / 1e6
            self.add(name, elapsed - self._inner_ms.pop())
            if self._inner_ms:
                self._inner_ms[-1] += elapsed
            if self._observer is not None:
                self._observer.end(name, self._index)

    def begin_frame(self, index: int) -> None:
        """The stages that follow work on this frame of the source; for the observer."""
        self._index = index

    def add(self, name: str, elapsed_ms: float) -> None:
        """Count time that was measured elsewhere."""
        self._frame[name] = self._frame.get(name, 0.0) + elapsed_ms

    def end_frame(self) -> dict[str, float]:
        """Milliseconds per stage since the last call, in the order the stages ended; they join the summary."""
        frame, self._frame = self._frame, {}
        for name, value in frame.items():
            self._history.setdefault(name, array("d")).append(value)
        return frame

    def summary(self) -> dict[str, StageTimes]:
        """Per stage, over the frames in which it ran."""
        out = {}
        for name, values in self._history.items():
            p50, p95 = np.percentile(values, (50, 95))
            out[name] = StageTimes(len(values), float(np.mean(values)), float(p50), float(p95), float(np.sum(values)))
        return out


def timed(source: Iterable[Frame], observer: StageObserver | None) -> Iterator[tuple[Frame, float]]:
    """Frames and the milliseconds it took to get them, for the source's thread; the observer hears of ``source``."""
    frames = iter(source)
    try:
        while True:
            start = time.perf_counter_ns()
            if observer is not None:
                observer.begin("source")
            frame = None
            try:
                frame = next(frames, None)
            finally:
                if observer is not None:
                    observer.end("source", -1 if frame is None else frame.index)
            if frame is None:
                return
            yield frame, (time.perf_counter_ns() - start) / 1e6
    finally:
        if hasattr(frames, "close"):
            frames.close()
