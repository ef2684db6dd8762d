"""Meshes that another system predicted, from its file of predictions (:mod:`rtface.evaluate.predictions`)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.evaluate.predictions import MARKS, TRIANGLES, VERTICES, Array, Predictions
from rtface.evaluate.scans import SEVEN, Doubles
from rtface.types import LANDMARKS

KINDS: Final = {"": VERTICES, "triangles": TRIANGLES, "landmarks": MARKS}
SHARED: Final = ("triangles", "landmarks")
"""What a system that has one topology gives once for all pictures."""


class PeerMesh(NamedTuple):
    """One predicted face, of any topology."""

    vertices: Doubles
    """(V, 3) mm, right-handed, in any pose."""
    triangles: NDArray[Any]
    """(F, 3)."""
    landmarks: Doubles
    """(7, 3): the points of :data:`rtface.evaluate.scans.SEVEN`."""


def predicted_mesh(one: Predictions, key: str) -> PeerMesh | None:
    """The mesh of a picture; None where there is none, or it cannot be used, which the file remembers."""
    parts = one.parts(key, KINDS, SHARED)
    if "" not in parts:
        return None
    try:
        if missing := [name for name in SHARED if name not in parts]:
            raise InputError(f"got a mesh without {' and '.join(missing)}, expected them for it or for all pictures")
        return PeerMesh(parts[""], parts["triangles"], seven_points(parts["landmarks"], parts[""]))
    except InputError as exc:
        one.wrong[key] = str(exc)
        return None


def seven_points(marks: Array, vertices: Doubles) -> Doubles:
    """(7, 3) from points (7, 3) or (68, 3), or from rows (7,) or (68,) of vertices (V, 3); InputError on wrong rows."""
    if len(marks) == LANDMARKS:
        marks = marks[list(SEVEN)]
    if marks.ndim == 2:
        return np.asarray(marks, np.float64)
    rows = marks.astype(np.intp)
    if (rows != marks).any() or rows.min() < 0 or rows.max() >= len(vertices):
        raise InputError(f"got landmarks at vertices {marks.min():g}..{marks.max():g}, expected whole numbers from 0 "
                         f"to {len(vertices) - 1}")
    return np.asarray(vertices[rows], np.float64)
