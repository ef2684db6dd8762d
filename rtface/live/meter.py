"""How fast and how late a live run is: now, for the window, and over the whole run, for its summary."""

from __future__ import annotations

import threading
from array import array
from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from rtface.types import FrameResult

RECENT_S: Final = 2.0
"""What "now" means."""
QUANTILES: Final = {"p50_ms": 50, "p90_ms": 90, "p99_ms": 99, "max_ms": 100}


class Reading(NamedTuple):
    """The last two seconds."""

    fps: float
    """Results per second."""
    p50_ms: float
    """Median time from a frame's capture to its result; NaN without results."""
    p99_ms: float


class Meter:
    """Latencies from the capture clock (:attr:`rtface.types.Frame.captured_ns`); for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[str, array[float]] = {"result": array("d"), "drawn": array("d")}
        self._recent: deque[tuple[int, float]] = deque()

    def result(self, result: FrameResult, now_ns: int) -> None:
        """A result is there."""
        latency_ms = (now_ns - result.frame.captured_ns) / 1e6
        with self._lock:
            self._all["result"].append(latency_ms)
            self._recent.append((now_ns, latency_ms))
            self._forget(now_ns)

    def drawn(self, result: FrameResult, now_ns: int) -> None:
        """It is on the screen (its buffers are swapped) for the first time."""
        with self._lock:
            self._all["drawn"].append((now_ns - result.frame.captured_ns) / 1e6)

    def reading(self, now_ns: int) -> Reading:
        """Of the seconds before now."""
        with self._lock:
            self._forget(now_ns)
            recent = list(self._recent)
        if len(recent) < 2:
            return Reading(0.0, *([recent[0][1]] * 2 if recent else [float("nan")] * 2))
        span_s = max(now_ns - recent[0][0], 1) / 1e9
        p50, p99 = np.percentile([latency for _, latency in recent], (50, 99))
        return Reading((len(recent) - 1) / span_s, float(p50), float(p99))

    def totals(self) -> Mapping[str, Mapping[str, float]]:
        """``result`` and, where there was a window, ``drawn``: count, p50_ms, p90_ms, p99_ms, max_ms."""
        with self._lock:
            copies = {name: np.array(values) for name, values in self._all.items() if values}
        return {name: {"count": len(values),
                       **{key: round(float(np.percentile(values, q)), 3) for key, q in QUANTILES.items()}}
                for name, values in copies.items()}

    def _forget(self, now_ns: int) -> None:
        while self._recent and now_ns - self._recent[0][0] > RECENT_S * 1e9:
            self._recent.popleft()
