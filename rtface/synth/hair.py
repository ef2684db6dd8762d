"""Hair as locks: flat ribbons that grow from the scalp, fall, and slide over an ellipsoid around the head."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.synth.shapes import FloatArray, IntArray

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
    long = rng.random() < 0.4
    length = float(rng.uniform(110, 320) if long else np.exp(rng.uniform(np.log(12), np.log(80))))
    return HairStyle(length_mm=length, fringe=float(rng.choice([0.0, rng.uniform(0.2, 1.0)], p=[0.55, 0.45])),
                     parting=float(rng.choice([0.0, rng.normal(0, 25), rng.choice([-45, 45])])),
                     curl_mm=float(rng.choice([0.0, rng.uniform(1, 7)], p=[0.6, 0.4])),
                     lift_mm=float(rng.uniform(2, 16)), locks=int(rng.integers(800, 1300)),
                     width_mm=float(rng.uniform(4.0, 9.0)), color=hair_color(rng))


def grow(rng: np.random.Generator, style: HairStyle, scalp: FloatArray, normals: FloatArray,
         center: FloatArray, axes: FloatArray) -> Locks:
    """Grow locks from scalp points.

    scalp, normals (P, 3) mm: candidate roots; center (3,), axes (3,) mm: ellipsoid that locks do not enter.
    """
    roots = rng.integers(len(scalp), size=style.locks)
    point = scalp[roots] + rng.normal(0, 3.0, (style.locks, 3))
    normal = normals[roots]
    front = np.clip((center[2] - point[:, 2]) / axes[2], 0, 1) * (normal[:, 1] < -0.2)  # hair above the forehead
    away = np.sign(point[:, 0] - style.parting + rng.normal(0, 4, style.locks))
    back = np.stack([0.5 * away, np.full(style.locks, 0.1), np.full(style.locks, 0.9)], 1)
    over = np.stack([0.35 * away + rng.normal(0, 0.25, style.locks), np.full(style.locks, 0.55),
                     np.full(style.locks, -0.8)], 1)
    share = (front * style.fringe)[:, None]
    comb = back * (1 - share) + over * share
    length = style.length_mm * np.exp(rng.normal(0, 0.25, style.locks))
    length = np.where(front * style.fringe > 0.3, np.minimum(length, rng.uniform(35, 95)), length)
    step = (length / (SEGMENTS - 1))[:, None]
    phase = rng.uniform(0, 2 * np.pi, (style.locks, 1))
    path = np.empty((style.locks, SEGMENTS, 3), np.float32)
    path[:, 0] = point
    direction = normal * 0.8 + comb * 0.8
    shell = axes * (1 + (style.lift_mm * rng.uniform(0.4, 1.3, (style.locks, 1))) / axes.mean())
    for i in range(1, SEGMENTS):
        along = i / (SEGMENTS - 1)
        gravity = np.array([0.0, 1.0, 0.0]) * (0.25 + 0.6 * along)
        swirl = style.curl_mm * 0.15 * np.concatenate([np.cos(phase + 3.5 * i), np.zeros_like(phase),
                                                        np.sin(phase + 3.5 * i)], 1)
        direction = 0.6 * direction + 0.3 * comb * (1 - along) + gravity + swirl
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        point = point + direction * step
        relative = (point - center) / shell
        radius = np.linalg.norm(relative, axis=1, keepdims=True)
        point = np.where(radius < 1, center + (point - center) / np.maximum(radius, 1e-3), point)
        path[:, i] = point
    outward = (path - center) / axes**2
    outward /= np.linalg.norm(outward, axis=2, keepdims=True)
    tangent = np.gradient(path, axis=1)
    across = np.cross(outward, tangent)
    across /= np.maximum(np.linalg.norm(across, axis=2, keepdims=True), 1e-6)
    taper = np.linspace(1.0, 0.45, SEGMENTS) * style.width_mm / 2
    sides = np.stack([path - across * taper[:, None], path + across * taper[:, None]], axis=2)
    tone = np.exp(rng.normal(0, 0.35, (style.locks, 1, 1, 1))) * np.linspace(0.75, 1.15, SEGMENTS)[:, None, None]
    strand = 1 + np.array([-0.18, 0.18])[:, None] * rng.choice([-1, 1], (style.locks, 1, 1, 1))
    albedo = np.clip(style.color * tone * strand, 0, 1)
    local = np.array([[0, 1, 3], [0, 3, 2]])
    rows = np.arange(SEGMENTS - 1)[:, None, None] * 2 + local
    triangles = np.arange(style.locks)[:, None, None, None] * (2 * SEGMENTS) + rows
    return Locks(sides.reshape(-1, 3).astype(np.float32), triangles.reshape(-1, 3).astype(np.int32),
                 np.broadcast_to(albedo, (*sides.shape[:3], 3)).reshape(-1, 3).astype(np.float32),
                 np.repeat(outward[:, :, None], 2, axis=2).reshape(-1, 3).astype(np.float32))


def clear_of(locks: Locks, surface: FloatArray, *, keep: bool, cell_mm: float = 3.0, gap_mm: float = 2.0) -> Locks:
    """Locks that stay out of the head's front: what would lie inside is pulled out before it, or left out.

    surface (P, 3) mm: dense points of face and neck; head space looks along −z. keep: pull such locks out (a fringe);
    False drops them (hair that is combed back).
    """
    low = surface[:, :2].min(axis=0) - cell_mm
    shape = np.ceil((surface[:, :2].max(axis=0) + cell_mm - low) / cell_mm).astype(int)[::-1] + 1
    front = np.full(shape, np.inf, np.float32)
    column, row = np.floor((surface[:, :2] - low) / cell_mm).astype(int).T
    np.minimum.at(front, (row, column), surface[:, 2])
    front = cv2.erode(front, np.ones((3, 3), np.uint8))  # the nearest of the neighbours: no gaps between points
    vertices = locks.vertices.copy()
    column, row = np.floor((vertices[:, :2] - low) / cell_mm).astype(int).T
    inside = (column >= 0) & (row >= 0) & (column < shape[1]) & (row < shape[0])
    limit = np.full(len(vertices), np.inf, np.float32)
    limit[inside] = front[row[inside], column[inside]] - gap_mm
    middle = float(np.median(surface[:, 2]))
    pull = (vertices[:, 2] > limit) & (vertices[:, 2] < middle)
    if not keep:
        lost = np.asarray(pull.reshape(-1, 2 * SEGMENTS).any(axis=1), bool)
        return locks._replace(triangles=locks.triangles[~lost[locks.triangles[:, 0] // (2 * SEGMENTS)]])
    vertices[pull, 2] = limit[pull]
    return locks._replace(vertices=vertices)


def ellipsoid_around(points: NDArray[np.float32]) -> tuple[FloatArray, FloatArray]:
    """Centre (3,) and half axes (3,) mm of a box-aligned ellipsoid around scalp points (P, 3)."""
    low, high = np.percentile(points, [1, 99], axis=0)
    center = (low + high) / 2
    axes = (high - low) / 2
    center[1] += 0.25 * axes[1]
    axes[1] *= 1.25
    return center.astype(np.float32), axes.astype(np.float32)
