"""What a system says of a face, and how far two such results lie apart: the figures of the protocol ``robustness``."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.evaluate.networks import Measured
from rtface.evaluate.predictions import POINTS, ROTATION, VERTICES, Predictions
from rtface.geometry import rotation_matrices
from rtface.morphable import MorphableModel
from rtface.synth.head import NOT_FACE_REGIONS
from rtface.types import Coefficients


class Result(NamedTuple):
    """What a system says of one picture; None what it does not say."""

    points: NDArray[Any] | None
    """(68, 2) px."""
    shape: NDArray[Any] | None
    """(V, 3) mm, the face in head space."""
    identity: NDArray[Any] | None
    """(V, 3) mm, the same without expression."""
    rotation: NDArray[Any] | None
    """(3, 3)."""
    presence: float = float("nan")


class Faces:
    """Turns coefficients into what is compared: the face's vertices, without ears, neck and scalp."""

    def __init__(self, model: MorphableModel) -> None:
        self._model, self._keep = model, ~model.region_mask(*NOT_FACE_REGIONS)

    def result(self, measured: Measured) -> Result:
        """Of one of rtface's readers."""
        return self.of_coefficients(measured.coefficients)._replace(points=measured.points, presence=measured.presence)

    def of_coefficients(self, face: Coefficients) -> Result:
        """Of one face (N = 1), without points."""
        shape, identity = (self._model.vertices(face.identity, expression)[0, self._keep]
                           for expression in (face.expression, np.zeros_like(face.expression)))
        return Result(None, shape, identity, rotation_matrices(face.rotation)[0])


PARTS: Final = {"": POINTS, "mesh": VERTICES, "identity": VERTICES, "rotation": ROTATION}


def predicted_result(one: Predictions, key: str) -> Result | None:
    """A picture's result from a file; None where it has none."""
    parts = one.parts(key, PARTS)
    return Result(parts.get(""), parts.get("mesh"), parts.get("identity"), parts.get("rotation")) if parts else None


def compare(clean: Result, pasted: Result, hidden: NDArray[np.bool_]) -> dict[str, float]:
    """Figures of :class:`rtface.evaluate.robustness.Moved` by name; NaN for what a system does not say.

    InputError where meshes have different vertices.
    """
    shift = np.full(len(hidden), np.nan)
    if clean.points is not None and pasted.points is not None:
        shift = np.linalg.norm(pasted.points - clean.points, axis=1) / float(
            np.linalg.norm(clean.points[36] - clean.points[45]))
    turn = np.nan
    if clean.rotation is not None and pasted.rotation is not None:
        turn = np.degrees(np.arccos(np.clip((np.trace(clean.rotation.T @ pasted.rotation) - 1) / 2, -1, 1)))
    return {"landmarks": float(shift.mean()), "hidden": float(shift[hidden].mean()) if hidden.any() else np.nan,
            "seen": float(shift[~hidden].mean()) if not hidden.all() else np.nan,
            "shape_mm": _apart(clean.shape, pasted.shape), "identity_mm": _apart(clean.identity, pasted.identity),
            "turn_deg": float(turn), "presence_drop": clean.presence - pasted.presence}


def _apart(first: NDArray[Any] | None, second: NDArray[Any] | None) -> float:
    """Mean distance of vertices (V, 3) and their partners, NaN without."""
    if first is None or second is None:
        return float("nan")
    if first.shape != second.shape:
        raise InputError(f"got a mesh {second.shape} where the clean picture's is {first.shape}, expected the same "
                         f"vertices")
    return float(np.linalg.norm(first - second, axis=1).mean())
