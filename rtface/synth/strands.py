"""Short hair on the face as geometry: lashes, brows, beards; thin ribbons in the head's depth buffer."""

from __future__ import annotations

from typing import Final

import numpy as np

from rtface.morphable import MorphableModel
from rtface.synth.render import Surface
from rtface.synth.shapes import FloatArray, cross, strips
from rtface.synth.skin import SkinParams, brow_cover
from rtface.synth.skin_maps import skin_maps, smoothstep

POINTS: Final = 4
"""Of a strand's centre line."""
MAP: Final = 256
LASHES: Final = 34
BROW_STRANDS: Final = 150
BEARD_STRANDS: Final = 1100


def ribbons(roots: FloatArray, directions: FloatArray, bend: FloatArray, length_mm: FloatArray, width_mm: float,
            colors: FloatArray, normals: FloatArray, kind: int) -> Surface:
    """Strands as a surface without texture.

    roots (P, 3) mm; directions (P, 3) unit at the root; bend (P, 3): added to the direction along the strand; length_mm
    (P,); colors (P, 3) linear RGB; normals (P, 3): what they are lit by.
    """
    along = np.linspace(0, 1, POINTS, dtype=np.float32)[None, :, None]
    path = roots[:, None] + (directions[:, None] * along + 0.5 * bend[:, None] * along**2) * length_mm[:, None, None]
    across = cross(directions[:, None] + bend[:, None] * along, normals[:, None])
    across /= np.maximum(np.sqrt(np.einsum("pkc,pkc->pk", across, across)), 1e-6)[..., None]
    half = np.linspace(1.0, 0.25, POINTS, dtype=np.float32)[None, :, None] * width_mm / 2
    sides = np.stack([path - across * half, path + across * half], axis=2)
    each = 2 * POINTS
    count = len(roots) * each
    return Surface(np.ascontiguousarray(sides.reshape(-1, 3), np.float32), strips(len(roots), POINTS),
                   np.repeat(colors, each, axis=0).astype(np.float32), np.full(count, kind, np.uint8),
                   np.full(count, 0.05, np.float32), normals=np.repeat(normals, each, axis=0).astype(np.float32))


