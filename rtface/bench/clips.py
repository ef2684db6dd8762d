"""What the pipelines look at: the demo clip with as many faces as wanted, or a video."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.io import ArraySource, Source, open_source
from rtface.synth.clip import FPS, demo_clip

Pixels = NDArray[np.uint8]
DRAWN_FRAMES: Final = 60
"""Of the demo clip; it is played forth and back, so that there is no cut where it begins again."""
ASPECT: Final = 4 / 5
"""Width / height that a cell of several faces must have at least; the face stands in the middle of the clip."""


def draw_demo(seed: int, frames: int = DRAWN_FRAMES) -> list[Pixels]:
    """Frames (480, 640, 3) uint8 of the demo clip, then the same backwards without both ends."""
    forth = list(demo_clip(seed, frames=frames))
    return forth + forth[-2:0:-1]


def tile_faces(frames: Sequence[Pixels], count: int) -> list[Pixels]:
    """Clips of one face each, ``count`` side by side in pictures of the same size (H, W, 3), each at another moment.

    One face: the frames as they are. The grid has as few cells as its shape allows; what is left is grey.
    """
    if count == 1:
        return list(frames)
    height, width = frames[0].shape[:2]
    columns = min(count, max(1, round(math.sqrt(count * width / height / ASPECT))))
    rows = -(-count // columns)
    high, wide = height // rows, width // columns
    side = min(width, round(height * wide / high))  # of the middle part that has the cell's shape
    scale = min(wide / side, high / height)
    left = (width - side) // 2
    cells = [cv2.resize(np.ascontiguousarray(frame[:, left:left + side]), (round(side * scale), round(height * scale)),
                        interpolation=cv2.INTER_AREA) for frame in frames]
    out = []
    for moment in range(len(frames)):
        picture = np.full((height, width, 3), 96, np.uint8)
        for k in range(count):
            cell = cells[(moment + k * len(frames) // count) % len(frames)]
            top, start = k // columns * high, k % columns * wide
            picture[top:top + cell.shape[0], start:start + cell.shape[1]] = cell
        out.append(picture)
    return out


class Clips:
    """Sources of frames for the cases; the demo clip is drawn once."""

    def __init__(self, video: Path | None, seed: int, frames: Sequence[Pixels] | None = None) -> None:
        """frames: to use instead of the demo clip. MediaError when the video cannot be read."""
        self._video = video
        self._tiled: dict[int, list[Pixels]] = {}
        self.shape: tuple[int, int]
        """Height and width of all frames (of a video's first one), px."""
        if video is None:
            self._tiled[1] = list(frames) if frames is not None else draw_demo(seed)
            height, width = self._tiled[1][0].shape[:2]
            self.shape = height, width
        else:
            with open_source(video) as source:
                self.shape = source.info.height, source.info.width

    def prepare(self, faces: int) -> None:
        """Draw what :meth:`open` needs, so that it takes no time later."""
        if self._video is None and faces not in self._tiled:
            self._tiled[faces] = tile_faces(self._tiled[1], faces)

    def open(self, faces: int) -> Source:
        """A new source, to be closed by the caller; faces: of the demo clip."""
        if self._video is not None:
            return open_source(self._video)
        self.prepare(faces)
        return ArraySource(self._tiled[faces], fps=FPS)
