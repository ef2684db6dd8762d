"""The view-dependent jaw line: 17 landmarks that slide to the visible outline of a turned face.

People who mark the 68 points on photographs put 0–16 on the visible edge of the face, not on fixed spots of the
skin. Each jaw point therefore has a row of candidate vertices that runs from it towards the middle of the face; the
candidate that lies farthest out in the picture is the landmark (after the marching of Zhu et al., CVPR 2015).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from rtface.geometry import FloatArray
from rtface.morphable import MorphableModel

JAW: Final = 17
INNERMOST: Final = 0.55
"""Candidates end at this share of the way from the face's middle to the jaw point, before the nose begins."""
HALF_ANGLE_RAD: Final = np.deg2rad(3.0)
ROW: Final = 24


class JawLine:
    """Candidate rows of one morphable model."""

    def __init__(self, model: MorphableModel) -> None:
        points = model.mean[model.landmarks68]
        self.center = (points[[2, 14]].mean(axis=0) + points[33]) / 2
        face = np.flatnonzero(~model.region_mask("ear", "neck", "scalp"))
        offset = model.mean[face, :2] - self.center[:2]
        radius, angle = np.linalg.norm(offset, axis=1), np.arctan2(offset[:, 1], offset[:, 0])
        rows = np.empty((JAW, ROW), np.int32)
        directions = np.empty((JAW, 2))
        for i, target in enumerate(even_jaw(points[:JAW])):
            towards = target[:2] - self.center[:2]
            reach = float(np.linalg.norm(towards))
            directions[i] = towards / reach
            first = face[np.argmin(((model.mean[face] - target) ** 2).sum(axis=1))]
            turn = np.abs((angle - np.arctan2(towards[1], towards[0]) + np.pi) % (2 * np.pi) - np.pi)
            near = face[(turn < HALF_ANGLE_RAD) & (radius > INNERMOST * reach) & (radius < reach)]
            order = np.argsort(-np.linalg.norm(model.mean[near, :2] - self.center[:2], axis=1))
            near = near[order][np.linspace(0, len(near) - 1, min(ROW - 1, len(near))).round().astype(int)]
            row = np.concatenate([[first], near])
            rows[i] = np.concatenate([row, np.repeat(row[:1], ROW - len(row))])
        self.rows = rows
        """(17, ROW) int32 vertices; the first is the point of the frontal face."""
        self.directions = directions.astype(np.float32)
        """(17, 2) unit: outwards, on an upright face."""

    def choose(self, placed: FloatArray, roll: FloatArray) -> np.ndarray:
        """Vertices (N, 17) int32 on the outline.

        placed (N, V, ≥2) px from :func:`rtface.geometry.pose_vertices`, roll (N,) rad of the heads.
        """
        candidates = placed[:, self.rows, :2]  # (N, 17, ROW, 2)
        cos, sin = np.cos(roll)[:, None], np.sin(roll)[:, None]
        x, y = self.directions[None, :, 0], self.directions[None, :, 1]
        outward = np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)  # (N, 17, 2)
        best = np.argmax(np.einsum("njrc,njc->njr", candidates, outward), axis=-1)
        return np.take_along_axis(np.broadcast_to(self.rows, (len(placed), *self.rows.shape)), best[..., None],
                                  axis=2)[..., 0]


def even_jaw(points: FloatArray) -> FloatArray:
    """Space jaw points (17, 3) mm evenly along their own outline from the chin up to both ears, as annotators do."""
    halves = []
    for half in (points[8::-1], points[8:]):
        length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(half[:, :2], axis=0), axis=1))])
        even = np.linspace(0, length[-1], 9)
        halves.append(np.stack([np.interp(even, length, half[:, k]) for k in range(3)], axis=1))
    return np.concatenate([halves[0][:0:-1], halves[1]])


def project_landmarks(model: MorphableModel, jaw: JawLine, placed: FloatArray, roll: FloatArray) -> FloatArray:
    """The 68 landmarks as people mark them: (N, V, 3) px placed vertices → (N, 68, 3) px, jaw on the outline."""
    landmarks = placed[:, model.landmarks68].copy()
    chosen = jaw.choose(placed, roll)
    landmarks[:, :JAW] = np.take_along_axis(placed, chosen[..., None].astype(np.int64), axis=1)
    return landmarks
