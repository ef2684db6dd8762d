"""How sure rtface is of a face and which of its regions are seen."""

from __future__ import annotations

from typing import Final

import numpy as np

from rtface.geometry import FloatArray
from rtface.types import REGIONS

REGION_LANDMARKS: Final[dict[str, tuple[int, ...]]] = {
    "brows": tuple(range(17, 27)),
    "eyes": tuple(range(36, 48)),
    "nose": tuple(range(27, 36)),
    "mouth": tuple(range(48, 68)),
    "jaw": tuple(range(17)),
    "cheeks": (1, 2, 3, 13, 14, 15, 31, 35, 40, 41, 46, 47, 48, 54),
}
"""iBUG landmarks in each region; cheeks have none of their own, the ones around them count."""

_WEIGHTS: Final = np.zeros((68, len(REGIONS)), np.float32)
for _column, _name in enumerate(REGIONS):
    _WEIGHTS[list(REGION_LANDMARKS[_name]), _column] = 1 / len(REGION_LANDMARKS[_name])


def assess(visibility: FloatArray, presence: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Landmark visibility (N, 68) 0..1 and presence (N,) 0..1 → regions (N, 6) and confidence (N,), float32 0..1.

    visibility as :func:`rtface.stages.occlude.seen_points` gives it. A region is seen as far as its landmarks are, on
    average. Confidence is the presence, halved for a face of which nothing is seen.
    """
    regions = np.clip(visibility @ _WEIGHTS, 0, 1).astype(np.float32)
    confidence = presence * (0.5 + 0.5 * visibility.mean(axis=1))
    return regions, np.clip(confidence, 0, 1).astype(np.float32)
