"""Free-form holes: thick random strokes over a picture, until they hide a wanted share of it.

Irregular masks sorted by the share that they hide are how completion is measured (Liu et al., "Image Inpainting for
Irregular Holes Using Partial Convolutions", ECCV 2018, §4.1: bins up to 60 %); strokes of a wandering round brush are
those of Yu et al., "Free-Form Image Inpainting with Gated Convolution", ICCV 2019, §3.4. Sizes here are shares of the
picture's side, and the brush starts as a dot and widens, so that every step hides little and the share is met closely.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError

Cover = NDArray[np.bool_]
RADIUS: Final = (0.04, 0.10)
"""Of the brush, least and most, of the picture's side."""
LENGTH: Final = (0.3, 1.2)
"""Of a stroke, of the picture's side."""
BEND: Final = 0.08
"""Standard deviation of the brush's turn per px at a side of 128 px, rad."""
WIDENS: Final = 0.5
"""px of radius per px of way, from 1 px on."""
TOLERANCE: Final = 0.01
"""The share hidden is at most so much below the wanted one, for sides of 64 px and more; it is never above it."""
SHIFT: Final = 4
"""Binary digits behind the point in OpenCV's circles."""


def draw(rng: np.random.Generator, size: int, share: float, where: Cover | None = None) -> Cover:
    """Strokes over a picture of ``size`` x ``size`` px: (size, size), True where it is hidden.

    share: how much of the whole picture, 0..1. where (size, size): px that may be hidden, None for all. InputError for
    another shape, or when ``where`` is smaller than the share.
    """
    where = np.ones((size, size), np.bool_) if where is None else where
    if where.shape != (size, size):
        raise InputError(f"strokes: got an area {where.shape}, expected {(size, size)}")
    if not 0 <= share <= where.mean():
        raise InputError(f"strokes: got {share:.3f} of the picture to hide, expected 0 to {where.mean():.3f}, which is "
                         "what may be hidden")
    wanted = int(share * size * size + 1e-6)
    area, cover = where.astype(np.uint8), np.zeros((size, size), np.uint8)
    while True:
        free = np.flatnonzero(area > cover)
        if not len(free):
            return cover > 0
        row, column = divmod(int(rng.choice(free)), size)
        x, y, turned = float(column), float(row), rng.uniform(0, 2 * np.pi)
        widest, length = rng.uniform(*RADIUS) * size, rng.uniform(*LENGTH) * size
        for way, turn in enumerate(rng.normal(0, BEND * 128 / size, int(length))):
            radius = min(1 + WIDENS * way, widest)
            step = cover.copy()
            cv2.circle(step, (round(x * 2 ** SHIFT), round(y * 2 ** SHIFT)), round(radius * 2 ** SHIFT), 1, cv2.FILLED,
                       shift=SHIFT)
            step &= area
            if np.count_nonzero(step) > wanted:
                return cover > 0
            cover, turned = step, turned + turn
            x, y = x + np.cos(turned), y + np.sin(turned)
            if not (0 <= x < size and 0 <= y < size):
                break
