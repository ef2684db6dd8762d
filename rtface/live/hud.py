"""Text and bars over the picture, as small bitmaps: straight-alpha RGBA, drawn only when what they say changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.types import REGIONS, FaceStatus

Bitmap = NDArray[np.uint8]
Ink = tuple[int, int, int]
PLAIN: Final[Ink] = (232, 236, 238)
DIM: Final[Ink] = (150, 160, 166)
GOOD: Final[Ink] = (92, 205, 180)
WARN: Final[Ink] = (250, 178, 66)
RED: Final[Ink] = (255, 84, 72)
_PANEL: Final = (14, 17, 20, 176)
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_SIZE: Final = 0.5
_LINE: Final = 20
_MARGIN: Final = 10
_BAR: Final = 78
STATUS_INK: Final[Mapping[FaceStatus, Ink]] = {FaceStatus.TRACKED: GOOD, FaceStatus.HELD: WARN,
                                               FaceStatus.INTERPOLATED: WARN, FaceStatus.ABSENT: DIM}


class FaceReading(NamedTuple):
    """What the panel says of a face."""

    identifier: int
    status: FaceStatus
    confidence: float
    regions: tuple[float, ...]
    """Visible share of each of :data:`rtface.types.REGIONS`."""


def text_panel(lines: Sequence[tuple[str, Ink]]) -> Bitmap:
    """(h, w, 4): one line below the other on a dark ground."""
    width = max(_width(text) for text, _ in lines) + 2 * _MARGIN
    out = _ground(len(lines) * _LINE + 2 * _MARGIN - 6, width)
    for k, (text, ink) in enumerate(lines):
        _write(out, text, _MARGIN, _MARGIN + k * _LINE + 11, ink)
    return out


def help_panel(keys: Sequence[tuple[str, str]]) -> Bitmap:
    """(h, w, 4): keys and what they do, in two columns."""
    left = max(_width(key) for key, _ in keys) + 16
    out = _ground(len(keys) * _LINE + 2 * _MARGIN - 6, left + max(_width(text) for _, text in keys) + 2 * _MARGIN)
    for k, (key, text) in enumerate(keys):
        baseline = _MARGIN + k * _LINE + 11
        _write(out, key, _MARGIN, baseline, GOOD)
        _write(out, text, _MARGIN + left, baseline, PLAIN)
    return out


def faces_panel(faces: Sequence[FaceReading]) -> Bitmap:
    """(h, w, 4): for each face its id, status and confidence, and a bar per region: how much of it is seen."""
    label = max(_width(name) for name in REGIONS) + 10
    width = label + _BAR + 2 * _MARGIN
    each = (1 + len(REGIONS)) * 17 + 10
    heads = [f"face {f.identifier}  {f.status.value}  {f.confidence:.2f}" for f in faces]
    out = _ground(len(faces) * each + _MARGIN, max(width, *(_width(h) + 2 * _MARGIN for h in heads)))
    for k, (face, head) in enumerate(zip(faces, heads, strict=True)):
        top = _MARGIN + k * each
        _write(out, head, _MARGIN, top + 11, STATUS_INK[face.status])
        for n, (name, seen) in enumerate(zip(REGIONS, face.regions, strict=True)):
            y = top + 17 * (n + 1) + 11
            _write(out, name, _MARGIN, y, DIM)
            left, share = _MARGIN + label, float(np.clip(np.nan_to_num(seen), 0, 1))
            cv2.rectangle(out, (left, y - 8), (left + _BAR, y - 1), (60, 66, 70, 220), -1)
            if share > 0:
                ink = GOOD if share > 0.7 else WARN if share > 0.3 else RED
                cv2.rectangle(out, (left, y - 8), (left + round(share * _BAR), y - 1), (*ink, 255), -1)
    return out


@lru_cache(maxsize=256)
def tag(text: str, ink: Ink) -> Bitmap:
    """(h, w, 4): a short text to put at a face; the same array for the same text."""
    out = _ground(20, _width(text) + 10)
    _write(out, text, 5, 14, ink)
    return out


def _ground(height: int, width: int) -> Bitmap:
    return np.full((height, width, 4), _PANEL, np.uint8)


def _width(text: str) -> int:
    return int(cv2.getTextSize(text, _FONT, _SIZE, 1)[0][0])


def _write(out: Bitmap, text: str, x: int, baseline: int, ink: Ink) -> None:
    """Lay text over a ground; its smooth edges are a share of ink and ground in colour and opacity alike."""
    cover = np.zeros(out.shape[:2], np.uint8)
    cv2.putText(cover, text, (x, baseline), _FONT, _SIZE, 255, 1, cv2.LINE_AA)
    share = cover[..., None].astype(np.float32) / 255
    out[:] = np.rint(out * (1 - share) + np.array([*ink, 255], np.float32) * share).astype(np.uint8)
