"""UV map of the face patch: an azimuthal view from inside the head; folds (ears, nostrils, rims) are spread out."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from rtface.subdivision import Topology
from rtface.synth.basis_topology import loops

Array = NDArray[Any]
CENTER: Final = np.array([0.0, -22.0, 42.0])
"""Point inside the head (mm) from which nearly all of the patch is seen."""
KNEE_DEG, TAIL = 50.0, 0.55
"""Full resolution up to this angle from the gaze direction; beyond it radii grow at this share."""
MARGIN: Final = 0.012
THIN: Final = 0.08
ROUNDS: Final = 12
RIM_WEIGHT: Final = 0.08


def face_uv(positions: Array, quads: Array, mirror: Array, rims: Array) -> Array:
    """(V, 2) in 0..1, v down, u to the picture's right; u mirrors as 1 − u; no triangle is flipped.

    positions (V, 3) mm in rtface's axes, quads (Q, 4), mirror (V,), rims: vertices of the
    inner rims of the lids, which give way to their surroundings. Holes (eyes, mouth) are closed by one extra
    vertex each while folds are removed.
    """
    topology = Topology.from_quads(quads, len(positions))
    rings = loops(topology.edges[topology.edge_quads[:, 1] < 0])
    tri = [quads[:, list(k)] for k in ((0, 1, 2), (0, 2, 3), (0, 1, 3), (1, 2, 3))]
    points, count = [positions], len(positions)
    for k, ring in enumerate(rings[1:]):
        points.append(positions[ring].mean(axis=0, keepdims=True))
        tri.append(np.array([[b, a, count + k] for a, b in _oriented(ring, quads)]))
    p, triangles = np.concatenate(points), np.concatenate(tri)
    hole = {frozenset(r): count + k for k, r in enumerate(rings[1:])}
    partner = np.concatenate([mirror, [hole[frozenset(mirror[r].tolist())] for r in rings[1:]]]).astype(int)
    uv = _azimuthal(p)
    pinned = np.zeros(len(p), bool)
    pinned[rings[0]] = True
    edges = np.unique(np.concatenate([triangles[:, [i, j]] for i in range(3) for j in range(3) if i != j]), axis=0)
    soft = np.ones(len(p), bool)
    soft[:count] = np.isin(np.arange(count), rims)
    weights = np.where(soft[edges].all(axis=1), RIM_WEIGHT, 1.0)
    free = np.zeros(len(p), bool)
    best, fewest = uv, len(triangles)
    for round_ in range(ROUNDS):
        bad = _bad(p, uv, triangles, THIN if round_ < 2 else 0.0)
        if bad.sum() < fewest:
            best, fewest = uv, int(bad.sum())
        if not fewest:
            break
        near = np.zeros(len(p), bool)
        near[triangles[bad].ravel()] = True
        near |= near[partner]
        if round_ > 0:
            near[edges[near[edges[:, 0]], 1]] = True
        free |= near
        uv = _spread(uv, edges, weights, free & ~pinned)
        uv = (uv + uv[partner] * (-1, 1)) / 2
    uv = best
    low, high = uv[:count].min(axis=0), uv[:count].max(axis=0)
    half = max(high[0], -low[0])
    scaled = (uv[:count] - (-half, low[1])) / (2 * half, high[1] - low[1])
    return MARGIN + scaled * (1 - 2 * MARGIN)


def _azimuthal(p: Array) -> Array:
    """Angle from the gaze direction as radius, bent towards a square so that little of the texture is wasted."""
    d = p - CENTER
    across = np.hypot(d[:, 0], d[:, 1])
    angle = np.arctan2(across, -d[:, 2])
    knee = np.deg2rad(KNEE_DEG)
    radius = np.where(angle < knee, angle, knee + (angle - knee) * TAIL)
    unit = d[:, :2] / np.maximum(across, 1e-9)[:, None]
    far = np.clip(radius / radius.max(), 0, 1) ** 2
    square = 1 / np.maximum(np.abs(unit).max(axis=1), 1e-9)
    return unit * (radius * (1 + 0.55 * far * (square - 1)))[:, None]


def _oriented(ring: list[int], quads: Array) -> list[tuple[int, int]]:
    """Border edges in the direction in which the quads walk them."""
    walked = {(int(a), int(b)) for q in quads for a, b in zip(q, np.roll(q, -1), strict=True)}
    pairs = list(zip(ring, ring[1:] + ring[:1], strict=True))
    return [(a, b) if (a, b) in walked else (b, a) for a, b in pairs]


def _bad(p: Array, uv: Array, triangles: Array, thin: float) -> Array:
    """Triangles that are flipped or far too small in the map (half of each quad's four count as slivers)."""
    a, b, c = (uv[triangles[:, k]] for k in range(3))
    flat = -((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
    qa, qb, qc = (p[triangles[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(qb - qa, qc - qa), axis=1)
    typical = np.median(flat / np.maximum(area, 1e-9))
    return flat <= thin * typical * area


def _spread(uv: Array, edges: Array, weights: Array, free: Array) -> Array:
    """Move free vertices to the weighted mean of their neighbours."""
    n = len(uv)
    degree = np.bincount(edges[:, 0], weights, n)
    matrix = sparse.coo_matrix((weights / degree[edges[:, 0]], tuple(edges.T)), shape=(n, n)).tocsr()
    system = (sparse.identity(n) - matrix).tocsr()
    inside, fixed = np.flatnonzero(free), np.flatnonzero(~free)
    out = uv.copy()
    out[inside] = splu(system[inside][:, inside].tocsc()).solve(-(system[inside][:, fixed] @ uv[fixed]))
    return out
