"""Cuts between shots: a frame that has nothing to do with the one before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from rtface.geometry import FloatArray
from rtface.types import Array, Frame

GRID: Final = 16
"""Frames are compared at so many places along each side."""
TIMES_MOTION: Final = 4.0
"""A cut changes the picture at least this many times as much as frames did lately."""
_SHARE: Final = 0.1
"""Of the newest change in the running mean."""


class CutFinder:
    """Compares every frame with the one before it; call :meth:`is_cut` frame by frame, in order."""

    def __init__(self, change: float) -> None:
        """change: mean difference in gray levels (0..255) that makes a cut; 0: there are none."""
        self._change = change
        self.reset()

    def reset(self) -> None:
        """Forget the last frame."""
        self._before: FloatArray | None = None
        self._motion = 0.0

    def is_cut(self, frame: Frame) -> bool:
        """Whether a new shot begins with this frame; never for the first one, or where the size changes."""
        if not self._change:
            return False
        rows, columns = (np.linspace(0, side - 1, GRID).astype(np.intp) for side in (frame.height, frame.width))
        now: FloatArray = np.asarray(frame.pixels[rows][:, columns], np.float32).mean(axis=2)
        before, self._before = self._before, now
        if before is None:
            return False
        difference = float(np.abs(now - before).mean())
        cut = difference > max(self._change, TIMES_MOTION * self._motion)
        if not cut:
            self._motion += _SHARE * (difference - self._motion)
        return cut

    def snapshot(self) -> dict[str, Array]:
        """All state as small arrays, for :meth:`restore`."""
        known = np.zeros((0, GRID), np.float32) if self._before is None else self._before
        return {"cut_before": known, "cut_motion": np.array(self._motion)}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on after the frame at which :meth:`snapshot` was taken."""
        known = np.array(state["cut_before"], np.float32)
        self._before, self._motion = known if len(known) else None, float(state["cut_motion"])
