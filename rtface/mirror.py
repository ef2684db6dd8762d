"""Faces in a mirror: the coefficients and landmarks of a picture that was turned left to right."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.geometry import FloatArray
from rtface.morphable import MorphableModel
from rtface.types import ALBEDO_SIZE, EXPRESSION_SIZE, IDENTITY_SIZE, ILLUMINATION_SIZE, VECTOR_SIZE

LANDMARKS_68: Final = np.array([
    *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36,
    41, 40, 54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65])
"""Which of the 68 landmarks each becomes in a mirror."""
TOLERANCE_MM: Final = 0.05
CHUNK: Final = 256
SAMPLE: Final = 512
"""Vertices by which the signs of modes are told."""
_ODD_HARMONICS: Final = (3, 4, 7)
"""Functions of :func:`rtface.geometry.spherical_harmonics` that change their sign with x."""


class Mirror:
    """What a mirror does to the 239 coefficients of a model whose bases are symmetric, as rtface's are."""

    def __init__(self, model: MorphableModel) -> None:
        """Raises InputError where a basis is neither even nor odd under reflection in x, told by some of its vertices.
        """
        self.basis_id = model.basis_id
        """Identifier of the model."""
        self._mean = model.mean
        some = np.unique(np.linspace(0, len(model.mean) - 1, SAMPLE).astype(np.int64))
        rows = _reflection(model.mean, some)
        order = np.arange(VECTOR_SIZE)
        sign = np.ones(VECTOR_SIZE, np.float32)
        sign[:IDENTITY_SIZE] = _signs("identity", model.identity_basis, some, rows, np.array([-1.0, 1.0, 1.0]))
        start = IDENTITY_SIZE
        order[start:start + EXPRESSION_SIZE] = start + _partners(model.expression_names)
        start += EXPRESSION_SIZE
        sign[start:start + ALBEDO_SIZE] = _signs("albedo", model.albedo_basis, some, rows, np.ones(3))
        start += ALBEDO_SIZE
        sign[start + np.array(_ODD_HARMONICS)] = -1
        start += ILLUMINATION_SIZE
        sign[[start + 1, start + 2, start + 4]] = -1  # yaw, roll, t_x
        self._order, self._sign = order, sign

    @cached_property
    def vertices(self) -> NDArray[np.int64]:
        """(V,) int: each vertex's mirror image."""
        return _reflection(self._mean, np.arange(len(self._mean)))

    def coefficients(self, vectors: FloatArray, width_px: float) -> FloatArray:
        """(N, 239) of pictures → (N, 239) of the pictures turned left to right, ``width_px`` wide."""
        if vectors.ndim != 2 or vectors.shape[1] != VECTOR_SIZE:
            raise InputError(f"coefficients: got shape {vectors.shape}, expected (N, {VECTOR_SIZE})")
        out: FloatArray = vectors[:, self._order] * self._sign
        out[:, -2] += np.asarray(width_px, out.dtype)
        return out


def _reflection(mean: FloatArray, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """(R,) vertex at (−x, y, z) of each of the vertices ``rows``."""
    found = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), CHUNK):
        flipped = mean[rows[start:start + CHUNK]] * np.array([-1.0, 1.0, 1.0], mean.dtype)
        distance = ((flipped[:, None] - mean[None]) ** 2).sum(axis=-1)
        found[start:start + CHUNK] = distance.argmin(axis=1)
        if distance.min(axis=1).max() > TOLERANCE_MM**2:
            raise InputError("Mirror: got a mean face that is not symmetric in x, expected one that is; rebuild it "
                             "with: python -m rtface.synth.basis")
    return found


def _signs(name: str, basis: FloatArray, rows: NDArray[np.int64], images: NDArray[np.int64],
           flip: NDArray[Any]) -> FloatArray:
    """(K,) +1 for modes that a mirror keeps, −1 for those it turns around; basis (V, 3, K), images of the rows."""
    own = basis[rows].reshape(-1, basis.shape[2])
    turned = (basis[images] * flip[:, None].astype(basis.dtype)).reshape(own.shape)
    share = np.einsum("ik,ik->k", own, turned) / np.maximum(np.einsum("ik,ik->k", own, own), 1e-12)
    if (np.abs(np.abs(share) - 1) > 0.01).any():
        raise InputError(f"Mirror: got a {name} mode that is neither even nor odd under reflection, expected a "
                         f"symmetric basis")
    return np.asarray(np.sign(share), np.float32)


def _partners(names: tuple[str, ...]) -> NDArray[np.int64]:
    """(64,) the action of the other side, or the action itself."""
    swap = {"Left": "Right", "Right": "Left"}
    other = [next((name.removesuffix(end) + swap[end] for end in swap if name.endswith(end)), name) for name in names]
    return np.array([names.index(name) for name in other], np.int64)
