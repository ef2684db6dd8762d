"""Software rendering of posed pieces: a depth buffer, light and cast shadows per vertex, texture per pixel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface import ops
from rtface.geometry import rotation_matrices, spherical_harmonics
from rtface.synth.shadow import lit_share
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
    scatter: float = 0.0
    """1: light spreads below the surface as in skin; 0: it does not; nothing in between."""


class Light(NamedTuple):
    """Illumination in camera axes."""

    harmonics: FloatArray
    """(9,) gray spherical harmonics γ, the main light included."""
    tint: FloatArray
    """(3,) colour of the light."""
    direction: FloatArray
    """(3,) unit, towards the main light: where highlights lie and what shadows fall away from."""
    direct: float = 0.0
    """Strength of the main light within the harmonics; shadows take this part away."""
    softness_mm: float = 4.0
    """How far the edges of cast shadows blur."""


class Drawing(NamedTuple):
    """What was rendered, at the rendering resolution."""

    color: FloatArray
    """(H, W, 3) linear RGB, black where nothing is."""
    kind: NDArray[np.uint8]
    """(H, W) label; 255 where nothing is."""
    triangle_id: IntArray
    """(H, W) index into the joined triangles of the head, −1 where something else or nothing is."""
    depth: FloatArray
    """(H, W) px, +inf where nothing is."""


NOTHING = 255
BLEED_MM = np.array([3.7, 1.4, 0.7], np.float32)
"""How far red, green and blue light wander in skin (radii of the order that d'Eon & Luebke 2007 give)."""
CURVATURE_MM = 22.0
"""Radius of the features of a face that the harmonics are blurred against."""
SHADOW_BLEED = np.array([0.5, 0.12, 0.0], np.float32)
"""Shadow edges on skin are redder: penumbrae grow where light wanders."""


def spread(channel: int, band: int) -> np.float32:
    """Factor of a band for a colour on skin: diffusion on a sphere damps band l by exp(−l (l + 1) σ² / 2)."""
    angle = float(BLEED_MM[channel]) / CURVATURE_MM
    return np.float32(np.exp(-0.5 * band * (band + 1) * angle * angle))


class Placed(NamedTuple):
    """Surfaces joined to one mesh and put into the picture."""

    vertices: FloatArray
    """(V, 3) px, depth px."""
    normals: FloatArray
    """(V, 3) unit, camera axes, towards the camera where a sheet shows its back."""
    triangles: IntArray
    """(F, 3)."""
    albedo: FloatArray
    kind: NDArray[np.uint8]
    gloss: FloatArray
    uv: FloatArray
    textured: FloatArray
    """(V,) 1 where ``uv`` counts."""
    scatter: FloatArray
    """(V,) 1 where light spreads below the surface, else 0."""
    px_per_mm: float
    casters: IntArray
    """Triangles that cast shadows."""
    receivers: NDArray[np.intp]
    """Vertices that shadows fall on."""


def perspective(points: FloatArray, scale: float, distance_mm: float) -> FloatArray:
    """Foreshorten (V, 3) px around the head's origin, in place: ``scale`` px/mm there, seen from ``distance_mm``.

    Far parts shrink by distance / (distance + z); depth stays as it is. Infinity is the scaled orthographic camera.
    """
    if np.isfinite(distance_mm):
        depth = np.maximum(points[:, 2:] / np.float32(scale) / np.float32(distance_mm), -0.8)
        points[:, :2] /= 1 + depth
    return points


def place(surfaces: list[Surface], pose: FloatArray, *, distance_mm: float = np.inf,
          casting: tuple[int, ...] | None = None, receiving: tuple[int, ...] | None = None) -> Placed:
    """Join surfaces under a pose (6,) pitch, yaw, roll rad, f px/mm, t_x, t_y px, seen from ``distance_mm``.

    casting, receiving: kinds that take part in shadows; None: all.
    """
    counts = [len(s.vertices) for s in surfaces]
    offsets = np.cumsum([0, *counts[:-1]])
    triangles = np.ascontiguousarray(np.concatenate([s.triangles + o for s, o in zip(surfaces, offsets, strict=True)]),
                                     np.int32)
    rotation = rotation_matrices(pose[None, :3].astype(np.float32))[0]
    vertices = (np.concatenate([s.vertices for s in surfaces]) @ rotation.T) * pose[3]
    vertices = perspective(vertices, float(pose[3]), distance_mm)
    vertices[:, :2] += pose[4:6]
    normals = np.concatenate([_normals(s) if s.normals is None else s.normals for s in surfaces]) @ rotation.T
    normals = normals * np.where(normals[:, 2:] > 0.15, -1.0, 1.0).astype(np.float32)
    kinds = np.concatenate([s.kind for s in surfaces])
    every = range(256)
    cast = np.ascontiguousarray(triangles[_among(casting or every)[kinds[triangles[:, 0]]]])
    receive = np.flatnonzero(_among(receiving or every)[kinds])
    return Placed(np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(normals, np.float32), triangles,
                  np.concatenate([s.albedo for s in surfaces]), kinds, np.concatenate([s.gloss for s in surfaces]),
                  np.concatenate([s.uv if s.uv is not None else np.zeros((c, 2), np.float32)
                                  for c, s in zip(counts, surfaces, strict=True)]),
                  np.concatenate([np.full(c, s.uv is not None, np.float32)
                                  for c, s in zip(counts, surfaces, strict=True)]),
                  np.concatenate([np.full(c, s.scatter, np.float32) for c, s in zip(counts, surfaces, strict=True)]),
                  float(pose[3]), cast, receive)


def _among(kinds: Iterable[int]) -> NDArray[np.bool_]:
    """(256,) True for these kinds: a table is many times faster than np.isin."""
    table = np.zeros(256, np.bool_)
    table[list(kinds)] = True
    return table


def shadows(mesh: Placed, casters: list[Placed], light: Light) -> FloatArray | None:
    """(V,) share of the main light that reaches each vertex; None where there is no main light to speak of."""
    if light.direct < 0.05 or not len(mesh.receivers):
        return None
    offsets = np.cumsum([0] + [len(c.vertices) for c in casters[:-1]])
    triangles = np.concatenate([c.casters + o for c, o in zip(casters, offsets, strict=True)]).astype(np.int32)
    lit = np.ones(len(mesh.vertices), np.float32)
    lit[mesh.receivers] = lit_share(mesh.vertices[mesh.receivers], mesh.normals[mesh.receivers],
                                    np.concatenate([c.vertices for c in casters]), triangles, light.direction,
                                    px_per_mm=mesh.px_per_mm, softness_mm=light.softness_mm)
    return lit


def kinds_of(mesh: Placed, raster: ops.Raster) -> Drawing:
    """What was rasterised, without its colours."""
    of_triangle = np.append(mesh.kind[mesh.triangles[:, 0]], np.uint8(NOTHING))
    kind = of_triangle[raster.triangle_id]  # no triangle is number −1: the last entry
    return Drawing(np.zeros((*kind.shape, 3), np.float32), kind, raster.triangle_id, raster.depth)


def paint(mesh: Placed, raster: ops.Raster, light: Light, texture: FloatArray | None, *,
          lit: FloatArray | None = None) -> Drawing:
    """Colour what was rasterised.

    texture: (T, T, 3) float32 linear RGB for surfaces with ``uv``. lit: from :func:`shadows`.
    """
    irradiance = irradiated(mesh.normals, mesh.scatter, light.harmonics)
    half = light.direction + np.array([0.0, 0.0, -1.0], np.float32)
    half /= np.linalg.norm(half)
    shine = np.maximum(mesh.normals @ half, 0.0) ** 24 * mesh.gloss
    if lit is not None:
        facing = mesh.normals @ light.direction
        lobe = np.maximum(0.25 + 0.5 * facing + 0.15625 * (3 * facing * facing - 1), 0)  # as in the harmonics
        dark = (1 - lit)[:, None] * (1 - (mesh.scatter * lit)[:, None] * SHADOW_BLEED)
        irradiance = irradiance - dark * (light.direct * lobe)[:, None]
        shine *= lit
    shading = np.maximum(irradiance, 0.02) * light.tint
    attributes = np.concatenate([mesh.albedo * shading, shine[:, None], mesh.uv, mesh.textured[:, None]],
                                axis=1).astype(np.float32)
    values = ops.interpolate(attributes, mesh.triangles, raster.triangle_id, raster.barycentrics)
    color = np.ascontiguousarray(values[..., :3])
    if texture is not None:
        on = values[..., 6] > 0.5
        looked_up = ops.sample_texture(texture, np.ascontiguousarray(values[..., 4:6]), mask=on)
        np.multiply(color, looked_up, out=color, where=on[..., None])
    shine_color = (0.35 * max(float(light.harmonics[0]), 0.1) * light.tint).astype(np.float32)
    color += values[..., 3:4] * shine_color
    return kinds_of(mesh, raster)._replace(color=color)


def irradiated(normals: FloatArray, scatter: FloatArray, harmonics: FloatArray) -> FloatArray:
    """(V, 3) light that arrives at normals (V, 3) per colour, spread below the surface by ``scatter`` (V,).

    harmonics: (9,) γ of :func:`rtface.geometry.spherical_harmonics`; its bands as a constant, a vector and a quadratic
    form (Ramamoorthi & Hanrahan 2001, eq. 12) cost a third of nine functions per normal.
    """
    flat, y, z, x, xy, yz, zz, xz, xxyy = (float(v) for v in harmonics)
    quadratic = np.array([[xxyy, xy / 2, xz / 2], [xy / 2, -xxyy, yz / 2], [xz / 2, yz / 2, 3 * zz]], np.float32)
    first = normals @ np.array([x, y, z], np.float32)
    second = np.einsum("vi,vi->v", normals @ quadratic, normals) - np.float32(zz)
    out = np.empty((len(normals), 3), np.float32)
    solid = scatter == 0
    for channel in range(3):
        damped = np.where(solid, 1, spread(channel, 1)), np.where(solid, 1, spread(channel, 2))
        out[:, channel] = flat + first * damped[0] + second * damped[1]
    return out


def draw(surfaces: list[Surface], pose: FloatArray, light: Light, texture: FloatArray | None, height: int,
         width: int) -> Drawing:
    """Surfaces under a pose (6,) in an H × W picture, with the shadows that they cast on themselves."""
    mesh = place(surfaces, pose)
    return paint(mesh, ops.rasterize(mesh.vertices, mesh.triangles, height, width), light, texture,
                 lit=shadows(mesh, [mesh], light))


def over(front: Drawing, back: Drawing) -> Drawing:
    """Two drawings of one picture, merged by depth."""
    nearer = front.depth < back.depth
    return Drawing(np.where(nearer[..., None], front.color, back.color), np.where(nearer, front.kind, back.kind),
                   np.where(nearer, -1, back.triangle_id).astype(np.int32), np.minimum(front.depth, back.depth))


def _normals(surface: Surface) -> FloatArray:
    return ops.vertex_normals(surface.vertices[None], np.ascontiguousarray(surface.triangles))[0]


def encode_srgb(linear: FloatArray) -> FloatArray:
    """Linear RGB ≥ 0 → display values (power 1/2.2, as cameras roughly do), clipped to 1."""
    return np.minimum(cv2.pow(np.maximum(linear, 0.0), 1 / 2.2), 1.0)


def sample_light(rng: np.random.Generator) -> Light:
    """One main light, ambient light and a bounce, as nine gray harmonics and a tint."""
    azimuth, height = rng.normal(0, 0.9), rng.normal(0.35, 0.45)
    direction = np.array([np.sin(azimuth) * np.cos(height), -np.sin(height), -np.cos(azimuth) * np.cos(height)])
    ambient, strength = rng.uniform(0.25, 0.95), float(rng.uniform(0.1, 1.0) * rng.choice([1.0, 2.2], p=[0.65, 0.35]))
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
    return Light(harmonics.astype(np.float32), tint.astype(np.float32), direction.astype(np.float32),
                 strength * exposure, float(np.exp(rng.uniform(np.log(1.0), np.log(14.0)))))
