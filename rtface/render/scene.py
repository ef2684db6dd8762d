"""What is drawn and how it looks: parts of faces, their poses, styles. Plain data, no OpenGL.

Colours are sRGB-encoded RGB 0..1 as in :class:`rtface.types.FaceMesh`; shading is done in linear light.
Directions and normals of light are in camera axes: x right, y down, z away from the camera.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.types import Coefficients, FaceMesh

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]
Mode = Literal["lit", "wireframe", "albedo", "normals", "visibility"]
Kind = Literal["skin", "eye", "teeth", "tongue", "mouth", "context"]
Color = tuple[float, float, float]


class Material(NamedTuple):
    """How a kind of part takes light; the shaders' uniforms."""

    gloss: float
    """Strength of the highlight, times the ambient light (the harmonics' first number), added in linear light."""
    shininess: float
    """Exponent of the highlight: higher is smaller."""
    shade_top: float
    """Brightness of normals that look up the head (y = −1), 1 from the middle on: the lid's shadow on an eye, the
    lip's on teeth. How dark it is deep in the mouth is for the vertices' colours to say."""


MATERIALS: Final[dict[Kind, Material]] = {
    "skin": Material(0.0, 1.0, 1.0),
    "eye": Material(2.0, 260.0, 0.35),
    "teeth": Material(0.16, 30.0, 0.85),
    "tongue": Material(0.1, 16.0, 1.0),
    "mouth": Material(0.0, 1.0, 1.0),
    "context": Material(0.0, 1.0, 1.0),
}

SKY: Final = (0.46, -0.14)
"""Ambient light and how much more of it comes from above: E = a + b · n_y (y points down)."""
KEY: Final = 0.70
"""Strength of the directional light."""
BORDER_MM: Final = 16.0
"""Over this distance a face fades out towards its border on scalp and neck."""


def _unit_interval(name: str, values: tuple[float, ...], count: int) -> None:
    if len(values) != count or not all(0.0 <= v <= 1.0 for v in values):
        raise InputError(f"{name}: got {values}, expected {count} numbers 0..1")


@dataclass(frozen=True, slots=True)
class Style:
    """How faces look; ``Style()`` is lit in the faces' own colours."""

    mode: Mode = "lit"
    """``lit``; ``wireframe``: edges with hidden lines removed; ``albedo``: colours without light; ``normals``: camera
    axes as RGB (red right, green up, blue towards the camera); ``visibility``: lit, hidden vertices in
    ``hidden_color``."""
    opacity: float = 1.0
    """Of the whole layer of faces over the picture, 0..1."""
    color: Color | None = None
    """Colour of skin and context, and of the lines of ``wireframe``; None: the vertices' colours, cyan lines."""
    light_direction: Color = (-0.35, -0.55, -0.76)
    """Towards the main light; any length but 0. Unused for diffuse light where a face has its own illumination."""
    background: Color = (0.12, 0.12, 0.13)
    """Where there is neither a face nor a picture."""
    line_width_px: float = 1.2
    fill_opacity: float = 0.0
    """Of the surface between the lines of ``wireframe``, 0..1; it is lit."""
    visible_color: Color = (0.45, 0.74, 0.72)
    hidden_color: Color = (0.95, 0.36, 0.13)

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise InputError(f"Style.mode: got {self.mode!r}, expected one of {', '.join(get_args(Mode))}")
        for name in ("opacity", "fill_opacity"):
            _unit_interval(f"Style.{name}", (getattr(self, name),), 1)
        for name in ("background", "visible_color", "hidden_color"):
            _unit_interval(f"Style.{name}", getattr(self, name), 3)
        if self.color is not None:
            _unit_interval("Style.color", self.color, 3)
        if not 0.0 < self.line_width_px <= 64.0:
            raise InputError(f"Style.line_width_px: got {self.line_width_px}, expected more than 0, at most 64")
        length = float(np.linalg.norm(self.light_direction))
        if len(self.light_direction) != 3 or not 1e-6 < length < 1e6:
            raise InputError(f"Style.light_direction: got {self.light_direction}, expected 3 numbers, not all 0")


