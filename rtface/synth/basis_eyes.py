"""Eyeballs: spheres fitted under the lids, with a centre that is linear in identity."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
RADIUS_MM: Final = 12.5
DOWN_MM: Final = 0.7
"""The source's eyeballs sit high in the lids' opening; this centres the iris as in relaxed faces."""
CLEARANCE_MM: Final = 0.15
IRIS_MM, PUPIL_MM = 5.9, 2.0
SEGMENTS: Final = 24
KINDS: Final = ("sclera", "iris", "pupil")


def eye_template() -> tuple[Array, Array, Array]:
    """One eyeball around the origin, looking along −z: vertices (V, 3) mm, triangles (F, 3), kinds (V,).

    Rings around the pole; two close rings on each side of the pupil's and the iris' border keep them crisp.
    """
    pupil, iris = np.arcsin(PUPIL_MM / RADIUS_MM), np.arcsin(IRIS_MM / RADIUS_MM)
    polar = np.concatenate([[pupil * 0.6, pupil - 0.004, pupil + 0.004], np.linspace(pupil, iris, 6)[1:-1],
                            [iris - 0.012, iris + 0.012], np.linspace(iris, np.pi, 15)[1:-1]])
    kind = np.where(polar < pupil, 2, np.where(polar < iris, 1, 0))
    turn = np.arange(SEGMENTS) * 2 * np.pi / SEGMENTS
    ring = np.stack([np.sin(polar)[:, None] * np.cos(turn), np.sin(polar)[:, None] * np.sin(turn),
                     np.repeat(-np.cos(polar)[:, None], SEGMENTS, axis=1)], axis=-1).reshape(-1, 3)
    vertices = np.concatenate([[[0, 0, -1]], ring, [[0, 0, 1]]]) * RADIUS_MM
    kinds = np.concatenate([[2], np.repeat(kind, SEGMENTS), [0]]).astype(np.uint8)
    first = 1 + np.arange(SEGMENTS)
    following = 1 + (np.arange(SEGMENTS) + 1) % SEGMENTS
    triangles = [np.stack([np.zeros(SEGMENTS, int), following, first], 1)]
    for k in range(len(polar) - 1):
        a, b = first + k * SEGMENTS, following + k * SEGMENTS
        triangles += [np.stack([a, b, b + SEGMENTS], 1), np.stack([a, b + SEGMENTS, a + SEGMENTS], 1)]
    last = (len(polar) - 1) * SEGMENTS
    triangles.append(np.stack([first + last, following + last, np.full(SEGMENTS, len(vertices) - 1)], 1))
    return vertices, np.concatenate(triangles).astype(np.int32), kinds


def fit_centers(balls: Array, lids: Array, offsets: Array, radius: float = RADIUS_MM) -> Array:
    """Eye centres (n, 3): as far forward as the lids allow in every pose, on the axis of the modelled ball.

    balls (n, B, 3): vertices of the source's eyeballs, their centre gives x and y; lids (n, L, 3): the lid's outer
    skin and margin at rest; offsets (P, L, 3): what the lids' actions (blinks half way, looks, squint) add.
    Straight paths of a blink cut the sphere's curve, so half-closed lids bind, not the open ones.
    """
    center = (balls.max(axis=1) + balls.min(axis=1)) / 2
    center[:, 1] += DOWN_MM
    reach = radius + CLEARANCE_MM
    forward = np.full(len(center), -np.inf)
    for offset in offsets:
        posed = lids + offset
        aside = ((posed[..., :2] - center[:, None, :2]) ** 2).sum(axis=-1)
        depth = np.sqrt(np.maximum(reach ** 2 - aside, 0))
        front = np.where(aside < (0.97 * reach) ** 2, posed[..., 2] + depth, -np.inf)
        forward = np.maximum(forward, front.max(axis=1))
    center[:, 2] = forward
    return center
