"""Cast shadows: what the main light does not reach, per vertex, by a depth map seen from the light."""

from __future__ import annotations

from typing import Final

import numpy as np

from rtface import ops
from rtface.synth.shapes import FloatArray, IntArray, cross

RESOLUTION: Final = 176
"""Side of the depth map in texels; it spans the receivers, so a texel is about 2 mm of a head."""
OFFSET_MM: Final = 2.5
"""Receivers are lifted off their own surface by this much, or it would shade itself."""
TAPS: Final = 8
TURN: Final = 2.39996
"""Golden angle: taps on a sunflower spiral cover a disc evenly."""


def lit_share(receivers: FloatArray, normals: FloatArray, casters: FloatArray, triangles: IntArray,
              direction: FloatArray, *, px_per_mm: float, softness_mm: float, closed: int = 0) -> FloatArray:
    """Share 0..1 of the light from ``direction`` that reaches each receiver: (V,) float32.

    receivers (V, 3) and casters (C, 3) px in camera axes, normals (V, 3) unit, triangles (F, 3) into casters,
    direction (3,) unit, towards the light. softness_mm: radius over which the edge of a shadow blurs. closed: the
    first so many triangles belong to closed surfaces, of which only the side towards the light is drawn.
    """
    towards = np.asarray(direction, np.float64) / np.linalg.norm(direction)
    aside = cross(towards, np.array([0.0, 1.0, 0.0] if abs(towards[1]) < 0.9 else [1.0, 0.0, 0.0]))
    aside /= np.linalg.norm(aside)
    axes = np.stack([aside, cross(towards, aside), -towards]).astype(np.float32)  # depth grows away from the light
    x, y, z = axes @ (receivers + normals * np.float32(OFFSET_MM * px_per_mm)).T
    left, top = x.min(), y.min()
    scale = np.float32((RESOLUTION - 2) / max(float(x.max() - left), float(y.max() - top), 1e-3))
    shift = np.array([1 - left * scale, 1 - top * scale, 0], np.float32)
    seen = casters @ (axes.T * scale)
    seen += shift
    depth = ops.rasterize(seen, triangles, RESOLUTION, RESOLUTION, cull="back", cull_first=closed).depth.reshape(-1)
    x, y, z = x * scale + shift[0], y * scale + shift[1], z * scale
    radius = max(0.6, softness_mm * px_per_mm * float(scale))
    z -= np.float32(1.0 + 0.7 * radius)  # a tilted surface rises within the disc
    reached = np.zeros(len(receivers), np.float32)
    for k in range(TAPS):
        reach = radius * np.sqrt((k + 0.5) / TAPS)
        column = (x + np.float32(reach * np.cos(k * TURN))).astype(np.int32)
        row = (y + np.float32(reach * np.sin(k * TURN))).astype(np.int32)
        for place in (column, row):
            np.maximum(place, 0, out=place)
            np.minimum(place, RESOLUTION - 1, out=place)
        row *= RESOLUTION
        row += column
        reached += depth.take(row) > z
    reached /= TAPS
    return reached
