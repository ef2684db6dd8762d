"""One headless context for all rendering tests, meshes to draw, and a software picture to compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import moderngl
import numpy as np
import pytest

from rtface import ops
from rtface.geometry import pose_vertices, rotation_matrices, spherical_harmonics
from rtface.morphable import MorphableModel
from rtface.render import MeshRenderer, RenderFace, RenderPart, Style, headless_context, split_mesh
from rtface.render.scene import MATERIALS, highlight_direction, light_harmonics

INTERIOR_KINDS: dict[str, Any] = {"socket": "mouth", "cavity": "mouth", "teeth_upper": "teeth",
                                  "teeth_lower": "teeth", "tongue": "tongue"}


@pytest.fixture(scope="session")
def _session_context() -> Iterator[moderngl.Context]:
    with headless_context() as context:
        yield context


@pytest.fixture
def context(_session_context: moderngl.Context) -> Iterator[moderngl.Context]:
    """The session's context; neither the test before nor this one may leave a GL error."""
    with _session_context:  # a test before may have opened another one
        assert _session_context.error == "GL_NO_ERROR"
        yield _session_context
        assert _session_context.error == "GL_NO_ERROR"


@pytest.fixture
def renderer(context: moderngl.Context) -> Iterator[MeshRenderer]:
    """120 × 160 px, four samples."""
    with MeshRenderer(context, 120, 160) as made:
        yield made


@pytest.fixture(scope="session")
def model() -> MorphableModel:
    return MorphableModel.load()


@pytest.fixture(scope="session")
def head_parts(model: MorphableModel) -> Callable[..., tuple[RenderPart, ...]]:
    """Skin, eyes and the mouth's interior of the mean head; keywords are expression values by name."""
    pieces = split_mesh(model.interior.triangles, model.interior.labels, model.interior.label_names, INTERIOR_KINDS)
    triangles, eye_triangles, interior_triangles = (
        np.ascontiguousarray(t) for t in (model.triangles, model.eyes.triangles, model.interior.triangles))

    def make(**actions: float) -> tuple[RenderPart, ...]:
        identity, expression = np.zeros((1, 80), np.float32), np.zeros((1, 64), np.float32)
        for name, value in actions.items():
            expression[0, model.expression_names.index(name)] = value
        skin, eyes, interior = (np.ascontiguousarray(f(identity, expression))
                                for f in (model.vertices, model.eye_vertices, model.interior_vertices))
        interior_normals = ops.vertex_normals(interior, interior_triangles)[0]
        return (RenderPart(skin[0], ops.vertex_normals(skin, triangles)[0],
                           encode(model.albedo(np.zeros((1, 80), np.float32))[0]), triangles, "skin"),
                RenderPart(eyes[0], ops.vertex_normals(eyes, eye_triangles)[0], encode(model.eyes.colors),
                           eye_triangles, "eye"),
                *(piece.part(interior[0], interior_normals, encode(model.interior.colors)) for piece in pieces))

    return make


def encode(linear: np.ndarray) -> np.ndarray:
    """Linear → sRGB, the exact curve."""
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055).astype(np.float32)


