"""Hair as locks: flat ribbons that grow from the scalp, fall, and slide over an ellipsoid around the head."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.synth.shapes import FloatArray, IntArray, strips

SEGMENTS = 9


class HairStyle(NamedTuple):
    """One haircut."""

    length_mm: float
    fringe: float
    """0 = combed back, 1 = falls over the brow."""
    parting: float
    """x of the parting in mm (locks fall away from it)."""
    curl_mm: float
    lift_mm: float
    """How far locks stand off the scalp."""
    locks: int
    width_mm: float
    color: FloatArray
    """(3,) linear RGB."""
    buns: int = 0
    """Hair tied up to none, one or two."""


class Locks(NamedTuple):
    """Ribbon mesh."""

    vertices: FloatArray
    triangles: IntArray
    albedo: FloatArray
    """(V, 3) linear RGB."""
    normals: FloatArray
    """(V, 3) outward of the head: ribbons are shaded as a volume, not as flat strips."""


def hair_color(rng: np.random.Generator) -> FloatArray:
    """(3,) linear RGB: black, brown, red, blond, gray, now and then dyed."""
    if rng.random() < 0.05:
        return rng.uniform(0.02, 0.7, 3).astype(np.float32)
    palette = np.array([[0.008, 0.006, 0.005], [0.02, 0.012, 0.008], [0.05, 0.026, 0.014], [0.12, 0.06, 0.03],
                        [0.16, 0.05, 0.02], [0.35, 0.22, 0.10], [0.5, 0.38, 0.22], [0.3, 0.29, 0.28],
                        [0.6, 0.58, 0.55]], np.float32)
    weight = np.array([0.2, 0.2, 0.16, 0.12, 0.04, 0.1, 0.06, 0.06, 0.06])
    return (palette[rng.choice(len(palette), p=weight / weight.sum())]
            * np.exp(rng.normal(0, 0.2))).astype(np.float32)


def sample_style(rng: np.random.Generator) -> HairStyle | None:
    """A random haircut; None is a bald head."""
    if rng.random() < 0.07:
        return None
    long, tied = rng.random() < 0.4, rng.random() < 0.12
    length = float(rng.uniform(110, 320) if long else np.exp(rng.uniform(np.log(12), np.log(80))))
    style = HairStyle(length_mm=length, fringe=float(rng.choice([0.0, rng.uniform(0.2, 1.0)], p=[0.55, 0.45])),
                      parting=float(rng.choice([0.0, rng.normal(0, 25), rng.choice([-45, 45])])),
                      curl_mm=float(rng.choice([0.0, rng.uniform(1, 7)], p=[0.6, 0.4])),
                      lift_mm=float(rng.uniform(2, 16)), locks=int(rng.integers(800, 1300)),
                      width_mm=float(rng.uniform(4.0, 9.0)), color=hair_color(rng))
    if tied:  # combed back and close to the head
        return style._replace(length_mm=float(rng.uniform(20, 45)), lift_mm=float(rng.uniform(1, 4)),
                              fringe=style.fringe if rng.random() < 0.3 else 0.0,
                              buns=int(rng.choice([1, 2], p=[0.8, 0.2])))
    return style


def grow(rng: np.random.Generator, style: HairStyle, scalp: FloatArray, normals: FloatArray,
         center: FloatArray, axes: FloatArray) -> Locks:
    """Grow locks from scalp points.

    scalp, normals (P, 3) mm: candidate roots; center (3,), axes (3,) mm: ellipsoid that locks do not enter.
    """
    count = style.locks  # arrays are (3, locks) here: NumPy is several times faster along long axes
    roots = rng.integers(len(scalp), size=count)
    point = np.ascontiguousarray((scalp[roots] + rng.normal(0, 3.0, (count, 3))).T, np.float32)
    normal = np.ascontiguousarray(normals[roots].T, np.float32)
    middle, half = np.asarray(center, np.float32)[:, None], np.asarray(axes, np.float32)[:, None]
    front = np.clip((middle[2] - point[2]) / half[2], 0, 1) * (normal[1] < -0.2)  # hair above the forehead
    away = np.sign(point[0] - style.parting + rng.normal(0, 4, count)).astype(np.float32)
    back = np.stack([0.5 * away, np.full_like(away, 0.1), np.full_like(away, 0.9)])
    over = np.stack([0.35 * away + rng.normal(0, 0.25, count).astype(np.float32), np.full_like(away, 0.55),
                     np.full_like(away, -0.8)])
    fringe = front * np.float32(style.fringe)
    comb = back + fringe * (over - back)
    length = style.length_mm * np.exp(rng.normal(0, 0.25, count))
    length = np.where(fringe > 0.3, np.minimum(length, rng.uniform(35, 95)), length)
    step = (length / (SEGMENTS - 1)).astype(np.float32)
    phase = rng.uniform(0, 2 * np.pi, count).astype(np.float32)
    path = np.empty((SEGMENTS, 3, count), np.float32)
    path[0] = point
    direction = normal * 0.8 + comb * 0.8
    shell = half * (1 + style.lift_mm * rng.uniform(0.4, 1.3, count) / float(half.mean())).astype(np.float32)
    for i in range(1, SEGMENTS):
        along = i / (SEGMENTS - 1)
        direction = 0.6 * direction + 0.3 * (1 - along) * comb
        direction[1] += 0.25 + 0.6 * along  # gravity
        if style.curl_mm:
            direction[0] += style.curl_mm * 0.15 * np.cos(phase + 3.5 * i)
            direction[2] += style.curl_mm * 0.15 * np.sin(phase + 3.5 * i)
        direction /= _lengths(direction)
        point = point + direction * step
        from_center = point - middle
        radius = _lengths(from_center / shell)
        point = np.where(radius < 1, middle + from_center / np.maximum(radius, 1e-3), point)
        path[i] = point
    outward = (path - middle) / half**2
    outward /= _lengths(outward)
    tangent = np.empty_like(path)
    tangent[0], tangent[-1] = path[1] - path[0], path[-1] - path[-2]
    tangent[1:-1] = path[2:] - path[:-2]
    across = np.stack([outward[:, i] * tangent[:, j] - outward[:, j] * tangent[:, i]
                       for i, j in ((1, 2), (2, 0), (0, 1))], axis=1)
    across *= np.linspace(1.0, 0.45, SEGMENTS, dtype=np.float32)[:, None, None] * np.float32(
        style.width_mm / 2) / np.maximum(_lengths(across), 1e-6)
    vertices, shading = (np.empty((count, SEGMENTS, 2, 3), np.float32) for _ in range(2))
    vertices[:, :, 0], vertices[:, :, 1] = (path - across).transpose(2, 0, 1), (path + across).transpose(2, 0, 1)
    shading[:] = outward.transpose(2, 0, 1)[:, :, None]
    tone = np.exp(rng.normal(0, 0.35, (count, 1, 1))) * np.linspace(0.75, 1.15, SEGMENTS)[:, None]
    strand = 1 + np.array([-0.18, 0.18]) * rng.choice([-1, 1], (count, 1, 1))
    albedo = np.minimum((tone * strand).astype(np.float32)[..., None] * style.color.astype(np.float32), 1)
    return Locks(vertices.reshape(-1, 3), strips(count, SEGMENTS), albedo.reshape(-1, 3), shading.reshape(-1, 3))


def _lengths(vectors: FloatArray) -> FloatArray:
    """(..., 3, P) → (..., 1, P)."""
    x, y, z = vectors[..., 0, :], vectors[..., 1, :], vectors[..., 2, :]
    return np.sqrt(x * x + y * y + z * z)[..., None, :]


def clear_of(locks: Locks, surface: FloatArray, *, keep: bool, cell_mm: float = 3.0, gap_mm: float = 2.0) -> Locks:
    """Locks that stay out of the head's front: what would lie inside is pulled out before it, or left out.

    surface (P, 3) mm: dense points of face and neck; head space looks along −z. keep: pull such locks out (a fringe);
    False drops them (hair that is combed back).
    """
    x, y, z = np.ascontiguousarray(surface.T)
    left, top = float(x.min()) - cell_mm, float(y.min()) - cell_mm
    columns, rows = (int(np.ceil((float(a.max()) + cell_mm - low) / cell_mm)) + 1 for a, low in ((x, left), (y, top)))
    front: FloatArray = np.full((rows, columns), np.inf, np.float32)
    np.minimum.at(front.reshape(-1), ((y - top) / cell_mm).astype(np.int32) * columns
                  + ((x - left) / cell_mm).astype(np.int32), z)
    front = cv2.erode(front, np.ones((3, 3), np.uint8))  # the nearest of the neighbours: no gaps between points
    vx, vy, vz = np.ascontiguousarray(locks.vertices.T)
    column, row = np.floor((vx - left) / cell_mm).astype(np.int32), np.floor((vy - top) / cell_mm).astype(np.int32)
    inside = (column >= 0) & (row >= 0) & (column < columns) & (row < rows)
    limit = np.where(inside, front.reshape(-1)[np.where(inside, row * columns + column, 0)] - gap_mm, np.inf)
    pull = (vz > limit) & (vz < float(np.median(z)))
    if not keep:
        lost = np.asarray(pull.reshape(-1, 2 * SEGMENTS).any(axis=1), bool)
        return locks._replace(triangles=locks.triangles[~lost[locks.triangles[:, 0] // (2 * SEGMENTS)]])
    vertices = locks.vertices.copy()
    vertices[pull, 2] = limit[pull]
    return locks._replace(vertices=vertices)


def ellipsoid_around(points: NDArray[np.float32]) -> tuple[FloatArray, FloatArray]:
    """Centre (3,) and half axes (3,) mm of a box-aligned ellipsoid around scalp points (P, 3)."""
    low, high = np.percentile(np.ascontiguousarray(points.T), [1, 99], axis=1)
    center = (low + high) / 2
    axes = (high - low) / 2
    center[1] += 0.25 * axes[1]
    axes[1] *= 1.25
    return center.astype(np.float32), axes.astype(np.float32)
