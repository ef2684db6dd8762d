"""Small triangle meshes for things around a face: tubes, capsules, ellipsoids, slabs, sheets."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[Any]
"""Floating point, float32 unless said otherwise (NumPy's and OpenCV's stubs do not follow dtypes)."""
IntArray = NDArray[np.int32]


class Shape(NamedTuple):
    """Vertices (V, 3) float32 mm and triangles (F, 3) int32."""

    vertices: FloatArray
    triangles: IntArray


def grid_triangles(rows: int, columns: int, *, closed: bool = False) -> IntArray:
    """Triangles of a rows × columns grid of vertices; ``closed`` joins the last column to the first."""
    last = columns if closed else columns - 1
    r, c = np.meshgrid(np.arange(rows - 1), np.arange(last), indexing="ij")
    a, b = r * columns + c, r * columns + (c + 1) % columns
    quads = np.stack([a, b, b + columns, a + columns], axis=-1).reshape(-1, 4)
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)


@lru_cache(maxsize=8)
def _strips(count: int, points: int) -> IntArray:
    rows = np.arange(points - 1)[:, None, None] * 2 + np.array([[0, 1, 3], [0, 3, 2]])
    out = (np.arange(count)[:, None, None, None] * (2 * points) + rows).reshape(-1, 3).astype(np.int32)
    out.setflags(write=False)
    return out


def strips(count: int, points: int) -> IntArray:
    """(count · (points − 1) · 2, 3) triangles, read-only, of ribbons with vertices (count, points, 2 sides)."""
    capacity = 1 << max(count - 1, 0).bit_length()
    return _strips(capacity, points)[:count * (points - 1) * 2]


def cross(a: FloatArray, b: FloatArray) -> FloatArray:
    """Cross products of (..., 3) and (..., 3), in a fraction of np.cross' time for few vectors."""
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)


def frames_along(path: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Two unit vectors (P, 3) across a polyline (P, 3), turning as little as possible."""
    tangent = np.gradient(path, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-6)
    first = cross(tangent[0], np.array([0.0, 0.0, 1.0] if abs(tangent[0][2]) < 0.9 else [0.0, 1.0, 0.0]))
    side = np.empty_like(path)
    side[0] = first / np.linalg.norm(first)
    for i in range(1, len(path)):
        across = side[i - 1] - tangent[i] * np.dot(side[i - 1], tangent[i])
        side[i] = across / max(float(np.linalg.norm(across)), 1e-6)
    return side, cross(tangent, side)


def tube(path: FloatArray, radius: float | FloatArray, *, sides: int = 8, flatten: float = 1.0) -> Shape:
    """A tube of ``radius`` mm (scalar or (P,)) along a polyline (P, 3); ``flatten`` squeezes one direction.

    Ends are closed by shrinking the radius of repeated end points.
    """
    path = np.asarray(path, np.float32)
    radii = np.broadcast_to(np.asarray(radius, np.float32), (len(path),))
    side, up = frames_along(path)
    path, side, up = (np.concatenate([a[:1], a, a[-1:]]) for a in (path, side, up))
    radii = np.concatenate([[0.0], radii, [0.0]]).astype(np.float32)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = side[:, None] * np.cos(angle)[None, :, None] + up[:, None] * (np.sin(angle) * flatten)[None, :, None]
    vertices = path[:, None] + ring * radii[:, None, None]
    return Shape(vertices.reshape(-1, 3).astype(np.float32), grid_triangles(len(path), sides, closed=True))


def capsule(start: FloatArray, end: FloatArray, radius_start: float, radius_end: float, *, sides: int = 10) -> Shape:
    """A limb with round ends between two points (3,) mm."""
    start, end = np.asarray(start, np.float32), np.asarray(end, np.float32)
    axis = end - start
    length = max(float(np.linalg.norm(axis)), 1e-3)
    axis = axis / length
    turn = np.linspace(0.3, np.pi / 2, 4)
    cap = np.linspace(0.3, 1.3, 3)
    along = np.concatenate([-radius_start * np.cos(turn[:-1]), [0.0], [length], length + radius_end * np.sin(cap)])
    radii = np.concatenate([radius_start * np.sin(turn[:-1]), [radius_start], [radius_end], radius_end * np.cos(cap)])
    return tube(start + axis * along[:, None].astype(np.float32), radii.astype(np.float32), sides=sides)


def ellipsoid(center: FloatArray, axes: FloatArray, *, rows: int = 10, columns: int = 16) -> Shape:
    """center (3,) mm; axes (3, 3) mm: rows are the three half axes."""
    theta = np.linspace(0, np.pi, rows)[:, None]
    phi = np.linspace(0, 2 * np.pi, columns, endpoint=False)[None]
    unit = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta) + 0 * phi], axis=-1)
    vertices = np.asarray(center) + unit.reshape(-1, 3) @ np.asarray(axes)
    return Shape(vertices.astype(np.float32), grid_triangles(rows, columns, closed=True))


def cylinder(start: FloatArray, end: FloatArray, radius_start: float, radius_end: float, *, sides: int = 20) -> Shape:
    """A closed cylinder or cone between two points (3,) mm."""
    path = np.linspace(np.asarray(start, np.float32), np.asarray(end, np.float32), 6)
    return tube(path, np.linspace(radius_start, radius_end, 6).astype(np.float32), sides=sides)


def sheet(points: FloatArray) -> Shape:
    """A surface over a grid of points (R, C, 3) mm."""
    rows, columns = points.shape[:2]
    return Shape(points.reshape(-1, 3).astype(np.float32), grid_triangles(rows, columns))


def fan(outline: FloatArray, *, bulge: float = 0.0) -> Shape:
    """A filled closed outline (P, 3) mm around its centre, which is pushed ``bulge`` mm towards the camera (−z)."""
    center = outline.mean(axis=0, keepdims=True) + np.array([[0.0, 0.0, -bulge]])
    middle = (outline + center) / 2 + np.array([[0.0, 0.0, -0.35 * bulge]])
    count = len(outline)
    vertices = np.concatenate([outline, middle, center]).astype(np.float32)
    ring = grid_triangles(2, count, closed=True)
    i = np.arange(count)
    inner = np.stack([count + i, count + (i + 1) % count, np.full(count, 2 * count)], axis=1)
    return Shape(vertices, np.concatenate([ring, inner]).astype(np.int32))


def box(center: FloatArray, axes: FloatArray) -> Shape:
    """A slab: center (3,) mm, rows of axes (3, 3) are its half edges. Faces do not share vertices (sharp edges)."""
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
    vertices = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            unit = np.insert(corners, axis, sign, axis=1)
            vertices.append(np.asarray(center) + unit @ np.asarray(axes))
    triangles = np.concatenate([[[4 * i, 4 * i + 1, 4 * i + 2], [4 * i, 4 * i + 2, 4 * i + 3]] for i in range(6)])
    return Shape(np.concatenate(vertices).astype(np.float32), triangles.astype(np.int32))


def join(shapes: list[Shape]) -> Shape:
    """One mesh of several."""
    offsets = np.cumsum([0] + [len(s.vertices) for s in shapes[:-1]])
    return Shape(np.concatenate([s.vertices for s in shapes]),
                 np.concatenate([s.triangles + o for s, o in zip(shapes, offsets, strict=True)]).astype(np.int32))
