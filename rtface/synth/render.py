"""Software rendering of posed pieces: one depth buffer, per-vertex light, texture per pixel."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface import ops
from rtface.geometry import rotation_matrices, spherical_harmonics
from rtface.synth.shapes import FloatArray, IntArray


class Surface(NamedTuple):
    """A mesh with its looks, in head space."""

    vertices: FloatArray
    """(V, 3) mm."""
    triangles: IntArray
    albedo: FloatArray
    """(V, 3) linear RGB; multiplied with the texture where there is one."""
    kind: NDArray[np.uint8]
    """(V,) label of the vertex; a triangle has the label of its first vertex."""
    gloss: FloatArray
    """(V,) strength of the specular highlight."""
    uv: FloatArray | None = None
    """(V, 2) texture coordinates; None = no texture."""
    normals: FloatArray | None = None
    """(V, 3) unit; None = computed from the triangles."""


class Light(NamedTuple):
    """Illumination in camera axes."""

    harmonics: FloatArray
    """(9,) gray spherical harmonics γ."""
    tint: FloatArray
    """(3,) colour of the light."""
    direction: FloatArray
    """(3,) unit, towards the main light: where highlights lie."""


class Drawing(NamedTuple):
    """What was rendered, at the rendering resolution."""

    color: FloatArray
    """(H, W, 3) linear RGB, black where nothing is."""
    kind: NDArray[np.uint8]
    """(H, W) label; 255 where nothing is."""
    triangle_id: IntArray
    """(H, W) index into the joined triangles, −1 where nothing is."""
    depth: FloatArray
    """(H, W) px, +inf where nothing is."""


NOTHING = 255


def draw(surfaces: list[Surface], pose: FloatArray, light: Light, texture: FloatArray | None, height: int,
         width: int) -> Drawing:
    """Render surfaces under a pose (6,) pitch, yaw, roll rad, f px/mm, t_x, t_y px into an H × W picture.

    texture: (T, T, 3) float32 linear RGB for surfaces with ``uv``.
    """
    counts = [len(s.vertices) for s in surfaces]
    offsets = np.cumsum([0, *counts[:-1]])
    vertices = np.concatenate([s.vertices for s in surfaces])
    triangles = np.ascontiguousarray(np.concatenate([s.triangles + o for s, o in zip(surfaces, offsets, strict=True)]),
                                     np.int32)
    normals = np.concatenate([_normals(s) if s.normals is None else s.normals for s in surfaces])
    kinds = np.concatenate([s.kind for s in surfaces])
    rotation = rotation_matrices(pose[None, :3].astype(np.float32))[0]
    placed = (vertices @ rotation.T) * pose[3]
    placed[:, :2] += pose[4:6]
    normals = normals @ rotation.T
    normals = normals * np.where(normals[:, 2:] > 0.15, -1.0, 1.0).astype(np.float32)  # thin sheets show both sides
    shading = np.maximum(spherical_harmonics(normals) @ light.harmonics, 0.02)[:, None] * light.tint
    half = light.direction + np.array([0.0, 0.0, -1.0], np.float32)
    half /= np.linalg.norm(half)
    shine = np.maximum(normals @ half, 0.0) ** 24 * np.concatenate([s.gloss for s in surfaces])
    textured = np.concatenate([np.full(c, s.uv is not None, np.float32) for c, s in zip(counts, surfaces, strict=True)])
    uv = np.concatenate([s.uv if s.uv is not None else np.zeros((c, 2), np.float32)
                         for c, s in zip(counts, surfaces, strict=True)])
    albedo = np.concatenate([s.albedo for s in surfaces])
    attributes = np.concatenate([albedo * shading, shine[:, None], uv, textured[:, None]], axis=1).astype(np.float32)
    raster = ops.rasterize(np.ascontiguousarray(placed, np.float32), triangles, height, width)
    values = ops.interpolate(attributes, triangles, raster.triangle_id, raster.barycentrics)
    color = values[..., :3]
    if texture is not None:
        on = (values[..., 6] > 0.5).astype(np.uint8)
        looked_up = ops.sample_texture(texture, np.ascontiguousarray(values[..., 4:6]), mask=on)
        color = np.where(on[..., None] > 0, color * looked_up, color)
    shine_color = (0.35 * max(float(light.harmonics[0]), 0.1) * light.tint).astype(np.float32)
    color = color + values[..., 3:4] * shine_color
    kind = np.full((height, width), NOTHING, np.uint8)
    hit = raster.triangle_id >= 0
    kind[hit] = kinds[triangles[raster.triangle_id[hit], 0]]
    return Drawing(np.ascontiguousarray(color, np.float32), kind, raster.triangle_id, raster.depth)


def _normals(surface: Surface) -> FloatArray:
    return ops.vertex_normals(surface.vertices[None], np.ascontiguousarray(surface.triangles))[0]


def encode_srgb(linear: FloatArray) -> FloatArray:
    """Linear RGB ≥ 0 → display values (power 1/2.2, as cameras roughly do), clipped to 1."""
    return np.minimum(cv2.pow(np.maximum(linear, 0.0), 1 / 2.2), 1.0)


def sample_light(rng: np.random.Generator) -> Light:
    """One main light, ambient light and a bounce, as nine gray harmonics and a tint."""
    azimuth, height = rng.normal(0, 0.9), rng.normal(0.35, 0.45)
    direction = np.array([np.sin(azimuth) * np.cos(height), -np.sin(height), -np.cos(azimuth) * np.cos(height)])
    ambient, strength = rng.uniform(0.35, 0.95), float(rng.uniform(0.1, 0.95))
    harmonics = np.zeros(9)
    harmonics[0] = ambient
    for towards, power in ((direction, strength), (rng.normal(size=3), float(rng.uniform(0, 0.3)))):
        towards = towards / np.linalg.norm(towards)
        x, y, z = towards
        # clamped-cosine lobe (Ramamoorthi & Hanrahan 2001): bands 0, 1, 2 weighted 1/4, 1/2, 5/32·…
        harmonics += power * np.array([0.25, 0.5 * y, 0.5 * z, 0.5 * x, 0.9375 * x * y, 0.9375 * y * z,
                                       0.078125 * (3 * z * z - 1), 0.9375 * x * z, 0.234375 * (x * x - y * y)])
    exposure = float(np.exp(rng.normal(0.05, 0.28))) / max(float(spherical_harmonics(
        np.array([0.0, 0.0, -1.0])) @ harmonics), 0.15)
    harmonics *= exposure
    warmth = rng.normal(0, 0.08)
    tint = np.array([1 + warmth, 1.0, 1 - warmth]) * np.exp(rng.normal(0, 0.03, 3))
    return Light(harmonics.astype(np.float32), tint.astype(np.float32), direction.astype(np.float32))
