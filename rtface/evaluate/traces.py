"""Curves that people see in a face: what coefficients say about points, shape, mouth, eyes and pose over time."""

from __future__ import annotations

from typing import Final

import numpy as np

from rtface.evaluate.metrics import Doubles
from rtface.evaluate.networks import MeshLandmarks
from rtface.geometry import FloatArray
from rtface.morphable import NOT_FACE_REGIONS, MorphableModel
from rtface.types import EXPRESSION_SIZE, IDENTITY_SIZE, Coefficients

CHUNK: Final = 64
"""Frames whose meshes are made at once."""
VERTEX_STEP: Final = 16
"""Shapes are compared at every so many vertices of the face."""
MOUTH: Final = ((62, 66),)
"""Pairs of landmarks whose distance is the curve: inner lips."""
EYES: Final = ((37, 41), (38, 40), (43, 47), (44, 46))
"""Lids."""
SIGNALS: Final = ("mouth", "eyes", "turn", "place")
LEAST_MOTION: Final = {"mouth": 0.5, "eyes": 0.5, "turn": np.radians(1.0), "place": 0.02}
"""Curves whose truth has less standard deviation than this have no lag: mm, mm, rad, eye distances."""

_SHAPE: Final = IDENTITY_SIZE + EXPRESSION_SIZE


class Curves:
    """Evaluates a morphable model for whole tracks; vectors are (n, 239) in frame px."""

    def __init__(self, model: MorphableModel) -> None:
        self._basis, self._project = model.basis_id, MeshLandmarks(model)
        face = np.flatnonzero(~model.region_mask(*NOT_FACE_REGIONS))[::VERTEX_STEP]
        self._face = (model.mean[face], np.concatenate([model.identity_basis[face], model.expression_basis[face]], 2))
        mean, identity, expression = model.landmark_rows()
        self._points = (mean, np.concatenate([identity, expression], axis=2))

    def mesh_points(self, vectors: FloatArray) -> FloatArray:
        """(n, 68, 2) px of the mesh's landmarks, with the jaw line on the visible outline."""
        if not len(vectors):
            return np.zeros((0, len(self._points[0]), 2), np.float32)
        return np.concatenate([self._project.project(Coefficients.from_vector(vectors[k:k + CHUNK], self._basis))[0]
                               for k in range(0, len(vectors), CHUNK)])

    def shapes(self, vectors: FloatArray) -> FloatArray:
        """(n, V, 3) mm in head space: identity and expression, at every 16th vertex of the face."""
        return _evaluate(*self._face, vectors[:, :_SHAPE])

    def people(self, vectors: FloatArray) -> FloatArray:
        """(n, V, 3) mm: :meth:`shapes` of the identity alone."""
        mean, basis = self._face
        return _evaluate(mean, basis[..., :IDENTITY_SIZE], vectors[:, :IDENTITY_SIZE])

    def signal(self, name: str, vectors: FloatArray, points: FloatArray) -> Doubles:
        """(n, D) of one of :data:`SIGNALS`: openings of mouth and eyes in mm, rotation in rad, place in px.

        points: (n, 68, 2) px, of which the place is the mean.
        """
        if name == "turn":
            return np.unwrap(vectors[:, -6:-3].astype(np.float64), axis=0)
        if name == "place":
            middle: Doubles = points.mean(axis=1, dtype=np.float64)
            return middle
        pairs = MOUTH if name == "mouth" else EYES
        placed = _evaluate(*self._points, vectors[:, :_SHAPE])
        opening = [np.linalg.norm(placed[:, a] - placed[:, b], axis=1) for a, b in pairs]
        return np.stack(opening, axis=1).mean(axis=1, keepdims=True, dtype=np.float64)


def _evaluate(mean: FloatArray, basis: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean (V, 3) + basis (V, 3, K) · weights (n, K) → (n, V, 3)."""
    flat = np.asarray(weights @ basis.reshape(-1, basis.shape[2]).T + mean.ravel(), np.float32)
    return flat.reshape(len(weights), *mean.shape)
