"""Where irises are on a posed face, and the gaze that follows from where they are seen.

An eyeball is a sphere whose centre the morphable model knows; the middle of its iris is one point on it. Beside the
corners of the eye that point says where the eye looks, at a precision that no coefficient of a whole face reaches.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from rtface.geometry import FloatArray, pose_vertices, rotation_matrices
from rtface.morphable import MorphableModel
from rtface.types import LANDMARKS, Array, Coefficients

EYES: Final = 2
"""Right one first, as the subject says it: the picture's left."""
LIDS: Final = ((36, 42), (42, 48))
"""First landmark of each eye, and one behind its last."""
CORNERS: Final = ((36, 39), (42, 45))
UPPER: Final = ((37, 38), (43, 44))
LOWER: Final = ((41, 40), (47, 46))
OPEN_MM: Final = 2.5
"""Lids that are nearer than this show too little of an iris."""
MOST: Final = 0.95
"""The iris lies at most so far from the middle of the ball, in radii, where the picture shows it."""


class Irises:
    """Geometry of both eyes of a morphable model; keeps the few vertices that it needs."""

    def __init__(self, model: MorphableModel) -> None:
        self._model = model
        mean, identity, expression = model.landmark_rows()
        rows = slice(LIDS[0][0], LIDS[1][1])
        self._mean, self._identity, self._expression = mean[rows], identity[rows], expression[rows]
        names = model.expression_names
        self._columns = {name: k for k, name in enumerate(names) if name.startswith("eyeLook")}
        self._angles = model.eyes.gaze_rad

    def project(self, coefficients: Coefficients, landmarks: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Posed faces with their labelled landmarks (N, 68, 2) px → irises (N, 2, 2) px and lid gaps (N, 2) mm.

        The landmarks tell how far the picture's perspective moves the eyes from where scaled orthography has them.
        """
        head = self._head(coefficients)
        pitch, yaw = np.moveaxis(self._model.gaze(coefficients.expression), -1, 0)
        ahead = np.stack([-np.sin(yaw) * np.cos(pitch), np.sin(pitch), -np.cos(yaw) * np.cos(pitch)], axis=-1)
        poles = self._model.eye_centers(coefficients.identity) + self._model.eyes.radius_mm * ahead
        placed = pose_vertices(np.concatenate([head, poles], axis=1), coefficients.rotation, coefficients.scale,
                               coefficients.translation)[..., :2]
        seen = _corners(landmarks[:, LIDS[0][0]:LIDS[1][1]])
        irises: FloatArray = (placed[:, -EYES:] + seen - _corners(placed[:, :-EYES])).astype(np.float32)
        first = LIDS[0][0]
        gaps = np.stack([(head[:, [k - first for k in low], 1] - head[:, [k - first for k in up], 1]).mean(axis=1)
                         for up, low in zip(UPPER, LOWER, strict=True)], axis=1)
        return irises, gaps.astype(np.float32)

    def gaze(self, coefficients: Coefficients, landmarks: FloatArray, irises: FloatArray) -> FloatArray:
        """(N, 2, 2) rad pitch and yaw of each eye in the head's frame, from irises (N, 2, 2) px seen beside landmarks.

        Signs as :meth:`rtface.morphable.MorphableModel.gaze`.
        """
        corners = _corners(self._head(coefficients))
        turn = rotation_matrices(coefficients.rotation)
        shift = (irises - _corners(landmarks[:, LIDS[0][0]:LIDS[1][1]])) / coefficients.scale[:, None, None]
        ahead = np.zeros((len(coefficients), EYES, 3), np.float32)
        apart = corners - self._model.eye_centers(coefficients.identity)
        ahead[..., :2] = (shift + np.matmul(apart, np.swapaxes(turn, 1, 2))[..., :2]) / self._model.eyes.radius_mm
        length = np.linalg.norm(ahead[..., :2], axis=-1, keepdims=True)
        ahead[..., :2] *= np.minimum(1.0, MOST / np.maximum(length, 1e-6))
        ahead[..., 2] = -np.sqrt(1 - (ahead[..., :2] ** 2).sum(axis=-1))
        x, y, z = np.moveaxis(np.matmul(ahead, turn), -1, 0)
        return np.stack([np.arcsin(np.clip(y, -1, 1)), np.arctan2(-x, -z)], axis=-1).astype(np.float32)

    def with_gaze(self, expression: FloatArray, gaze: FloatArray) -> FloatArray:
        """Expressions (N, 64) with the eyeLook actions of both eyes set to one direction (N, 2) rad pitch and yaw."""
        out: FloatArray = expression.copy()
        pitch, yaw = gaze[:, 0], gaze[:, 1]
        for side, inwards in (("Right", -yaw), ("Left", yaw)):
            for action, angle, value in (("Down", "down", pitch), ("Up", "up", -pitch), ("In", "in", inwards),
                                         ("Out", "out", -inwards)):
                out[:, self._columns[f"eyeLook{action}{side}"]] = np.maximum(value, 0) / self._angles[angle]
        return out

    def _head(self, coefficients: Coefficients) -> Array:
        """Lid landmarks (N, 12, 3) mm in the head's frame."""
        moved = np.tensordot(coefficients.identity, self._identity, axes=(1, 2))
        moved += np.tensordot(coefficients.expression, self._expression, axes=(1, 2))
        out: Array = self._mean + moved
        return out


def _corners(lids: Array) -> Array:
    """Lid points (N, 12, D) → the middle of each eye's corners (N, 2, D)."""
    assert lids.shape[1] == LIDS[1][1] - LIDS[0][0] and LIDS[1][1] <= LANDMARKS
    first = LIDS[0][0]
    return np.stack([(lids[:, a - first] + lids[:, b - first]) / 2 for a, b in CORNERS], axis=1)
