"""Fine relief of skin over the UV map: pores, unevenness and wrinkles, as height in millimetres and as shading.

The mesh carries a few millimetres of detail, the texture the rest. Wrinkles are valleys along curves that hang on the
landmarks; age deepens them, and so do the expressions that fold the skin there.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import cv2
import numpy as np

from rtface.morphable import MorphableModel
from rtface.synth.shapes import FloatArray
from rtface.synth.skin_maps import TILE, noise_tiles

FOLDS: Final = ("forehead", "frown", "crow", "nasolabial", "marionette", "under_eye")
FOLDED_BY: Final[dict[str, tuple[str, ...]]] = {
    "forehead": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"), "frown": ("browDownLeft", "browDownRight"),
    "crow": ("mouthSmileLeft", "mouthSmileRight", "eyeSquintLeft", "eyeSquintRight", "cheekSquintLeft",
             "cheekSquintRight"),
    "nasolabial": ("mouthSmileLeft", "mouthSmileRight", "noseSneerLeft", "noseSneerRight", "mouthUpperUpLeft",
                   "mouthUpperUpRight"),
    "marionette": ("mouthFrownLeft", "mouthFrownRight", "mouthSmileLeft", "mouthSmileRight"),
    "under_eye": ("eyeSquintLeft", "eyeSquintRight", "cheekSquintLeft", "cheekSquintRight"),
}
"""Actions that fold the skin."""
DEPTH_MM: Final = {"forehead": 0.5, "frown": 0.6, "crow": 0.4, "nasolabial": 0.9, "marionette": 0.6, "under_eye": 0.5}
"""Depth of a fold at full strength."""
WIDTH_MM: Final = {"forehead": 1.3, "frown": 1.4, "crow": 1.0, "nasolabial": 2.2, "marionette": 1.8, "under_eye": 1.5}


class ReliefParams(NamedTuple):
    """One person's skin surface."""

    pores_mm: float
    bumps_mm: float
    age: float
    """0 smooth .. 1 deeply wrinkled at rest."""
    pliancy: float
    """How deeply expressions fold the skin, 0..1."""
    shift: tuple[int, int]
    """Where the noise tiles start, texels."""


def sample_relief(rng: np.random.Generator) -> ReliefParams:
    """A random person's skin surface."""
    age = float(rng.beta(0.8, 2.2))
    return ReliefParams(float(rng.uniform(0.02, 0.09)), float(rng.uniform(0.04, 0.25)), age,
                        float(np.clip(rng.normal(0.35 + 0.5 * age, 0.2), 0, 1)),
                        (int(rng.integers(TILE)), int(rng.integers(TILE))))


def _curves(points: FloatArray) -> dict[str, list[FloatArray]]:
    """Polylines (P, 2) in the unit square for every fold; points (68, 2) landmarks there."""
    p = points
    unit = float(np.linalg.norm(p[45] - p[36])) / 9.0  # about a centimetre
    out: dict[str, list[FloatArray]] = {name: [] for name in FOLDS}

    def bend(*nodes: FloatArray) -> FloatArray:
        """Through two to four nodes, rounded (Bernstein)."""
        t = np.linspace(0, 1, 24)[:, None]
        binomial = {2: (1, 1), 3: (1, 2, 1), 4: (1, 3, 3, 1)}[len(nodes)]
        last = len(nodes) - 1
        return np.asarray(sum(b * t**k * (1 - t) ** (last - k) * n
                              for k, (b, n) in enumerate(zip(binomial, nodes, strict=True))))

    def at(x: float, y: float) -> FloatArray:
        return np.array([x, y]) * unit

    brow = p[17:27, 1].min()
    left, right = p[17, 0], p[26, 0]
    for k, height in enumerate((1.4, 2.5, 3.5)):
        inset = 0.6 * k * unit
        sag = np.array([(left + right) / 2, brow - (height - 0.5) * unit])
        out["forehead"].append(bend(np.array([left + inset + unit, brow - (height + 0.3) * unit]), sag,
                                    np.array([right - inset - unit, brow - (height + 0.3) * unit])))
    middle = (p[21] + p[22]) / 2
    for side in (-1, 1):
        out["frown"].append(bend(middle + at(0.35 * side, -0.7), middle + at(0.45 * side, 0.2),
                                 middle + at(0.25 * side, 0.9)))
        corner, wing, mouth = (p[i] for i in ((36, 31, 48) if side < 0 else (45, 35, 54)))
        lid = p[[40, 41]].mean(axis=0) if side < 0 else p[[46, 47]].mean(axis=0)
        for tilt in (-0.9, -0.1, 0.8):
            out["crow"].append(bend(corner + at(0.8 * side, 0.25 * tilt), corner + at(1.7 * side, 0.8 * tilt),
                                    corner + at(2.5 * side, 1.5 * tilt)))
        out["nasolabial"].append(bend(wing + at(0.55 * side, -0.5), wing + at(1.7 * side, 0.5),
                                      mouth + at(1.0 * side, -0.8), mouth + at(0.9 * side, 0.5)))
        out["marionette"].append(bend(mouth + at(0.35 * side, 0.25), mouth + at(0.6 * side, 1.1),
                                      mouth + at(0.5 * side, 1.9)))
        for drop in (0.6, 1.1):
            out["under_eye"].append(bend(lid + at(-1.2, drop - 0.35), lid + at(0, drop + 0.25),
                                         lid + at(1.2, drop - 0.35)))
    return out


