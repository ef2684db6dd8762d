"""Simulated cameras and decoders: the frames of another source at exact times, as long as wanted."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from types import TracebackType
from typing import Literal, Self, get_args

from rtface.errors import InputError
from rtface.io.source import Source, SourceInfo
from rtface.types import Frame

Pace = Literal["camera", "decoder", "off"]


class SimulatedCamera:
    """Another source, played again and again at a constant rate for a time; frames are numbered and timed anew.

    Frame ``k`` is due ``phase_s + k / fps`` s after the iteration's first request. Deadlines are counted from the
    start, so nothing drifts, and ``captured_ns`` is when the frame was due (``time.monotonic_ns``), so that latency
    counts from there however late it was delivered. Nothing is ever delivered early.

    pace ``camera``: the frame is read before it is due and handed over when it is, as by a camera whose driver has it
    ready. ``decoder``: what is due is the compressed picture; it is decoded after that, which counts as latency.
    ``off``: nothing waits, ``captured_ns`` is when the frame was asked for; for throughput.

    The same iteration may be repeated; the other source is closed with this one.
    """

    def __init__(self, source: Source, *, fps: float, seconds: float, pace: Pace = "camera",
                 phase_s: float = 0.0, clock_ns: Callable[[], int] = time.monotonic_ns,
                 sleep: Callable[[float], None] = time.sleep) -> None:
        """seconds: paced, ``ceil(seconds · fps)`` frames come; with pace ``off``, frames come until so many seconds
        have passed. clock_ns, sleep: for tests. InputError on values out of range.
        """
        if not 0 < fps <= 10_000:
            raise InputError(f"SimulatedCamera: got fps {fps!r}, expected a number above 0")
        if not 0 < seconds < math.inf:
            raise InputError(f"SimulatedCamera: got seconds {seconds!r}, expected a number above 0")
        if pace not in get_args(Pace):
            raise InputError(f"SimulatedCamera: got pace {pace!r}, expected one of {', '.join(get_args(Pace))}")
        if not 0 <= phase_s < math.inf:
            raise InputError(f"SimulatedCamera: got phase_s {phase_s!r}, expected at least 0")
        self._source, self._fps, self._seconds, self._pace, self._phase_s = source, fps, seconds, pace, phase_s
        self._clock_ns, self._sleep = clock_ns, sleep
        self._count = None if pace == "off" else math.ceil(seconds * fps - 1e-9)

    @property
    def info(self) -> SourceInfo:
        """Of the other source, with this rate and length."""
        return replace(self._source.info, kind="synthetic", fps=self._fps, frame_count=self._count,
                       duration_s=self._seconds)

    @property
    def problems(self) -> list[str]:
        """Of the other source."""
        return self._source.problems

    @property
    def expected_frames(self) -> int | None:
        """None with pace ``off``."""
        return self._count

    def __iter__(self) -> Iterator[Frame]:
        start_ns = self._clock_ns()
        with closing(_again_and_again(self._source)) as frames:
            for index in itertools.count() if self._count is None else range(self._count):
                now_ns = self._clock_ns()
                if self._count is None:
                    if now_ns - start_ns >= self._seconds * 1e9:
                        return
                    captured_ns, pixels = now_ns, next(frames).pixels
                else:
                    captured_ns = start_ns + round((self._phase_s + index / self._fps) * 1e9)
                    if self._pace == "camera":
                        pixels = next(frames).pixels
                        self._wait_until(captured_ns)
                    else:
                        self._wait_until(captured_ns)
                        pixels = next(frames).pixels
                yield Frame(pixels, index, index / self._fps, captured_ns)

    def _wait_until(self, due_ns: int) -> None:
        while (left_ns := due_ns - self._clock_ns()) > 0:
            self._sleep(left_ns / 1e9)

    def close(self) -> None:
        """Close the other source."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def _again_and_again(source: Source) -> Generator[Frame]:
    """InputError when the source has no frame at all."""
    while True:
        empty = True
        for frame in source:
            empty = False
            yield frame
        if empty:
            raise InputError(f"SimulatedCamera: got no frame from {source.info.name}, expected at least one")
