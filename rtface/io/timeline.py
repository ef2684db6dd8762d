"""Times of frames (repaired where a file's are not usable) and the choice of frames by start, end and step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rtface.errors import InputError

_DUPLICATE_STEP = 0.1
"""A time stamp equal to the one before is moved on by this share of a frame's duration."""
_JUMP_BACK = 10.0
"""Going back by more than this many frame durations is a break in the clock: all later times are shifted."""


class Timeline:
    """Strictly increasing seconds from time stamps that may be missing, equal or going back.

    frame_s: nominal duration of a frame in s, used until the stream's own differences are known.
    """

    def __init__(self, frame_s: float) -> None:
        self._step = frame_s if frame_s > 0 else 1 / 25
        self._last: float | None = None
        self._shift = 0.0
        self._origin: float | None = None
        self.missing = 0
        """Time stamps that were missing and estimated."""
        self.moved = 0
        """Time stamps that were not later than the one before and were moved."""
        self.breaks = 0
        """Places where the clock went back and all later times were shifted."""

    def start(self, origin_s: float) -> None:
        """Set the stream's start time, which is subtracted; without it the first time stamp is the start."""
        self._origin = origin_s

    def next(self, time_s: float | None) -> float:
        """The repaired time in s (≥ 0, strictly increasing) of the next frame with raw time ``time_s``."""
        last = self._last
        if time_s is not None:
            if self._origin is None or (last is None and time_s < self._origin):
                self._origin = time_s
            time_s = time_s - self._origin + self._shift
        if last is None:
            out = 0.0 if time_s is None else time_s
            self.missing += time_s is None
        elif time_s is None:
            self.missing += 1
            out = last + self._step
        elif time_s > last:
            self._step = time_s - last if time_s - last < 1.0 else self._step
            out = time_s
        elif last - time_s > _JUMP_BACK * self._step:
            self.breaks += 1
            out = last + self._step
            self._shift += out - time_s
        else:
            self.moved += 1
            out = last + _DUPLICATE_STEP * self._step
        self._last = out
        return out

    def problems(self) -> list[str]:
        """What was repaired, one line each."""
        lines = []
        if self.missing:
            lines.append(f"{self.missing} frame(s) without a time stamp; estimated from the frame before")
        if self.moved:
            lines.append(f"{self.moved} time stamp(s) not later than the one before; moved on slightly")
        if self.breaks:
            lines.append(f"the clock of the file went back {self.breaks} time(s); later times were shifted")
        return lines


@dataclass(frozen=True, slots=True)
class Selection:
    """Which frames of a source are delivered: times in [start_s, end_s), then every ``every``-th of those."""

    start_s: float | None = None
    """First time in s that is delivered; None = from the start."""
    end_s: float | None = None
    """Time in s from which on nothing is delivered; None = to the end."""
    every: int = 1
    """Deliver the first chosen frame and every ``every``-th after it; indices stay those of the source."""
    after_index: int = -1
    """Frames up to this source index are passed over (they are done already); the step's phase is kept."""

    def __post_init__(self) -> None:
        if not isinstance(self.every, int) or self.every < 1:
            raise InputError(f"every: got {self.every!r}, expected a whole number of at least 1")
        for name, value in (("start", self.start_s), ("end", self.end_s)):
            if value is not None and not 0 <= value < float("inf"):
                raise InputError(f"{name}: got {value!r} s, expected a time of at least 0 s")
        if self.end_s is not None and self.end_s <= (self.start_s or 0.0):
            raise InputError(f"end: got {self.end_s:g} s, expected a time after the start ({self.start_s or 0:g} s)")

    def expected(self, frame_count: int | None, fps: float | None) -> int | None:
        """About how many frames will be delivered, from a source's estimates; None when those are unknown."""
        if frame_count is None:
            return None
        first, last = 0, frame_count
        if fps:
            first = min(frame_count, round((self.start_s or 0.0) * fps))
            last = frame_count if self.end_s is None else min(frame_count, round(self.end_s * fps))
        chosen = -(-max(0, last - first) // self.every)
        done = -(-max(0, min(self.after_index + 1, last) - first) // self.every)
        return max(0, chosen - done)


class Picker:
    """Applies a :class:`Selection` to frames in order; remembers how many were seen."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._first: int | None = None
        self.in_range = 0
        """Frames between start and end seen so far, whether delivered or not."""

    def pick(self, index: int, pts_s: float) -> Literal["take", "pass", "stop"]:
        """What to do with frame ``index`` at ``pts_s``: deliver it, pass over it, or stop reading."""
        chosen = self._selection
        if chosen.end_s is not None and pts_s >= chosen.end_s - 1e-9:
            return "stop"
        if chosen.start_s is not None and pts_s < chosen.start_s - 1e-9:
            return "pass"
        self.in_range += 1
        if self._first is None:
            self._first = index
        if (index - self._first) % chosen.every or index <= chosen.after_index:
            return "pass"
        return "take"
