"""Exact distances from points to a triangle mesh, in NumPy: a tree of boxes that is walked for all points at once.

Triangles are sorted into a binary tree with equally many in every leaf, so that each level is one array of boxes. A
point first walks down to the leaf whose boxes are nearest, which bounds its distance; then all (point, box) pairs go
down level by level, and those whose box is further away than the bound are dropped. What remains is measured exactly.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError

Doubles = NDArray[np.float64]
Ints = NDArray[np.intp]
LEAF: Final = 4
"""At most so many triangles in a leaf."""
CHUNK: Final = 2048
"""Points measured at once: bounds the memory."""
_TINY: Final = 1e-300


class Nearest(NamedTuple):
    """Where each point's nearest surface point is."""

    distance: Doubles
    """(P,) in the mesh's unit."""
    point: Doubles
    """(P, 3) on the surface."""
    triangle: Ints
    """(P,) row of the mesh's triangles; of several equally near ones any."""


class Surface:
    """A triangle mesh to measure distances to; the tree is built once."""

    def __init__(self, vertices: NDArray[Any], triangles: NDArray[Any]) -> None:
        """vertices (V, 3) finite, triangles (F, 3) rows of them, F at least 1; InputError otherwise.

        Triangles without area are edges or points, and measured as such.
        """
        vertices, triangles = np.asarray(vertices, np.float64), np.asarray(triangles, np.intp)
        if vertices.ndim != 2 or vertices.shape[1] != 3 or triangles.ndim != 2 or triangles.shape[1:] != (3,):
            raise InputError(f"surface: got vertices {vertices.shape} and triangles {triangles.shape}, expected (V, 3) "
                             f"and (F, 3)")
        if not len(triangles) or triangles.min() < 0 or triangles.max() >= len(vertices):
            raise InputError(f"surface: got {len(triangles)} triangles of {len(vertices)} vertices, expected at least "
                             f"one, with vertices that exist")
        if not np.isfinite(vertices).all():
            raise InputError("surface: got vertices that are not finite, expected numbers")
        corners = vertices[triangles]
        depth = max(0, int(np.ceil(np.log2(len(triangles) / LEAF))))
        leaf = -(-len(triangles) // 2 ** depth)
        order = np.resize(np.arange(len(triangles)), leaf * 2 ** depth)  # the first ones again, to fill all leaves
        centers = corners.mean(axis=1)
        for level in range(depth):
            rows = order.reshape(2 ** level, -1)
            places = centers[rows]
            longest = np.ptp(places, axis=1).argmax(axis=1)
            keys = np.take_along_axis(places, longest[:, None, None], axis=2)[..., 0]
            order = np.take_along_axis(rows, keys.argsort(axis=1), axis=1).ravel()
        self._order, self._leaf = order, leaf
        self._corners = corners[order]
        low, high = self._corners.min(axis=1), self._corners.max(axis=1)
        self._low = [low.reshape(2 ** level, -1, 3).min(axis=1) for level in range(depth + 1)]
        self._high = [high.reshape(2 ** level, -1, 3).max(axis=1) for level in range(depth + 1)]

    def nearest(self, points: NDArray[Any]) -> Nearest:
        """The nearest surface point of every point (P, 3), which must be finite; P may be 0."""
        points = np.asarray(points, np.float64)
        if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
            raise InputError(f"surface: got points {points.shape}, expected (P, 3) finite numbers")
        found = [self._walk(points[k:k + CHUNK]) for k in range(0, len(points), CHUNK)]
        if not found:
            return Nearest(np.zeros(0), np.zeros((0, 3)), np.zeros(0, np.intp))
        return Nearest(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def _walk(self, points: Doubles) -> Nearest:
        every = np.arange(len(points))
        node = np.zeros(len(points), np.intp)
        for level in range(1, len(self._low)):
            left = self._apart(points, every, 2 * node, level) <= self._apart(points, every, 2 * node + 1, level)
            node = 2 * node + np.where(left, 0, 1)
        bound = self._measure(points, every, node)[0] * (1 + 1e-9) + _TINY  # rounding must not lose the nearest box
        who, node = every, np.zeros(len(points), np.intp)
        for level in range(1, len(self._low)):
            who, node = np.repeat(who, 2), np.stack([2 * node, 2 * node + 1], axis=1).ravel()
            near = self._apart(points, who, node, level) <= bound[who]
            who, node = who[near], node[near]
        squared, place, row = self._measure(points, who, node)
        first = np.flatnonzero(np.diff(who, prepend=-1))  # pairs stay in the order of their points
        least = np.minimum.reduceat(squared, first)
        best = np.flatnonzero(squared == least[np.cumsum(np.diff(who, prepend=-1) > 0) - 1])
        best = best[np.flatnonzero(np.diff(who[best], prepend=-1))]
        return Nearest(np.sqrt(squared[best]), place[best], self._order[row[best]])

    def _apart(self, points: Doubles, who: Ints, node: Ints, level: int) -> Doubles:
        """Squared distance of points to boxes, 0 inside."""
        at = points[who]
        outside = np.maximum(np.maximum(self._low[level][node] - at, at - self._high[level][node]), 0)
        return np.asarray(np.einsum("ij,ij->i", outside, outside), np.float64)

    def _measure(self, points: Doubles, who: Ints, node: Ints) -> tuple[Doubles, Doubles, Ints]:
        """Squared distance, place and sorted row of the nearest triangle in a leaf, per (point, leaf)."""
        rows = node[:, None] * self._leaf + np.arange(self._leaf)
        place = closest_on_triangles(np.repeat(points[who], self._leaf, axis=0), self._corners[rows.ravel()])
        apart = place.reshape(len(who), self._leaf, 3) - points[who][:, None]
        squared = np.einsum("ijk,ijk->ij", apart, apart)
        best = squared.argmin(axis=1)
        every = np.arange(len(who))
        return squared[every, best], place.reshape(len(who), self._leaf, 3)[every, best], rows[every, best]


def closest_on_triangles(points: Doubles, corners: Doubles) -> Doubles:
    """The point of each triangle that is nearest to its point: (P, 3), (P, 3, 3) → (P, 3).

    The foot of the perpendicular where it lies inside, else the nearest point of the three edges.
    """
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    first, second, apart = b - a, c - a, points - a
    d11, d12, d22 = (np.einsum("ij,ij->i", u, v) for u, v in ((first, first), (first, second), (second, second)))
    p1, p2 = np.einsum("ij,ij->i", apart, first), np.einsum("ij,ij->i", apart, second)
    area = d11 * d22 - d12 * d12
    solid = area > 1e-14 * d11 * d22
    area = np.where(solid, area, 1.0)
    v, w = (d22 * p1 - d12 * p2) / area, (d11 * p2 - d12 * p1) / area
    inside = solid & (v >= 0) & (w >= 0) & (v + w <= 1)
    best = a + v[:, None] * first + w[:, None] * second
    out = np.flatnonzero(~inside)
    if not len(out):
        return best
    rim, least = np.empty((len(out), 3)), np.full(len(out), np.inf)
    for start, end in ((a, b), (b, c), (c, a)):
        begin, along = start[out], end[out] - start[out]
        share = np.einsum("ij,ij->i", points[out] - begin, along) / np.maximum(
            np.einsum("ij,ij->i", along, along), _TINY)
        foot = begin + np.clip(share, 0, 1)[:, None] * along
        squared = ((foot - points[out]) ** 2).sum(axis=1)
        nearer = squared < least
        rim[nearer], least = foot[nearer], np.minimum(least, squared)
    best[out] = rim
    return best
