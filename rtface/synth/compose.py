"""Puts renderings over backgrounds: cloth grain, depth of field, and things that move while the shutter is open."""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np

from rtface.ops import shading
from rtface.synth.background import noise
from rtface.synth.camera import blur, motion_kernel
from rtface.synth.config import OCCLUDER_KINDS
from rtface.synth.head import CLOTHES, OCCLUDER
from rtface.synth.render import NOTHING, Drawing
from rtface.synth.shapes import FloatArray

HELD: Final = ("hand", "microphone", "cup", "bar", "blob", "phone", "leaves", "head")
"""Occluders that move by themselves or stand before the plane of focus; worn things stay with the face."""
SMOOTH: Final = (NOTHING, *(OCCLUDER + OCCLUDER_KINDS.index(name) for name in ("hand", "head")))
"""Occluders without the grain of cloth and things."""
ENCODING: Final = (np.linspace(0, 1, 1024) ** (2 / 2.2)).astype(np.float32)
""":func:`rtface.synth.render.encode_srgb` over the square root of linear light, to 2e-5."""
ROUGH: Final = np.array([(kind >= OCCLUDER and kind not in SMOOTH) or kind == CLOTHES for kind in range(256)])


class Softening(NamedTuple):
    """How a picture loses its sharpness outside of the face. Lengths are shares of the picture's side."""

    background: float
    """Standard deviation of the background's blur."""
    near: float
    """Standard deviation of the blur of things before the face."""
    motion: float
    """How far those move during the exposure."""
    direction_rad: float


SHARP: Final = Softening(0.0, 0.0, 0.0, 0.0)


def sample_softening(rng: np.random.Generator, rate: float) -> Softening:
    """A share ``rate`` of open lenses, and half as many moving things."""
    lens, moving = rng.random() < rate, rng.random() < 0.5 * rate
    return Softening(float(np.exp(rng.uniform(np.log(0.006), np.log(0.04)))) if lens else 0.0,
                     float(rng.uniform(0.003, 0.015)) if lens else 0.0,
                     float(rng.uniform(0.02, 0.09)) if moving else 0.0, float(rng.uniform(0, np.pi)))


def defocus(behind: FloatArray, softening: Softening) -> FloatArray:
    """The background (H, W, 3) out of focus."""
    sigma = softening.background * max(behind.shape[:2])
    return blur(behind, sigma) if sigma > 0.3 else behind


def held(drawing: Drawing) -> FloatArray:
    """(H, W) float32, 1 where something is that may be out of focus or move."""
    table = np.zeros(256, np.float32)
    table[[OCCLUDER + OCCLUDER_KINDS.index(name) for name in HELD]] = 1
    return table[drawing.kind]


def veil(front: FloatArray, back: FloatArray, share: FloatArray, softening: Softening) -> FloatArray:
    """Blur what is held before the face over what is behind it.

    front, back: (H, W, 3) float32 pictures with and without it; share (H, W): 1 where it is.
    """
    side = max(front.shape[:2])
    layer = np.concatenate([front * share[..., None], share[..., None]], axis=-1)
    if softening.near * side > 0.3:
        layer = cv2.GaussianBlur(layer, (0, 0), softening.near * side)
    if softening.motion * side > 1.5:
        layer = cv2.filter2D(layer, -1, motion_kernel(softening.motion * side, softening.direction_rad))
    rest = np.where(share[..., None] > 0, back, front)
    return np.asarray(layer[..., :3] + (1 - layer[..., 3:]) * rest, np.float32)


def finish(drawing: Drawing, under: Drawing, behind: FloatArray, grain: FloatArray, size: int,
           soft: Softening = SHARP) -> FloatArray:
    """Put a rendering over a background, both (R, R), and shrink to (size, size, 3) float32 sRGB.

    under: the same without what is before the face, which shows where ``soft`` blurs that. grain: (R, R) factor.
    """
    picture = _over_background(drawing, behind, grain)
    if soft.near or soft.motion:
        share = held(drawing)
        if share.any():
            picture = veil(picture, _over_background(under, behind, grain), share, soft)
    if picture.shape[0] == size:
        return np.ascontiguousarray(picture)
    return np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA), np.float32)


def _over_background(drawing: Drawing, behind: FloatArray, grain: FloatArray) -> FloatArray:
    return shading.encode_over(drawing.color, drawing.kind, behind, grain, ROUGH, ENCODING)


def grain_field(rng: np.random.Generator, height: int, width: int) -> FloatArray:
    """(H, W) texture of cloth and surfaces as a factor around 1."""
    field = noise(rng, height // 2, width // 2, cells=float(rng.uniform(6, 60)), octaves=2)
    return cv2.resize(np.exp(field * float(rng.uniform(0.02, 0.3))), (width, height))
