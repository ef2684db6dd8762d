"""Pastes drawn occluders on photographs, where the fitted face says that they would be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface import ops
from rtface.geometry import pose_vertices
from rtface.morphable import NOT_FACE_REGIONS, MorphableModel
from rtface.synth.config import OCCLUDER_KINDS
from rtface.synth.head import occluder_surface
from rtface.synth.occluders import MAKERS
from rtface.synth.piece import Anchors
from rtface.synth.render import encode_srgb, paint, place, sample_light
from rtface.types import Coefficients

GAMMA: Final = 2.2
EDGE_PX: Final = 0.7
"""Softness of the pasted border."""


@dataclass(frozen=True, slots=True, eq=False)
class Pasted:
    """A photograph with something before the face."""

    pixels: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    cover: NDArray[np.bool_]
    """(H, W) where it was pasted."""
    coverage: float
    """Covered share of the fitted face's pixels (no ears, neck, scalp)."""


class Paster:
    """Puts the factory's occluders on faces whose coefficients are known."""

    def __init__(self, model: MorphableModel) -> None:
        self.model = model
        elsewhere = model.region_mask(*NOT_FACE_REGIONS)[model.triangles].any(axis=1)
        self._face = np.ascontiguousarray(model.triangles[~elsewhere])

    def paste(self, rng: np.random.Generator, pixels: NDArray[np.uint8], coefficients: Coefficients,
              kind: str) -> Pasted:
        """pixels (H, W, 3) uint8 RGB, coefficients of one face (N = 1) in its px; kind: one of the meshes' kinds."""
        height, width = pixels.shape[:2]
        face = self.model.vertices(coefficients.identity, coefficients.expression)
        placed = pose_vertices(face, coefficients.rotation, coefficients.scale, coefficients.translation)[0]
        head = ops.rasterize(np.ascontiguousarray(placed), self.model.triangles, height, width)
        front = ops.rasterize(np.ascontiguousarray(placed), self._face, height, width)
        shown = front.triangle_id >= 0
        skin = np.median((pixels[shown] / 255.0) ** GAMMA, axis=0) if shown.any() else np.full(3, 0.3)
        light = sample_light(rng)
        anchors = Anchors(face[0, self.model.landmarks68], face[0, ::3],
                          (skin / max(float(light.harmonics[0]), 0.3)).clip(0.01, 0.9).astype(np.float32))
        surfaces = [occluder_surface(piece, OCCLUDER_KINDS.index(kind)) for piece in MAKERS[kind](rng, anchors)]
        pose = np.concatenate([coefficients.rotation[0], coefficients.scale, coefficients.translation[0]])
        things = place(surfaces, pose.astype(np.float32))
        drawn = paint(things, things.rasterize(height, width), light, None, casters=[things])
        cover = (drawn.triangle_id >= 0) & (drawn.depth < np.where(head.triangle_id >= 0, head.depth, np.inf))
        alpha = cv2.GaussianBlur(cover.astype(np.float32), (0, 0), EDGE_PX)[..., None]
        color = cv2.GaussianBlur(encode_srgb(drawn.color) * cover[..., None].astype(np.float32), (0, 0), EDGE_PX)
        mixed = color + (1 - alpha) * (pixels.astype(np.float32) / 255)
        return Pasted((np.clip(mixed, 0, 1) * 255 + 0.5).astype(np.uint8), cover,
                      float((cover & shown).sum() / max(int(shown.sum()), 1)))
