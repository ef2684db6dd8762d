"""Meshes for the kernel tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest


class Mesh(NamedTuple):
    vertices: np.ndarray  # (V, 3) float32
    triangles: np.ndarray  # (F, 3) int32


def _sphere(rings: int, segments: int) -> Mesh:
    """A closed unit sphere, counter-clockwise seen from outside."""
    tilt = np.linspace(0, np.pi, rings + 1)[1:-1, None]
    turn = np.linspace(0, 2 * np.pi, segments, endpoint=False)[None]
    body = np.stack(np.broadcast_arrays(np.sin(tilt) * np.cos(turn), np.cos(tilt), np.sin(tilt) * np.sin(turn)), -1)
    vertices = np.concatenate([[[0, 1, 0]], body.reshape(-1, 3), [[0, -1, 0]]])
    last = len(vertices) - 1
    triangles = []
    for s in range(segments):
        t = (s + 1) % segments
        triangles += [(0, 1 + t, 1 + s), (last, last - segments + s, last - segments + t)]
        for r in range(rings - 2):
            a, b = 1 + r * segments + s, 1 + r * segments + t
            triangles += [(a, b, a + segments), (b, b + segments, a + segments)]
    return Mesh(vertices.astype(np.float32), np.array(triangles, np.int32))


@pytest.fixture
def sphere() -> Callable[[int, int], Mesh]:
    return _sphere


@pytest.fixture(params=range(6))
def random_mesh(request: pytest.FixtureRequest) -> Mesh:
    """Triangles at random, large and tiny, in and out of a 48x64 picture, some on exact pixel centres."""
    rng = np.random.default_rng(request.param)
    count = 60
    centers = rng.uniform(-10, 74, (count, 1, 2))
    corners = centers + rng.normal(size=(count, 3, 2)) * rng.choice([0.5, 3, 20], (count, 1, 1))
    if request.param % 2:
        corners = np.round(corners) + 0.5  # corners, edges and centres coincide often
    depth = rng.integers(0, 4, (count, 3, 1)) if request.param % 3 == 0 else rng.normal(size=(count, 3, 1))
    vertices = np.concatenate([corners, depth], -1).reshape(-1, 3).astype(np.float32)
    return Mesh(vertices, rng.permutation(len(vertices)).reshape(-1, 3).astype(np.int32)
                if request.param == 5 else np.arange(len(vertices), dtype=np.int32).reshape(-1, 3))
