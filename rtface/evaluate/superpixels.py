"""Super-pixels of pictures whose data set brings none.

SLIC (Achanta et al., "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods", PAMI 2012) as scikit-image
has it: k-means over colours (Lab) and places. It runs on the part of the picture that is scored, at the size of the
label, so that faces in wide pictures are cut as finely as those that fill theirs.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rtface.errors import BackendError, InputError

SEGMENTS: Final = 600
"""About so many in the box around what is scored."""
COMPACTNESS: Final = 10.0
"""Weight of nearness against likeness of colour; the paper's m."""
NOWHERE: Final = -1
Numbers = NDArray[np.int64]


def slic(pixels: NDArray[np.uint8], valid: NDArray[np.bool_], *, segments: int = SEGMENTS) -> Numbers:
    """(H, W) the number, from 0 on, of every px's super-pixel; :data:`NOWHERE` beyond the upright box around ``valid``.

    pixels: (H, W, 3) uint8 RGB; valid: (H, W), what is scored; segments: about how many in the box. InputError for
    other shapes, BackendError without scikit-image.
    """
    try:
        from skimage.segmentation import slic as segment
    except ImportError as exc:
        raise BackendError("super-pixels: got no scikit-image, which makes them for data sets that have none; "
                           "pip install rtface[evaluate]") from exc
    if pixels.ndim != 3 or pixels.shape[2] != 3 or valid.shape != pixels.shape[:2]:
        raise InputError(f"super-pixels: got a picture {pixels.shape} and an area {valid.shape}, expected (H, W, 3) "
                         "and (H, W)")
    numbers = np.full(valid.shape, NOWHERE, np.int64)
    if valid.any():
        box = tuple(slice(int(used[0]), int(used[-1]) + 1) for used in (
            np.flatnonzero(valid.any(axis=1)), np.flatnonzero(valid.any(axis=0))))
        numbers[box] = segment(pixels[box], n_segments=segments, compactness=COMPACTNESS, start_label=0,
                               channel_axis=-1)
    return numbers


def describe() -> dict[str, Any]:
    """Which super-pixels :func:`slic` makes, for reports; PackageNotFoundError without scikit-image."""
    return {"method": "SLIC", "scikit-image": version("scikit-image"), "segments": SEGMENTS,
            "compactness": COMPACTNESS}
