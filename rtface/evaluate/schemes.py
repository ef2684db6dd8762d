"""Landmark schemes of other data sets, brought to the 68 points of iBUG (Sagonas et al., ICCV-W 2013)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.types import LANDMARKS

HIDDEN, SEEN, UNKNOWN = 1, 0, -1
"""Flags of points: something is before it, nothing is, nobody says."""
Flags = NDArray[np.int8]
WFLW_POINTS: Final = 98
IBUG_FROM_WFLW: Final = np.array([
    *range(0, 33, 2),  # jaw: every other one
    *range(33, 38), *range(42, 47),  # brows: their upper edges
    *range(51, 60), 60, 61, 63, 64, 65, 67, 68, 69, 71, 72, 73, 75,  # nose; eyes without the middles of the lids
    *range(76, 96)])  # mouth; the pupils are left out
"""Row of WFLW's 98 points (Wu et al., CVPR 2018) for each of the 68; brows and jaw lie a little otherwise there."""


def to_68(points: NDArray[Any]) -> NDArray[Any]:
    """(68, 2) as they are, (98, 2) of WFLW reduced; InputError on other shapes."""
    if points.shape == (WFLW_POINTS, 2):
        return points[IBUG_FROM_WFLW]
    if points.shape != (LANDMARKS, 2):
        raise InputError(f"got points of shape {points.shape}, expected ({LANDMARKS}, 2), or ({WFLW_POINTS}, 2) of "
                         f"WFLW")
    return points


def point_flags(values: Any) -> Flags:
    """(68,) 0 seen, 1 hidden of whatever a label file has; InputError on another count or other values."""
    try:
        flags = np.asarray(values, np.float64).ravel()
    except (TypeError, ValueError) as exc:
        raise InputError(f"got flags that are no numbers ({exc}), expected {LANDMARKS} of 0 or 1") from exc
    if len(flags) != LANDMARKS or not np.isin(flags, (SEEN, HIDDEN)).all():
        raise InputError(f"got {len(flags)} flags with the values {np.unique(flags)[:4].tolist()}, expected "
                         f"{LANDMARKS} of 0 or 1")
    return flags.astype(np.int8)
