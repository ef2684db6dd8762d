"""Software rendering of posed pieces: a depth buffer, light and cast shadows per vertex, texture per pixel."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface import ops
from rtface.geometry import rotation_matrices, spherical_harmonics
from rtface.ops import shading
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
    closed: bool = False
    """Nobody ever sees its back: triangles that look away are not drawn."""
    casts: bool = True
    """Throws shadows."""
    receives: bool = True
    """Shadows fall on it."""


class Lamp(NamedTuple):
    """A light that casts shadows, in camera axes."""

    direction: FloatArray
    """(3,) unit, towards it."""
    direct: float
    """Its strength within the harmonics; shadows take this part away."""


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
    others: tuple[Lamp, ...] = ()
    """Windows, screens and rim lights besides the main one; also within the harmonics."""

    @property
    def lamps(self) -> tuple[Lamp, ...]:
        """Every light that casts shadows, the main one first."""
        return (Lamp(self.direction, self.direct), *self.others)


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
    own_normals: FloatArray
    """(V, 3) unit, head space; see :meth:`normals`."""
    rotation: FloatArray
    """(3, 3) camera from head."""
    triangles: IntArray
    """(F, 3); those of closed surfaces come first."""
    closed: int
    """How many these are."""
    albedo: FloatArray
    kind: NDArray[np.uint8]
    gloss: FloatArray
    uv: FloatArray
    textured: NDArray[np.bool_]
    """(V,) where ``uv`` counts."""
    scatter: FloatArray
    """(V,) 1 where light spreads below the surface, else 0."""
    px_per_mm: float
    casters: IntArray
    """Triangles that cast shadows; those of closed surfaces come first."""
    closed_casters: int
    """How many these are."""
    receiving: NDArray[np.bool_]
    """(V,) where shadows fall."""

    def normals(self, rows: NDArray[np.intp] | slice = slice(None)) -> FloatArray:
        """(rows, 3) unit, camera axes, towards the camera where a sheet shows its back."""
        turned = self.own_normals[rows] @ self.rotation.T
        away = turned[:, 2] > 0.15
        turned[away] = -turned[away]
        return turned

    def rasterize(self, height: int, width: int) -> ops.Raster:
        """What is nearest at every pixel."""
        return ops.rasterize(self.vertices, self.triangles, height, width, cull="back", cull_first=self.closed)


def perspective(points: FloatArray, scale: float, distance_mm: float) -> FloatArray:
    """Foreshorten (V, 3) px around the head's origin, in place: ``scale`` px/mm there, seen from ``distance_mm``.

    Far parts shrink by distance / (distance + z); depth stays as it is. Infinity is the scaled orthographic camera.
    """
    if np.isfinite(distance_mm):
        nearer = points[:, 2] * np.float32(1 / (scale * distance_mm))
        np.maximum(nearer, -0.8, out=nearer)
        nearer += 1
        np.reciprocal(nearer, out=nearer)
        points[:, 0] *= nearer
        points[:, 1] *= nearer
    return points


def place(surfaces: list[Surface], pose: FloatArray, *, distance_mm: float = np.inf) -> Placed:
    """Join surfaces under a pose (6,) pitch, yaw, roll rad, f px/mm, t_x, t_y px, seen from ``distance_mm``."""
    surfaces = sorted(surfaces, key=lambda s: not s.closed)
    counts = [len(s.vertices) for s in surfaces]
    parts = [s.triangles + np.int32(o) for s, o in zip(surfaces, np.cumsum([0, *counts[:-1]]), strict=True)]
    casting = [t for s, t in zip(surfaces, parts, strict=True) if s.casts] or [np.zeros((0, 3), np.int32)]
    rotation = rotation_matrices(pose[None, :3].astype(np.float32))[0]
    vertices = np.concatenate([s.vertices for s in surfaces], dtype=np.float32) @ (rotation.T * np.float32(pose[3]))
    vertices = perspective(vertices, float(pose[3]), distance_mm)
    vertices[:, 0] += np.float32(pose[4])
    vertices[:, 1] += np.float32(pose[5])

    def each(values: list[Any], dtype: Any) -> NDArray[Any]:
        return np.repeat(np.array(values, dtype), counts)

    return Placed(vertices, np.concatenate([_normals(s) if s.normals is None else s.normals for s in surfaces],
                                           dtype=np.float32), rotation,
                  np.ascontiguousarray(np.concatenate(parts)), sum(len(s.triangles) for s in surfaces if s.closed),
                  np.concatenate([s.albedo for s in surfaces], dtype=np.float32),
                  np.concatenate([s.kind for s in surfaces]), np.concatenate([s.gloss for s in surfaces]),
                  np.ascontiguousarray(np.concatenate([s.uv if s.uv is not None else np.zeros((c, 2), np.float32)
                                                       for c, s in zip(counts, surfaces, strict=True)]), np.float32),
                  each([s.uv is not None for s in surfaces], np.bool_), each([s.scatter for s in surfaces], np.float32),
                  float(pose[3]), np.ascontiguousarray(np.concatenate(casting)),
                  sum(len(s.triangles) for s in surfaces if s.closed and s.casts),
                  each([s.receives for s in surfaces], np.bool_))


def visible(mesh: Placed, raster: ops.Raster) -> NDArray[np.intp]:
    """(S,) the vertices that some pixel shows; only these need light."""
    return np.flatnonzero(shading.seen_vertices(mesh.triangles, raster.triangle_id, len(mesh.vertices)))


def shadows(mesh: Placed, casters: list[Placed], light: Light, seen: NDArray[np.intp],
            normals: FloatArray) -> list[FloatArray | None]:
    """(S,) share of each lamp that reaches the vertices ``seen``; None where there is none to speak of.

    normals (S, 3) of these vertices.
    """
    receiving = mesh.receiving[seen]
    lamps = [lamp if lamp.direct >= 0.05 and receiving.any() else None for lamp in light.lamps]
    if not any(lamps):
        return [None] * len(lamps)
    vertices, triangles, closed = casters[0].vertices, casters[0].casters, casters[0].closed_casters
    if len(casters) > 1:
        starts = np.cumsum([0] + [len(c.vertices) for c in casters[:-1]]).astype(np.int32)
        pairs = list(zip(casters, starts, strict=True))
        triangles = np.concatenate([c.casters[:c.closed_casters] + start for c, start in pairs]
                                   + [c.casters[c.closed_casters:] + start for c, start in pairs])
        vertices, closed = np.concatenate([c.vertices for c in casters]), sum(c.closed_casters for c in casters)
    out: list[FloatArray | None] = []
    for lamp in lamps:
        lit = None
        if lamp is not None:
            lit = np.ones(len(seen), np.float32)
            lit[receiving] = lit_share(mesh.vertices[seen[receiving]], normals[receiving], vertices, triangles,
                                       lamp.direction, px_per_mm=mesh.px_per_mm, softness_mm=light.softness_mm,
                                       closed=closed)
        out.append(lit)
    return out


def kinds_of(mesh: Placed, raster: ops.Raster) -> Drawing:
    """What was rasterised, without its colours."""
    of_triangle = np.append(mesh.kind[mesh.triangles[:, 0]], np.uint8(NOTHING))
    kind = of_triangle[raster.triangle_id]  # no triangle is number −1: the last entry
    return Drawing(np.zeros((*kind.shape, 3), np.float32), kind, raster.triangle_id, raster.depth)


def paint(mesh: Placed, raster: ops.Raster, light: Light, texture: FloatArray | None, *,
          casters: list[Placed]) -> Drawing:
    """Colour what was rasterised, with the shadows that ``casters`` throw.

    texture: (T, T, 3) float32 linear RGB for surfaces with ``uv``.
    """
    seen = visible(mesh, raster)
    normals, gloss, scatter = mesh.normals(seen), mesh.gloss[seen], mesh.scatter[seen]
    irradiance = irradiated(normals, scatter, light.harmonics)
    shine = np.zeros(len(seen), np.float32)
    for lamp, lit in zip(light.lamps, shadows(mesh, casters, light, seen, normals), strict=True):
        bright = highlight(normals, lamp.direction) * np.float32(
            1.0 if lamp.direct >= light.direct else lamp.direct / light.direct)
        if lit is not None:
            facing = normals @ lamp.direction
            lobe = np.maximum(0.25 + 0.5 * facing + 0.15625 * (3 * facing * facing - 1), 0)  # as in the harmonics
            shadow = (1 - lit) * lobe * np.float32(lamp.direct)
            for c in range(3):
                irradiance[:, c] -= shadow * (1 - SHADOW_BLEED[c] * scatter * lit)
            bright *= lit
        shine += bright
    shaded = np.empty((len(mesh.vertices), 4), np.float32)  # of no consequence where nothing is seen
    albedo = mesh.albedo[seen]
    for c in range(3):
        shaded[seen, c] = albedo[:, c] * (np.maximum(irradiance[:, c], 0.02) * light.tint[c])
    shaded[seen, 3] = shine * gloss
    shine_color = (0.35 * max(float(light.harmonics[0]), 0.1) * light.tint).astype(np.float32)
    color, kind = shading.colorize(shaded, mesh.triangles, mesh.kind, mesh.uv, mesh.textured, texture,
                                   raster.triangle_id, raster.barycentrics, shine_color)
    return Drawing(color, kind, raster.triangle_id, raster.depth)


def highlight(normals: FloatArray, direction: FloatArray) -> FloatArray:
    """(V,) Blinn–Phong highlight of a lamp, 24th power; normals (V, 3) and direction (3,) unit, camera axes."""
    half = direction + np.array([0.0, 0.0, -1.0], np.float32)
    half /= max(float(np.linalg.norm(half)), 1e-3)
    cosine = np.maximum(normals @ half, 0.0)
    cosine *= cosine * cosine
    cosine *= cosine
    cosine *= cosine
    shine: FloatArray = cosine * cosine
    return shine


def irradiated(normals: FloatArray, scatter: FloatArray, harmonics: FloatArray) -> FloatArray:
    """(V, 3) light that arrives at normals (V, 3) per colour, spread below the surface by ``scatter`` (V,).

    harmonics: (9,) γ of :func:`rtface.geometry.spherical_harmonics`; its bands as a constant, a vector and a quadratic
    form (Ramamoorthi & Hanrahan 2001, eq. 12) cost a third of nine functions per normal.
    """
    flat, y, z, x, xy, yz, zz, xz, xxyy = (float(v) for v in harmonics)
    quadratic = np.array([[xxyy, xy / 2, xz / 2], [xy / 2, -xxyy, yz / 2], [xz / 2, yz / 2, 3 * zz]], np.float32)
    first = normals @ np.array([x, y, z], np.float32)
    second = np.einsum("vi,vi->v", normals @ quadratic, normals) - np.float32(zz)
    out = np.empty((3, len(normals)), np.float32)
    for channel in range(3):
        out[channel] = flat + first * (1 + scatter * (spread(channel, 1) - 1)) + second * (
            1 + scatter * (spread(channel, 2) - 1))
    return out.T


def draw(surfaces: list[Surface], pose: FloatArray, light: Light, texture: FloatArray | None, height: int,
         width: int) -> Drawing:
    """Surfaces under a pose (6,) in an H × W picture, with the shadows that they cast on themselves."""
    mesh = place(surfaces, pose)
    return paint(mesh, mesh.rasterize(height, width), light, texture, casters=[mesh])


def over(front: Drawing, back: Drawing) -> Drawing:
    """Two drawings of one picture, merged by depth."""
    nearer = front.depth < back.depth
    mask = nearer.view(np.uint8)
    color = np.asarray(cv2.copyTo(front.color, mask, back.color.copy()), np.float32)
    kind = np.asarray(cv2.copyTo(front.kind, mask, back.kind.copy()), np.uint8)
    return Drawing(color, kind, np.where(nearer, np.int32(-1), back.triangle_id), np.minimum(front.depth, back.depth))


def _normals(surface: Surface) -> FloatArray:
    return ops.vertex_normals(surface.vertices[None], np.ascontiguousarray(surface.triangles))[0]


def encode_srgb(linear: FloatArray) -> FloatArray:
    """Linear RGB ≥ 0 → display values (power 1/2.2, as cameras roughly do), clipped to 1."""
    return np.minimum(cv2.pow(np.maximum(linear, 0.0), 1 / 2.2), 1.0)


def sample_light(rng: np.random.Generator) -> Light:
    """One to three lamps, ambient light and a bounce, as nine gray harmonics and a tint."""
    azimuth, height = rng.normal(0, 0.9), rng.normal(0.35, 0.45)
    direction = np.array([np.sin(azimuth) * np.cos(height), -np.sin(height), -np.cos(azimuth) * np.cos(height)])
    ambient, strength = rng.uniform(0.25, 0.95), float(rng.uniform(0.1, 1.0) * rng.choice([1.0, 2.2], p=[0.65, 0.35]))
    harmonics = np.zeros(9)
    harmonics[0] = ambient
    others = []
    for _ in range(int(rng.choice([0, 1, 2], p=[0.6, 0.32, 0.08]))):  # a window aside, a screen, a rim light behind
        around, above = rng.uniform(-2.4, 2.4), rng.normal(0.1, 0.4)
        towards = np.array([np.sin(around) * np.cos(above), -np.sin(above), -np.cos(around) * np.cos(above)])
        others.append((towards, strength * float(rng.uniform(0.25, 1.0))))
    bounce = (rng.normal(size=3), float(rng.uniform(0, 0.3)))
    for towards, power in ((direction, strength), *others, bounce):
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
                 strength * exposure, float(np.exp(rng.uniform(np.log(1.0), np.log(14.0)))),
                 tuple(Lamp(towards.astype(np.float32), power * exposure) for towards, power in others))