@dataclass(frozen=True, slots=True, eq=False)
class RenderPart:
    """One mesh of a face in head space; all parts of a face share its pose and its depth buffer.

    The renderer keeps buffers per ``triangles`` array: hand in the same array for the same topology, and never
    change one in place.
    """

    vertices: FloatArray
    """(V, 3) float32 mm."""
    normals: FloatArray
    """(V, 3) float32 unit, outward."""
    colors: FloatArray
    """(V, 3) float32 sRGB-encoded RGB 0..1."""
    triangles: IntArray
    """(F, 3) int32, counter-clockwise seen from outside; other sides are not drawn."""
    kind: Kind = "skin"
    visibility: FloatArray | None = None
    """(V,) float32, 1 = seen, 0 = hidden; None: all seen."""
    lines: NDArray[np.bool_] | None = None
    """(F, 3) bool: which edges ``wireframe`` draws, edge k joins corners k and k + 1; None: every edge.
    See :func:`subdivision_lines`."""
    opacity: FloatArray | None = None
    """(V,) float32 0..1: how much of the vertex covers what is behind the face; None: 1. Lets a mesh fade out
    towards its border; other faces behind it are hidden all the same."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise InputError(f"RenderPart.kind: got {self.kind!r}, expected one of {', '.join(get_args(Kind))}")
        _check("RenderPart.vertices", self.vertices, (None, 3), "float32")
        _check("RenderPart.triangles", self.triangles, (None, 3), "int32")
        count = self.vertices.shape[0]
        for name in ("normals", "colors"):
            _check(f"RenderPart.{name}", getattr(self, name), (count, 3), "float32")
        if self.visibility is not None:
            _check("RenderPart.visibility", self.visibility, (count,), "float32")
        if self.opacity is not None:
            _check("RenderPart.opacity", self.opacity, (count,), "float32")
        if self.lines is not None:
            _check("RenderPart.lines", self.lines, (self.triangles.shape[0], 3), "bool")


@dataclass(frozen=True, slots=True, eq=False)
class RenderFace:
    """The parts of one head under one pose: scaled orthography as in :func:`rtface.geometry.pose_vertices`."""

    parts: tuple[RenderPart, ...]
    rotation: FloatArray
    """(3,) float rad: pitch, yaw, roll."""
    scale: float
    """px per mm; the face with the larger one is drawn before the others, for it is nearer."""
    translation: FloatArray
    """(2,) float px, where the head's origin lies in the picture."""
    illumination: FloatArray | None = None
    """(9,) float spherical harmonics in camera axes, :func:`rtface.geometry.spherical_harmonics`; None: the
    style's light."""

    def __post_init__(self) -> None:
        for name, size in (("rotation", 3), ("translation", 2), ("illumination", 9)):
            value = getattr(self, name)
            if name == "illumination" and value is None:
                continue
            _check(f"RenderFace.{name}", value, (size,), None)
            if not np.isfinite(value).all():
                raise InputError(f"RenderFace.{name}: got {value}, expected finite numbers")
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise InputError(f"RenderFace.scale: got {self.scale} px/mm, expected a finite number above 0")


def faces_from_mesh(mesh: FaceMesh, coefficients: Coefficients, *, lines: NDArray[np.bool_] | None = None,
                    opacity: FloatArray | None = None, own_light: bool = False) -> list[RenderFace]:
    """N skin-only faces from what the mesh stage returns; views of its arrays.

    lines, opacity: :attr:`RenderPart.lines` and :attr:`RenderPart.opacity` of the skin. own_light: lit by the
    coefficients' illumination instead of the style's light. Add eyes and the mouth with
    ``dataclasses.replace(face, parts=(*face.parts, …))``.
    """
    if len(mesh) != len(coefficients):
        raise InputError(f"faces_from_mesh: got {len(mesh)} meshes and {len(coefficients)} sets of coefficients, "
                         "expected as many")
    return [RenderFace((RenderPart(mesh.vertices[n], mesh.normals[n], mesh.colors[n], mesh.triangles, "skin",
                                   mesh.visibility[n], lines, opacity),),
                       coefficients.rotation[n], float(coefficients.scale[n]), coefficients.translation[n],
                       coefficients.illumination[n] if own_light else None) for n in range(len(mesh))]


class Piece(NamedTuple):
    """Vertices of one kind cut out of a mesh that holds several; see :func:`split_mesh`."""

    kind: Kind
    rows: NDArray[np.intp]
    """(R,) vertices of the whole mesh that the piece uses, ascending."""
    triangles: IntArray
    """(F, 3) int32 into ``rows``."""

    def part(self, vertices: FloatArray, normals: FloatArray, colors: FloatArray) -> RenderPart:
        """The piece of the whole mesh's vertices mm, normals and colours, (V, 3) float32 each."""
        return RenderPart(vertices[self.rows], normals[self.rows], colors[self.rows], self.triangles, self.kind)


def split_mesh(triangles: IntArray, labels: NDArray[Any], label_names: Sequence[str],
               kinds: Mapping[str, Kind]) -> list[Piece]:
    """Cut a mesh with labelled vertices into pieces of one kind each, once per topology.

    triangles (F, 3), labels (V,) index into ``label_names``; a triangle has the label of its first corner. Labels
    that ``kinds`` does not name are left out.
    """
    pieces = []
    triangle_kinds = np.array([kinds.get(name, "") for name in label_names])[labels[triangles[:, 0]]]
    for kind in dict.fromkeys(kinds[name] for name in label_names if name in kinds):
        rows, inverse = np.unique(triangles[triangle_kinds == kind], return_inverse=True)
        pieces.append(Piece(kind, rows.astype(np.intp), inverse.reshape(-1, 3).astype(np.int32)))
    return pieces