@lru_cache(maxsize=4)
def fold_fields(size: int) -> tuple[FloatArray, float]:
    """Fields (6, S, S) float32 that are 1 in the middle of each kind of fold and 0 away from it; mm per texel."""
    model = MorphableModel.load(level=0)
    uv = model.uv[model.landmarks68]
    mm = float(np.linalg.norm(model.mean[model.landmarks68[45]] - model.mean[model.landmarks68[36]]))
    mm_per_texel = mm / (float(np.linalg.norm(uv[45] - uv[36])) * size)
    fields = np.zeros((len(FOLDS), size, size), np.float32)
    for field, (name, lines) in zip(fields, _curves(uv).items(), strict=True):
        for line in lines:
            strength = np.sin(np.linspace(0.25, np.pi - 0.25, len(line) - 1)) ** 0.7  # folds end softly
            for a, b, s in zip(line[:-1], line[1:], strength, strict=True):
                ends = [tuple(int(v) for v in np.round(q * size * 16)) for q in (a, b)]
                piece = np.zeros((size, size), np.float32)
                cv2.line(piece, ends[0], ends[1], float(s), 1, cv2.LINE_8, 4)
                np.maximum(field, piece, out=field)
        sigma = WIDTH_MM[name] / mm_per_texel / 2
        blurred = cv2.GaussianBlur(field, (0, 0), max(0.5, sigma))
        field[:] = blurred / max(float(blurred.max()), 1e-6)
    fields.setflags(write=False)
    return fields, mm_per_texel


def height_map(params: ReliefParams, names: tuple[str, ...], expression: FloatArray, size: int) -> FloatArray:
    """Bump map Φ: (size, size) float32 mm above the smooth skin in the UV map.

    expression (64,) in the order of ``names``.
    """
    soft, fine = (_window(tile, params.shift, size) for tile in noise_tiles()[:2])
    height = params.pores_mm * fine + params.bumps_mm * soft
    fields, _ = fold_fields(size)
    for field, name in zip(fields, FOLDS, strict=True):
        folded = max(float(expression[names.index(action)]) for action in FOLDED_BY[name])
        strength = min(1.0, 0.9 * params.age + params.pliancy * max(0.0, folded))
        if strength > 0.02:
            height = height - DEPTH_MM[name] * strength * field * (1 + 0.25 * soft)
    return np.asarray(height, np.float32)


def _window(tile: FloatArray, shift: tuple[int, int], size: int) -> FloatArray:
    """(size, size) of a periodic tile (TILE, TILE) moved by ``shift``; larger ones are enlarged."""
    if size > TILE:
        return np.asarray(cv2.resize(np.roll(tile, shift, (0, 1)), (size, size)), np.float32)
    rows, columns = ((np.arange(size) - s) % TILE for s in shift)
    return tile[rows[:, None], columns]


def emboss(texture: FloatArray, height: FloatArray, towards: FloatArray, strength: float) -> FloatArray:
    """Shade a texture (S, S, 3) as if its relief (S, S) mm were lit from ``towards`` (3,), head space.

    First order: brightness changes with the slope towards the light. ``strength``: share of the light that has a
    direction; above 1 exaggerates. The UV map lies in the face like the picture of a frontal head (u right, v down).
    """
    _, mm_per_texel = fold_fields(texture.shape[0])
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=1 / (8 * mm_per_texel))
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=1 / (8 * mm_per_texel))
    side = float(np.hypot(towards[0], towards[1]))
    shade = 1 - strength * (slope_x * float(towards[0]) + slope_y * float(towards[1]))
    shade -= 0.15 * strength * (1 - side) * np.hypot(slope_x, slope_y)  # valleys lose light from the front, too
    np.clip(shade, 0.35, 1.6, out=shade)
    return np.asarray(np.clip(cv2.multiply(texture, cv2.merge([shade] * 3)), 0.002, 1.0))
