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
FEATURES: Final = ("skin", "brows", "eyes", "nose", "lips")
"""The papers' five facial features; 0 in a feature map is everything else."""
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
    feature = features(parsing)
    levels = [parsing == _NUMBER[name] for name in ("mouth", "upper_lip", "lower_lip", "nose")]
    levels += [feature == _BROWS, feature == _EYES, feature > 0]
    out = np.zeros(parsing.shape, np.bool_)
    for level in levels:
        out |= grown(level, 1) & ~level
    return out


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