def decode(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def face(parts: Sequence[RenderPart], rotation: Sequence[float] = (0, 0, 0), scale: float = 1.0,
         translation: Sequence[float] = (80, 60), illumination: np.ndarray | None = None) -> RenderFace:
    return RenderFace(tuple(parts), np.array(rotation, np.float32), scale, np.array(translation, np.float32),
                      illumination)


def box(low: Sequence[float], high: Sequence[float], depth: float = 0.0,
        color: Sequence[float] = (1.0, 1.0, 1.0)) -> RenderPart:
    """A rectangle of two triangles in the plane z = depth that looks at the camera, low..high (x, y) mm."""
    (x0, y0), (x1, y1) = low, high
    vertices = np.array([[x0, y0, depth], [x0, y1, depth], [x1, y1, depth], [x1, y0, depth]], np.float32)
    normals = np.tile(np.array([0, 0, -1], np.float32), (4, 1))
    return RenderPart(vertices, normals, np.tile(np.array(color, np.float32), (4, 1)),
                      np.array([[0, 1, 2], [0, 2, 3]], np.int32))


def ball(radius: float = 40.0, rings: int = 24, color: Sequence[float] = (0.8, 0.6, 0.5), **fields: Any) -> RenderPart:
    """A closed sphere around the origin."""
    around = 2 * rings
    tilt, turn = np.meshgrid(np.linspace(0.02, np.pi - 0.02, rings), np.arange(around) * 2 * np.pi / around,
                             indexing="ij")
    normals = np.stack([np.sin(tilt) * np.cos(turn), np.cos(tilt), np.sin(tilt) * np.sin(turn)], -1)
    normals = normals.reshape(-1, 3).astype(np.float32)
    row, column = np.meshgrid(np.arange(rings - 1), np.arange(around), indexing="ij")
    a, b = row * around + column, row * around + (column + 1) % around
    triangles = np.concatenate([np.stack([a, b, b + around], -1), np.stack([a, b + around, a + around], -1)])
    triangles = triangles.reshape(-1, 3).astype(np.int32)
    outside = np.einsum("fi,fi->f", _face_normals(normals, triangles), normals[triangles[:, 0]])
    if outside.mean() < 0:
        triangles = np.ascontiguousarray(triangles[:, ::-1])
    colors = np.tile(np.array(color, np.float32), (len(normals), 1))
    return RenderPart(normals * np.float32(radius), normals, colors, triangles, **fields)


def _face_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def posed(part: RenderPart, owner: RenderFace) -> np.ndarray:
    """(V, 3): x px, y px, depth px, by rtface.geometry."""
    return pose_vertices(part.vertices[None], owner.rotation[None].astype(np.float32),
                         np.array([owner.scale], np.float32), owner.translation[None].astype(np.float32))[0]


def software_picture(owner: RenderFace, height: int, width: int, style: Style, fine: int = 4) -> np.ndarray:
    """(H, W, 3) uint8 of one face in ``lit``, by rtface.ops and NumPy: light per pixel on a ``fine`` times finer
    grid, averaged as the display's values are. Shares with the renderer only its constants."""
    parts = owner.parts
    offsets = np.cumsum([0] + [len(p.vertices) for p in parts])
    positions = np.concatenate([posed(p, owner) for p in parts]) * np.float32(fine)
    triangles = np.concatenate([p.triangles + o for p, o in zip(parts, offsets, strict=False)]).astype(np.int32)
    raster = ops.rasterize(np.ascontiguousarray(positions), triangles, height * fine, width * fine, cull="back")
    turned = np.concatenate([p.normals for p in parts]) @ rotation_matrices(owner.rotation[None])[0].T
    attributes = np.concatenate(
        [turned, np.concatenate([decode(p.colors) * _own_shadow(p)[:, None] for p in parts]),
         np.concatenate([np.tile(np.float32(MATERIALS[p.kind][:2]), (len(p.vertices), 1)) for p in parts])], axis=1)
    values = ops.interpolate(attributes.astype(np.float32), triangles, raster.triangle_id, raster.barycentrics)
    normals = values[..., :3] / np.maximum(np.linalg.norm(values[..., :3], axis=-1, keepdims=True), 1e-6)
    light = light_harmonics(style.light_direction) if owner.illumination is None else owner.illumination
    towards = np.asarray(style.light_direction)
    if owner.illumination is not None:
        towards = highlight_direction(light, style.light_direction)
    half = towards / np.linalg.norm(towards) + (0, 0, -1)
    half = half / np.linalg.norm(half)
    shine = values[..., 6] * light[0] * np.maximum(normals @ half, 0) ** values[..., 7]
    linear = values[..., 3:6] * np.maximum(spherical_harmonics(normals) @ light, 0.02)[..., None] + shine[..., None]
    display = np.where((raster.triangle_id >= 0)[..., None], encode(linear), np.float32(style.background))
    display = display.reshape(height, fine, width, fine, 3).mean(axis=(1, 3))
    return np.rint(255 * display).astype(np.uint8)


def _own_shadow(part: RenderPart) -> np.ndarray:
    shade_top = MATERIALS[part.kind].shade_top
    t = np.clip((part.normals[:, 1] + 1) / 1.15, 0, 1)
    return (shade_top + (1 - shade_top) * t * t * (3 - 2 * t)).astype(np.float32)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """dB between two uint8 pictures."""
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255 ** 2 / error))
