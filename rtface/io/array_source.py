"""Sources without files: arrays in memory and generated frames, for tests, examples and users' own pictures."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.io.source import SourceInfo
from rtface.types import Frame

Pixels = NDArray[np.uint8]


class ArraySource:
    """Frames from arrays in memory.

    frames: (T, H, W, 3) uint8 RGB, or a sequence of (H, W, 3) uint8 RGB arrays of any sizes; not copied.
    pts_s: T strictly increasing times in s; without it the frames come at ``fps`` per second from 0 s.
    Raises :class:`InputError` for no frames, wrong shapes or times.
    """

    def __init__(self, frames: Sequence[Pixels] | Pixels, *, pts_s: Sequence[float] | None = None,
                 fps: float = 25.0) -> None:
        if len(frames) == 0:
            raise InputError("ArraySource: got no frames, expected at least one (H, W, 3) uint8 array")
        if not 0 < fps <= 10_000:
            raise InputError(f"ArraySource: got fps {fps!r}, expected a number above 0")
        times = [i / fps for i in range(len(frames))] if pts_s is None else [float(t) for t in pts_s]
        if len(times) != len(frames):
            raise InputError(f"ArraySource: got {len(times)} times for {len(frames)} frames, expected one per frame")
        if any(b <= a for a, b in zip(times, times[1:], strict=False)) or not np.isfinite(times).all():
            raise InputError("ArraySource: got pts_s that do not increase, expected strictly increasing seconds")
        self._frames = [Frame(pixels, index, t) for index, (pixels, t) in enumerate(zip(frames, times, strict=True))]
        first = self._frames[0]
        digest = hashlib.sha256()
        for frame in self._frames:
            digest.update(np.ascontiguousarray(frame.pixels).data)
            digest.update(repr(frame.pts_s).encode())
        span = times[-1] - times[0]
        rate = (len(times) - 1) / span if span > 0 else fps
        self._info = SourceInfo("arrays", "array", first.width, first.height, rate, len(times), span + 1 / rate, 0,
                                "raw", digest.hexdigest()[:16])

    @property
    def info(self) -> SourceInfo:
        return self._info

    @property
    def problems(self) -> list[str]:
        """Always empty: arrays are not damaged."""
        return []

    @property
    def expected_frames(self) -> int | None:
        return len(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._frames:
            yield Frame(frame.pixels, frame.index, frame.pts_s, time.monotonic_ns())

    def close(self) -> None:
        """Nothing to release."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


class SyntheticSource:
    """Frames that a function draws, optionally at exact real-time rate, as a camera would deliver them.

    make_frame: index → (H, W, 3) uint8 RGB. count: number of frames; None: without end. fps: frames per second.
    realtime: frame ``i`` is delivered ``i / fps`` s after the iteration began (measured from its first request, no
    drift: every deadline is counted from the start); it is drawn beforehand, as long as ``make_frame`` keeps up. A
    consumer that is late gets the waiting frames at once; ``captured_ns`` is when a frame was due, so that latency
    counts from there.
    """

    def __init__(self, make_frame: Callable[[int], Pixels], count: int | None, fps: float = 30.0, *,
                 realtime: bool = False) -> None:
        if count is not None and count < 1:
            raise InputError(f"SyntheticSource: got count {count!r}, expected at least 1")
        if not 0 < fps <= 10_000:
            raise InputError(f"SyntheticSource: got fps {fps!r}, expected a number above 0")
        self._make_frame, self._count, self._fps, self._realtime = make_frame, count, fps, realtime
        self._first = Frame(make_frame(0), 0, 0.0)
        digest = hashlib.sha256(np.ascontiguousarray(self._first.pixels).data).hexdigest()[:16]
        self._info = SourceInfo("synthetic", "synthetic", self._first.width, self._first.height, fps, count,
                                None if count is None else count / fps, 0, "raw", f"{count}-{fps:g}-{digest}")

    @property
    def info(self) -> SourceInfo:
        return self._info

    @property
    def problems(self) -> list[str]:
        """Always empty."""
        return []

    @property
    def expected_frames(self) -> int | None:
        return self._count

    def __iter__(self) -> Iterator[Frame]:
        start_ns = time.monotonic_ns()
        for index in itertools.count() if self._count is None else range(self._count):
            pixels = self._first.pixels if index == 0 else self._make_frame(index)
            captured_ns = time.monotonic_ns()
            if self._realtime:
                due_ns = start_ns + round(index * 1e9 / self._fps)
                if captured_ns < due_ns:
                    time.sleep((due_ns - captured_ns) / 1e9)
                captured_ns = due_ns
            yield Frame(pixels, index, index / self._fps, captured_ns)

    def close(self) -> None:
        """Nothing to release."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()
