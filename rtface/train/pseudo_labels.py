"""Masks without labels: what a generic face shape should show and a teacher does not see is an occluder.

Consensus paper (Masi et al., CVPR 2020), eqs 1 and 2: the residual between the hull f of a fitted face and a teacher's
visible face f_occ is cleaned by morphology and split into connected components.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError

ERODE_PX: Final = (25, 7)
"""Rectangle, width and height; applied twice."""
DILATE_PX: Final = 45
"""Ellipse."""
REFERENCE_SIDE: Final = 500
"""Pictures of this side have the sizes above; others have them in proportion."""


def factorise(hull: NDArray[np.bool_], visible: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Labels C (H, W) int32: 0 background, 1 visible face, 2 and on the occluders, one number each.

    hull (H, W): f, the convex hull of the projected face contour; visible (H, W): f_occ of a teacher network.
    ρ = [f − f_occ]₊ is eroded twice and dilated; the dilation is kept within the hull, and what it takes from the
    teacher's face becomes occluder: the paper would rather amplify occlusions than miss them.
    """
    if hull.shape != visible.shape or hull.ndim != 2:
        raise InputError(f"factorise: got a hull {hull.shape} and a face {visible.shape}, expected the same (H, W)")
    scale = max(hull.shape) / REFERENCE_SIDE
    residual: NDArray[Any] = (hull & ~visible).astype(np.uint8)
    rectangle = cv2.getStructuringElement(cv2.MORPH_RECT, _odd(ERODE_PX, scale))
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, _odd((DILATE_PX, DILATE_PX), scale))
    cleaned = cv2.dilate(cv2.erode(residual, rectangle, iterations=2), ellipse)
    count, blobs = cv2.connectedComponents(((cleaned > 0) & hull).astype(np.uint8), connectivity=8)
    labels = np.asarray(visible & hull, np.int32)
    for number in range(1, count):
        labels[blobs == number] = number + 1
    return labels


def _odd(sides: tuple[int, int], scale: float) -> tuple[int, int]:
    """Sides in proportion, odd, at least 1."""
    return (2 * round((sides[0] * scale - 1) / 2) + 1, 2 * round((sides[1] * scale - 1) / 2) + 1)
