"""What a system says of a face, and how far two such results lie apart: the figures of the protocol ``robustness``."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.evaluate.networks import Measured
from rtface.evaluate.predictions import POINTS, ROTATION, VERTICES, Predictions
from rtface.geometry import pose_vertices, rotation_matrices
from rtface.morphable import NOT_FACE_REGIONS, MorphableModel
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

    def covered(self, face: Coefficients, cover: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(V,) whether vertices of one face (N = 1, px of the picture) lie under what covers pixels (H, W)."""
        vertices = self._model.vertices(face.identity, face.expression)[:, self._keep]
        return under(pose_vertices(vertices, face.rotation, face.scale, face.translation)[0, :, :2], cover)


PARTS: Final = {"": POINTS, "mesh": VERTICES, "identity": VERTICES, "rotation": ROTATION}


def predicted_result(one: Predictions, key: str) -> Result | None:
    """A picture's result from a file; None where it has none."""
    parts = one.parts(key, PARTS)
    return Result(parts.get(""), parts.get("mesh"), parts.get("identity"), parts.get("rotation")) if parts else None


def under(points: NDArray[Any], cover: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(P,) True for points (P, 2) px that lie on covered pixels of a picture (H, W)."""
    height, width = cover.shape
    column, row = np.floor(points).astype(np.int64).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return np.asarray(inside & cover[row.clip(0, height - 1), column.clip(0, width - 1)])


def compare(clean: Result, pasted: Result, hidden: NDArray[np.bool_],
            covered: NDArray[np.bool_] | None = None) -> dict[str, float]:
    """Figures of :class:`rtface.evaluate.robustness.Moved` by name; NaN for what a system does not say.

    hidden (68,): landmarks under the occluder; covered (V,): vertices under it, where that is known. InputError where
    meshes have different vertices.
    """
    shift = np.full(len(hidden), np.nan)
    if clean.points is not None and pasted.points is not None:
        shift = np.linalg.norm(pasted.points - clean.points, axis=1) / float(
            np.linalg.norm(clean.points[36] - clean.points[45]))
    turn = np.nan
    if clean.rotation is not None and pasted.rotation is not None:
        turn = np.degrees(np.arccos(np.clip((np.trace(clean.rotation.T @ pasted.rotation) - 1) / 2, -1, 1)))
    moved = _apart(clean.shape, pasted.shape)
    known = covered is not None and len(covered) == len(moved)
    under_it = covered if covered is not None and known else np.zeros(len(moved), np.bool_)
    return {"landmarks": float(shift.mean()), "hidden": _mean(shift[hidden]), "seen": _mean(shift[~hidden]),
            "shape_mm": _mean(moved), "shape_hidden_mm": _mean(moved[under_it]),
            "shape_seen_mm": _mean(moved[~under_it]) if known else np.nan,
            "identity_mm": _mean(_apart(clean.identity, pasted.identity)), "turn_deg": float(turn),
            "presence_drop": clean.presence - pasted.presence}


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _apart(first: NDArray[Any] | None, second: NDArray[Any] | None) -> NDArray[Any]:
    """Distances of vertices (V, 3) and their partners; none where either is missing."""
    if first is None or second is None:
        return np.zeros(0)
    if first.shape != second.shape:
        raise InputError(f"got a mesh {second.shape} where the clean picture's is {first.shape}, expected the same "
                         f"vertices")
    return np.asarray(np.linalg.norm(first - second, axis=1))