def border_fade(vertices: FloatArray, triangles: IntArray, width_mm: float = BORDER_MM) -> FloatArray:
    """(V,) float32 for :attr:`RenderPart.opacity`: 0 on the mesh's longest border, rising to 1 ``width_mm`` inside.

    vertices (V, 3) mm, triangles (F, 3). Shorter borders (around eyes and lips) do not fade. A mesh without a border
    is opaque everywhere.
    """
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]).astype(np.int64)
    count = len(vertices)
    keys, times = np.unique(edges.min(axis=1) * count + edges.max(axis=1), return_counts=True)
    ends = np.stack(np.divmod(keys[times == 1], count), axis=1)
    loop = np.arange(count)
    for _ in range(count):  # the smallest vertex number spreads along each border
        before = loop.copy()
        np.minimum.at(loop, ends[:, 0], before[ends[:, 1]])
        np.minimum.at(loop, ends[:, 1], before[ends[:, 0]])
        loop = loop[loop]
        if np.array_equal(loop, before):
            break
    if not len(ends):
        return np.ones(count, np.float32)
    border = np.unique(ends)
    length = np.bincount(loop[ends[:, 0]], np.linalg.norm(vertices[ends[:, 0]] - vertices[ends[:, 1]], axis=1))
    border = vertices[border[loop[border] == length.argmax()]]
    nearest = np.array([np.linalg.norm(border - v, axis=1).min() for v in vertices])
    t = np.clip(nearest / width_mm, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def light_harmonics(direction: Color) -> NDArray[np.float64]:
    """The style's light as (9,) spherical harmonics: a sky that is brighter above, and a light from ``direction``.

    The clamped cosine of the light is its projection on order 0..2 (Ramamoorthi & Hanrahan 2001), off by at most
    9 % of its strength.
    """
    x, y, z = np.asarray(direction, np.float64) / np.linalg.norm(direction)
    light = KEY * np.array([0.25, 0.5 * y, 0.5 * z, 0.5 * x, 0.9375 * x * y, 0.9375 * y * z,
                            0.078125 * (3 * z * z - 1), 0.9375 * x * z, 0.234375 * (x * x - y * y)])
    light[:2] += SKY
    return light


def highlight_direction(harmonics: NDArray[Any], fallback: Color) -> NDArray[np.float64]:
    """(3,) unit direction that most light of (9,) spherical harmonics comes from; ``fallback`` where it has none.

    Light from behind makes no highlight that a camera sees, so it is turned to the camera's side.
    """
    direction = np.array([harmonics[3], harmonics[1], harmonics[2]], np.float64)
    if np.linalg.norm(direction) < 0.05 * max(abs(float(harmonics[0])), 1e-6):
        direction = np.asarray(fallback, np.float64)
    direction = direction / np.linalg.norm(direction)
    direction[2] = min(direction[2], -0.3)
    return direction / np.linalg.norm(direction)


def subdivision_lines(triangles: IntArray, vertex_points: int, edge_points: int) -> NDArray[np.bool_]:
    """(F, 3) bool for :attr:`RenderPart.lines`: only the edges of the quads before one Catmull-Clark step.

    triangles (F, 3) of the finer mesh, whose vertices are ordered: ``vertex_points`` old vertices, ``edge_points``
    edge points, face points. An old edge is now two: from an old vertex to an edge point. A mesh of 2 px triangles
    is a plain sheet as a wireframe; its coarser level is readable.
    """
    ends = np.stack([triangles, np.roll(triangles, -1, axis=1)], axis=-1)  # (F, 3, 2)
    low, high = ends.min(axis=-1), ends.max(axis=-1)
    old: NDArray[np.bool_] = (low < vertex_points) & (high >= vertex_points) & (high < vertex_points + edge_points)
    return old


def _check(name: str, array: Any, shape: tuple[int | None, ...], dtype: str | None) -> None:
    """Compare an array with a shape (None: any size) and a dtype (None: any float)."""
    want = "(" + ", ".join("·" if s is None else str(s) for s in shape) + ("," if len(shape) == 1 else "") + ")"
    if not isinstance(array, np.ndarray):
        raise InputError(f"{name}: got {type(array).__name__}, expected a NumPy array {want}")
    if array.ndim != len(shape) or any(s is not None and s != g for s, g in zip(shape, array.shape, strict=True)):
        raise InputError(f"{name}: got shape {array.shape}, expected {want}")
    if str(array.dtype) != dtype and (dtype is not None or array.dtype.kind != "f"):
        raise InputError(f"{name}: got dtype {array.dtype}, expected {dtype or 'float32'}")