class FaceHair:
    """Where strands grow on the mesh of one basis; computed once."""

    def __init__(self, model: MorphableModel) -> None:
        self._model = model
        maps = skin_maps(MAP)
        texel = np.clip((model.uv * MAP).astype(int), 0, MAP - 1)
        self._texel = texel[:, 1] * MAP + texel[:, 0]
        """(V,) flat texel under every vertex."""
        beard = np.maximum(smoothstep(maps.beard, -1, 6), np.maximum(maps.moustache, maps.goatee))
        self._beard, self._moustache = beard.ravel()[self._texel], maps.moustache.ravel()[self._texel]
        self._goatee = maps.goatee.ravel()[self._texel]
        self._lids = [model.contours[f"eyelid_{side}"] for side in ("right", "left")]

    def grow(self, seed: int, skin: SkinParams, face: FloatArray, normals: FloatArray, kind: int) -> list[Surface]:
        """Lashes, brows and, where the person has one, a beard; face and normals (V, 3)."""
        rng = np.random.default_rng(seed)
        parts = [self._lashes(rng, skin, face, normals, kind), self._brows(rng, skin, face, normals, kind)]
        cover = np.maximum(skin.beard * self._beard, np.maximum(skin.moustache * self._moustache,
                                                                skin.goatee * self._goatee))
        if cover.max() > 0.3 and rng.random() < 0.8:
            parts.append(self._beard_strands(rng, skin, cover, face, normals, kind))
        return parts

    def _lashes(self, rng: np.random.Generator, skin: SkinParams, face: FloatArray, normals: FloatArray,
                kind: int) -> Surface:
        roots, directions, lit = [], [], []
        for loop in self._lids:
            rim = face[loop]
            upper = rim[:, 1] < rim[:, 1].mean() + 0.5
            chosen = rng.choice(np.flatnonzero(upper), LASHES)
            middle = rim.mean(axis=0)
            fan = np.stack([(rim[chosen, 0] - middle[0]) * 0.05, np.full(LASHES, 0.25), np.full(LASHES, -0.9)], axis=1)
            roots.append(rim[chosen] + rng.normal(0, 0.4, (LASHES, 3)))
            directions.append(fan + rng.normal(0, 0.12, (LASHES, 3)))
            lit.append(normals[loop][chosen])
        toward = np.concatenate(directions)
        toward /= np.linalg.norm(toward, axis=1, keepdims=True)
        length = rng.uniform(3.5, 6.5, 2 * LASHES) * (0.5 + 0.7 * skin.lashes)
        bend = np.tile(np.array([0.0, -1.5, 0.1]), (2 * LASHES, 1))  # upwards
        return ribbons(np.concatenate(roots), toward, bend, length, 0.28, np.full((2 * LASHES, 3), 0.015),
                       np.concatenate(lit), kind)

    def _brows(self, rng: np.random.Generator, skin: SkinParams, face: FloatArray, normals: FloatArray,
               kind: int) -> Surface:
        roots, directions, lit = [], [], []
        cover = np.zeros(MAP * MAP, np.float32)
        for side, (texels, amount) in zip((-1.0, 1.0), brow_cover(skin, MAP), strict=True):
            cover[:] = 0
            cover[texels] = amount
            rows = np.flatnonzero(cover[self._texel] > 0.35)
            if not len(rows):
                continue
            chosen = rng.choice(rows, BROW_STRANDS)
            outwards = np.clip((face[chosen, 0] * side - 12) / 40, 0, 1)  # hairs stand up at the nose, lie outside
            toward = np.stack([side * (0.35 + 0.65 * outwards), -0.75 + 0.9 * outwards,
                               np.full(BROW_STRANDS, -0.15)], axis=1)
            roots.append(face[chosen] + rng.normal(0, 1.1, (BROW_STRANDS, 3)) * [1, 0.7, 0] + normals[chosen] * 0.3)
            directions.append(toward + rng.normal(0, 0.12, toward.shape))
            lit.append(normals[chosen])
        if not roots:
            nothing = np.zeros((0, 3), np.float32)
            return ribbons(nothing, nothing, nothing, nothing[:, 0], 0.4, nothing, nothing, kind)
        toward = np.concatenate(directions)
        toward /= np.linalg.norm(toward, axis=1, keepdims=True)
        count = len(toward)
        tone = np.exp(rng.normal(0, 0.25, (count, 1)))
        return ribbons(np.concatenate(roots), toward, np.zeros((count, 3)), rng.uniform(4, 8, count), 0.4,
                       np.array(skin.brow_color) * tone, np.concatenate(lit), kind)

    def _beard_strands(self, rng: np.random.Generator, skin: SkinParams, cover: FloatArray, face: FloatArray,
                       normals: FloatArray, kind: int) -> Surface:
        share = cover / cover.sum()
        chosen = rng.choice(len(face), BEARD_STRANDS, p=share)
        length = float(np.exp(rng.uniform(np.log(3), np.log(32)))) * rng.uniform(0.6, 1.2, BEARD_STRANDS)
        toward = normals[chosen] * 0.7 + np.array([0, 0.8, 0]) + rng.normal(0, 0.2, (BEARD_STRANDS, 3))
        toward /= np.linalg.norm(toward, axis=1, keepdims=True)
        bend = np.array([0, 0.9, 0.2]) + rng.normal(0, 0.4, (BEARD_STRANDS, 3))
        tone = np.exp(rng.normal(0, 0.3, (BEARD_STRANDS, 1)))
        roots = face[chosen] + rng.normal(0, 1.2, (BEARD_STRANDS, 3)) + normals[chosen] * 0.2
        return ribbons(roots, toward, bend, length, float(rng.uniform(0.5, 1.3)), np.array(skin.beard_color) * tone,
                       normals[chosen], kind)
