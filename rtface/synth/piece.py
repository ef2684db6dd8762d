"""What everything before a face is made of, and where it attaches (head space: mm; x right, y down, z away)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rtface.synth.background import random_color
from rtface.synth.shapes import FloatArray, Shape


class Anchors(NamedTuple):
    """Where things attach."""

    landmarks: FloatArray
    """(68, 3) mm of this face with its expression."""
    surface: FloatArray
    """(P, 3) mm, points of the face, dense enough to lay cloth on."""
    skin: FloatArray
    """(3,) linear RGB, mean skin colour (hands resemble it)."""


class Piece(NamedTuple):
    """One mesh with its looks."""

    shape: Shape
    color: FloatArray
    """(3,) or, per vertex, (V, 3) linear RGB."""
    gloss: float
    """Strength of the specular highlight."""
    scatter: float = 0.0
    """1: skin, in which light spreads."""


def paint_color(rng: np.random.Generator) -> FloatArray:
    """(3,) linear RGB of something dyed or painted."""
    return (random_color(rng) ** 2.2).astype(np.float32)


def pattern(rng: np.random.Generator, shape: Shape, color: FloatArray, *, chance: float = 0.4) -> FloatArray:
    """(3,) or (V, 3) linear RGB: now and then with stripes, checks or blotches of another colour."""
    if rng.random() >= chance:
        return color
    other = paint_color(rng)
    points = shape.vertices @ np.linalg.qr(rng.normal(size=(3, 3)))[0].astype(np.float32)
    waves = np.sin(points / float(rng.uniform(4, 16)) + rng.uniform(0, 6, 3).astype(np.float32))
    kind = rng.integers(3)
    field = waves[:, 0] if kind == 0 else waves[:, 0] * waves[:, 1] if kind == 1 else waves.sum(axis=1) / 2
    share = 1 / (1 + np.exp(-6 * field[:, None] + float(rng.normal(0, 1))))
    return np.asarray(color * (1 - share) + other * share, np.float32)
