"""What a contour is, once: the outlines of the face and of its features, from a map of parsing classes.

The contour paper takes its contours from the feature regions of CelebAMask-HQ maps; so does the factory when it labels
faces, and so does the run time, from the map that the parsing network gives.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

PARSING: Final = ("background", "skin", "nose", "eye_glasses", "left_eye", "right_eye", "left_brow", "right_brow",
                  "left_ear", "right_ear", "mouth", "upper_lip", "lower_lip", "hair", "hat", "earring", "necklace",
                  "neck", "cloth")
"""The 19 classes in CelebAMask-HQ's order; left and right are the person's own."""
_SIDES: Final = [name.replace("left", "\0").replace("right", "left").replace("\0", "right") for name in PARSING]
MIRRORED_PARSING: Final = np.array([PARSING.index(name) for name in _SIDES], np.uint8)
"""What each parsing class is called in a mirror."""
FEATURES: Final = ("skin", "brows", "eyes", "nose", "lips")
"""The papers' five facial features; 0 in a feature map is everything else."""
LIKELY: Final = 0.2
"""Probability from which a pixel that N_cont draws in a hole counts as a line. A line is a pixel wide and nobody knows
to the pixel where it runs, so cross-entropy keeps even sure lines well below one half."""
_NUMBER: Final = {name: k for k, name in enumerate(PARSING)}
_FEATURE_OF: Final = np.array([0, 1, 4, 0, 3, 3, 2, 2, 0, 0, 5, 5, 5, 0, 0, 0, 0, 0, 0], np.uint8)
_BROWS, _EYES = 1 + FEATURES.index("brows"), 1 + FEATURES.index("eyes")


def features(parsing: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """CelebAMask-HQ classes → 0 and 1 + index into :data:`FEATURES`, same shape. Ears and neck are no feature."""
    return _FEATURE_OF[parsing]


def outlines(parsing: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Parsing classes (…, H, W) → True on the pixels just outside of the face, brows, eyes, nose and lips.

    Eyes have one outline each, so have the lips' inner and outer rims.
    """
    out = np.zeros(parsing.shape, np.bool_)
    for level in contour_levels(parsing):
        out |= grown(level, 1) & ~level
    return out


def contour_levels(parsing: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Parsing classes (…) → (7, …) the regions that have outlines: mouth, lips, nose, brows, eyes, the whole face."""
    feature = features(parsing)
    levels = [parsing == _NUMBER[name] for name in ("mouth", "upper_lip", "lower_lip", "nose")]
    return np.stack([*levels, feature == _BROWS, feature == _EYES, feature > 0])


def grown(mask: NDArray[np.bool_], px: int) -> NDArray[np.bool_]:
    """Masks (…, H, W) dilated by a square of 2·px + 1."""
    for axis in (-1, -2):
        moved = np.moveaxis(mask, axis, -1)
        out = moved.copy()
        for step in range(1, px + 1):
            out[..., step:] |= moved[..., :-step]
            out[..., :-step] |= moved[..., step:]
        mask = np.moveaxis(out, -1, axis)
    return mask




_LOOPS: Final = ((*range(36, 42), 36), (*range(42, 48), 42), (27, 31, 32, 33, 34, 35, 27), (*range(48, 60), 48),
                 (*range(60, 68), 60))
"""Eyes, nose, outer and inner rim of the lips, as rows of the 68 iBUG landmarks."""
_BROW_ROWS: Final = (tuple(range(17, 22)), tuple(range(22, 27)))
FOREHEAD: Final = 0.8
"""Hair begins about this share of the nose's length above the brows."""


def face_outline(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Landmarks (N, 68, 2) → the face's outline (N, 27, 2): jaw line, then the brows raised to where hair begins."""
    brows = landmarks[:, 26:16:-1]
    rise = np.float32(FOREHEAD) * (brows.mean(axis=1) - landmarks[:, 33])
    outline: NDArray[np.float32] = np.concatenate([landmarks[:, :17], brows + rise[:, None]], axis=1)
    return outline


def sketch(landmarks: NDArray[np.float32], size: int) -> NDArray[np.bool_]:
    """Landmarks (N, 68, 2) px of square pictures → (N, size, size) the contours that they stand for.

    What :func:`outlines` would give for a face with these points, as far as 68 of them tell.
    """
    out = np.zeros((len(landmarks), size, size), np.bool_)
    for k, (points, outline) in enumerate(zip(landmarks, face_outline(landmarks), strict=True)):
        for loop in _LOOPS:
            _draw(out[k], points[list(loop)])
        _draw(out[k], np.concatenate([outline, outline[:1]]))
        for rows in _BROW_ROWS:
            brow = np.zeros((size, size), np.bool_)
            _draw(brow, points[list(rows)])
            brow = grown(brow, max(1, round(size / 128)))
            out[k] |= grown(brow, 1) & ~brow
    return out


def _draw(picture: NDArray[np.bool_], line: NDArray[np.float32]) -> None:
    """Set the pixels along a polyline (P, 2) px; what lies beyond the picture is left out."""
    size = picture.shape[0]
    for start, end in zip(line[:-1], line[1:], strict=True):
        count = min(int(2 * np.abs(end - start).max()) + 2, 4 * size)
        column, row = np.floor(np.linspace(start, end, count)).astype(np.int64).T
        inside = (column >= 0) & (row >= 0) & (column < size) & (row < size)
        picture[row[inside], column[inside]] = True
