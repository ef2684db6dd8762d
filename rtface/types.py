"""Core types: what the stages hand to one another.

Conventions, stated once and used everywhere:

- Pixel centres lie at +0.5: the centre of the top left pixel is (0.5, 0.5); x points right, y down, z away
  from the camera. A picture of width W spans 0..W.
- Transforms are named ``target_from_source`` and are 2×3 affine matrices on column points (x, y, 1).
- Colours are RGB everywhere (BGR ends in ``rtface.io``); pictures are uint8, crops float32 in 0..1.
- Millimetres for the mesh (head space, mean inter-pupil distance 63 mm), radians, seconds; units are in names.
- Head space: x to the picture's right, y down, z away from the camera for a face that looks at it.
- N faces, S crop side, V vertices, F triangles. No face is N = 0, never None.

Arrays are NumPy on the host or CuPy on the device; the types never convert. They check ndim, dtype and leading
sizes once, at construction, and never look at values. All of them are immutable records; producers that reuse
memory say so ("views of engine-owned buffers, valid until the next call").
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np

from rtface.errors import InputError

Array = Any
"""numpy.ndarray, or cupy.ndarray on the device."""

IDENTITY_SIZE: Final = 80
EXPRESSION_SIZE: Final = 64
ALBEDO_SIZE: Final = 80
ILLUMINATION_SIZE: Final = 9
POSE_SIZE: Final = 6
VECTOR_SIZE: Final = IDENTITY_SIZE + EXPRESSION_SIZE + ALBEDO_SIZE + ILLUMINATION_SIZE + POSE_SIZE  # 239
LANDMARKS: Final = 68
REGIONS: Final = ("brows", "eyes", "nose", "mouth", "jaw", "cheeks")
"""Order of the columns of :attr:`FrameResult.regions`."""


class FaceStatus(enum.StrEnum):
    """How a face's values in a frame came about."""

    TRACKED = "tracked"
    """Measured in this frame."""
    HELD = "held"
    """Not found in this frame; the last measured values are repeated for a short while."""
    INTERPOLATED = "interpolated"
    """Not measured in this frame; filled in between two measured frames (offline only)."""
    ABSENT = "absent"
    """No such face in this frame; numbers are NaN in files."""


def _check(owner: str, name: str, array: Array, shape: tuple[int | str, ...], dtype: str,
           sizes: dict[str, int]) -> None:
    """Compare one array with a pattern such as ``("N", 68, 2)``; letters bind to the first size seen."""
    got_shape, got_dtype = getattr(array, "shape", None), getattr(array, "dtype", None)
    if got_shape is None or got_dtype is None:
        raise InputError(f"{owner}.{name}: got {type(array).__name__}, expected a {dtype} array of shape "
                         f"{_pattern(shape)}")
    fits = len(got_shape) == len(shape)
    if fits:
        for got, want in zip(got_shape, shape, strict=True):
            expected = sizes.setdefault(want, got) if isinstance(want, str) else want
            fits = fits and got == expected
    if not fits:
        known = ", ".join(f"{k} = {v}" for k, v in sizes.items())
        raise InputError(f"{owner}.{name}: got shape {tuple(got_shape)}, expected {_pattern(shape)}"
                         + (f" with {known}" if known else ""))
    if got_dtype != dtype:
        raise InputError(f"{owner}.{name}: got dtype {got_dtype}, expected {dtype}; convert with .astype('{dtype}')")


def _pattern(shape: tuple[int | str, ...]) -> str:
    return "(" + ", ".join(str(s) for s in shape) + ("," if len(shape) == 1 else "") + ")"


def _summary(record: Any) -> str:
    """A repr that shows shapes and dtypes, never values of arrays."""
    parts = []
    for f in fields(record):
        value = getattr(record, f.name)
        shape = getattr(value, "shape", None)
        text = repr(value) if shape is None else f"{value.dtype}{_pattern(tuple(shape))}"
        parts.append(f"{f.name}={text}")
    return f"{type(record).__name__}({', '.join(parts)})"


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a source and its times."""

    pixels: Array
    """(H, W, 3) uint8 RGB, upright (rotation metadata already applied)."""
    index: int
    """Number of the frame in its source, from 0."""
    pts_s: float
    """Presentation time on the source's own clock, seconds from its start."""
    captured_ns: int = 0
    """``time.monotonic_ns()`` at the moment the frame reached this process."""

    def __post_init__(self) -> None:
        _check("Frame", "pixels", self.pixels, ("H", "W", 3), "uint8", {})

    __repr__ = _summary

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class FaceTracks:
    """Faces followed through a video, in frame pixels."""

    ids: Array
    """(N,) int32, persistent over the clip."""
    boxes_xyxy: Array
    """(N, 4) float32 px."""
    scores: Array
    """(N,) float32, confidence 0..1."""
    landmarks: Array
    """(N, 68, 2) float32 px, iBUG order."""
    ages: Array
    """(N,) int32, frames since the face was first seen."""

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        _check("FaceTracks", "ids", self.ids, ("N",), "int32", sizes)
        _check("FaceTracks", "boxes_xyxy", self.boxes_xyxy, ("N", 4), "float32", sizes)
        _check("FaceTracks", "scores", self.scores, ("N",), "float32", sizes)
        _check("FaceTracks", "landmarks", self.landmarks, ("N", LANDMARKS, 2), "float32", sizes)
        _check("FaceTracks", "ages", self.ages, ("N",), "int32", sizes)

    __repr__ = _summary

    def __len__(self) -> int:
        return int(self.ids.shape[0])

    @classmethod
    def empty(cls) -> FaceTracks:
        """No face: N = 0."""
        return cls(np.zeros(0, np.int32), np.zeros((0, 4), np.float32), np.zeros(0, np.float32),
                   np.zeros((0, LANDMARKS, 2), np.float32), np.zeros(0, np.int32))


@dataclass(frozen=True, slots=True, eq=False)
class FaceCrops:
    """Square pictures of faces, as networks take them. Completion returns the same type."""

    pixels: Array
    """(N, 3, S, S) float32 RGB 0..1, C-contiguous."""
    crop_from_frame: Array
    """(N, 2, 3) float32: frame px → crop px."""
    track_ids: Array
    """(N,) int32."""

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        _check("FaceCrops", "pixels", self.pixels, ("N", 3, "S", "S"), "float32", sizes)
        _check("FaceCrops", "crop_from_frame", self.crop_from_frame, ("N", 2, 3), "float32", sizes)
        _check("FaceCrops", "track_ids", self.track_ids, ("N",), "int32", sizes)

    __repr__ = _summary

    def __len__(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def size(self) -> int:
        """Crop side S in px."""
        return int(self.pixels.shape[-1])


@dataclass(frozen=True, slots=True, eq=False)
class Occlusion:
    """What hides each face, on the crop's pixel grid."""

    probability: Array
    """(N, 3, S, S) float32: background, face, occluder."""
    mask: Array
    """(N, 1, S, S) float32, 1 where the face is hidden."""
    visible_fraction: Array
    """(N,) float32, visible share of the face area; 0 for faces that were not measured in this frame."""
    crop_from_frame: Array
    """(N, 2, 3) float32: frame px → px of these maps."""

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        _check("Occlusion", "probability", self.probability, ("N", 3, "S", "S"), "float32", sizes)
        _check("Occlusion", "mask", self.mask, ("N", 1, "S", "S"), "float32", sizes)
        _check("Occlusion", "visible_fraction", self.visible_fraction, ("N",), "float32", sizes)
        _check("Occlusion", "crop_from_frame", self.crop_from_frame, ("N", 2, 3), "float32", sizes)

    __repr__ = _summary

    def __len__(self) -> int:
        return int(self.mask.shape[0])


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """The map that guides completion; its meaning depends on the recipe."""

    contour: Array
    """(N, 1, S, S) float32: contour lines (or rasterised landmarks, or edge lines)."""

    def __post_init__(self) -> None:
        _check("Structure", "contour", self.contour, ("N", 1, "S", "S"), "float32", {})

    __repr__ = _summary


@dataclass(frozen=True, slots=True, eq=False)
class Completion:
    """How faces that something hides were completed: one row per face with a hole, which may be fewer than faces."""

    before: FaceCrops
    """As the camera saw them."""
    mask: Array
    """(N, 1, S, S) float32, 1 = drawn anew."""
    structure: Structure
    """What guided the drawing."""
    after: FaceCrops
    """With the hole filled; pixels beyond the mask are those of ``before``."""

    def __post_init__(self) -> None:
        sizes = {"N": len(self.before), "S": self.before.size}
        _check("Completion", "mask", self.mask, ("N", 1, "S", "S"), "float32", sizes)
        _check("Completion", "structure.contour", self.structure.contour, ("N", 1, "S", "S"), "float32", sizes)
        _check("Completion", "after.pixels", self.after.pixels, ("N", 3, "S", "S"), "float32", sizes)

    __repr__ = _summary

    def __len__(self) -> int:
        return len(self.before)


_COEFFICIENT_PARTS: Final = (("identity", IDENTITY_SIZE), ("expression", EXPRESSION_SIZE), ("albedo", ALBEDO_SIZE),
                             ("illumination", ILLUMINATION_SIZE), ("rotation", 3), ("scale", 0), ("translation", 2))


@dataclass(frozen=True, slots=True, eq=False)
class Coefficients:
    """239 numbers per face: y = (α, β, τ, γ, p), p = (pitch, yaw, roll, f, t_x, t_y).

    The space of ``scale`` and ``translation`` (crop or frame pixels) is that of whoever made the record: the
    regressor stage returns frame pixels.
    """

    identity: Array
    """(N, 80) float32, standard deviations."""
    expression: Array
    """(N, 64) float32, 1 = the full action; the first 52 are ARKit's blendshapes."""
    albedo: Array
    """(N, 80) float32, standard deviations."""
    illumination: Array
    """(N, 9) float32 spherical harmonics, order 0..2, one gray light."""
    rotation: Array
    """(N, 3) float32 rad: pitch, yaw, roll; see :func:`rtface.geometry.rotation_matrices`."""
    scale: Array
    """(N,) float32, px per mm."""
    translation: Array
    """(N, 2) float32 px, where the head's origin projects to."""
    basis: str
    """Identifier of the morphable model these numbers belong to."""

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        for name, size in _COEFFICIENT_PARTS:
            shape: tuple[int | str, ...] = ("N", size) if size else ("N",)
            _check("Coefficients", name, getattr(self, name), shape, "float32", sizes)

    __repr__ = _summary

    def __len__(self) -> int:
        return int(self.identity.shape[0])

    def to_vector(self) -> Array:
        """(N, 239) float32 in the papers' order α, β, τ, γ, pitch, yaw, roll, f, t_x, t_y."""
        xp: Any = np if isinstance(self.identity, np.ndarray) else __import__(type(self.identity).__module__
                                                                              .partition(".")[0])
        parts = [getattr(self, name) if size else getattr(self, name)[:, None] for name, size in _COEFFICIENT_PARTS]
        return xp.concatenate(parts, axis=1)

    @classmethod
    def from_vector(cls, vector: Array, basis: str) -> Coefficients:
        """Split an (N, 239) float32 array; the fields are views of it."""
        _check("Coefficients", "from_vector(vector)", vector, ("N", VECTOR_SIZE), "float32", {})
        parts: dict[str, Array] = {}
        start = 0
        for name, size in _COEFFICIENT_PARTS:
            parts[name] = vector[:, start:start + size] if size else vector[:, start]
            start += max(size, 1)
        return cls(**parts, basis=basis)


@dataclass(frozen=True, slots=True, eq=False)
class FaceMesh:
    """Meshes of fixed topology in head space (pose not applied; it is in :class:`Coefficients`)."""

    vertices: Array
    """(N, V, 3) float32 mm."""
    normals: Array
    """(N, V, 3) float32 unit, outward."""
    colors: Array
    """(N, V, 3) float32 RGB 0..1, sRGB-encoded albedo."""
    triangles: Array
    """(F, 3) int32, counter-clockwise seen from outside."""
    visibility: Array
    """(N, V) float32, 1 = seen by the camera, 0 = hidden by an occluder or by the face itself."""

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        _check("FaceMesh", "vertices", self.vertices, ("N", "V", 3), "float32", sizes)
        _check("FaceMesh", "normals", self.normals, ("N", "V", 3), "float32", sizes)
        _check("FaceMesh", "colors", self.colors, ("N", "V", 3), "float32", sizes)
        _check("FaceMesh", "triangles", self.triangles, ("F", 3), "int32", sizes)
        _check("FaceMesh", "visibility", self.visibility, ("N", "V"), "float32", sizes)

    __repr__ = _summary

    def __len__(self) -> int:
        return int(self.vertices.shape[0])


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """Everything rtface says about one frame."""

    frame: Frame
    tracks: FaceTracks
    occlusion: Occlusion | None
    """None when the occlusion stage is not part of the chain."""
    coefficients: Coefficients
    mesh: FaceMesh | None
    """None when no sink asked for meshes."""
    regions: Array
    """(N, 6) float32 visible share of brows, eyes, nose, mouth, jaw, cheeks (:data:`REGIONS`)."""
    confidence: Array
    """(N,) float32 0..1."""
    status: tuple[FaceStatus, ...]
    """One per face."""
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds per stage."""
    dropped_before: int = 0
    """Source frames dropped (live) since the previous result."""
    completion: Completion | None = None
    """Faces that were completed in this frame; None when there were none."""
    cut: bool = False
    """A new shot begins with this frame: no face of it is one of the frames before."""

    def __post_init__(self) -> None:
        sizes = {"N": len(self.tracks)}
        _check("FrameResult", "regions", self.regions, ("N", len(REGIONS)), "float32", sizes)
        _check("FrameResult", "confidence", self.confidence, ("N",), "float32", sizes)
        for name, got in (("coefficients", len(self.coefficients)), ("status", len(self.status)),
                          ("occlusion", len(self.occlusion) if self.occlusion is not None else len(self.tracks)),
                          ("mesh", len(self.mesh) if self.mesh is not None else len(self.tracks))):
            if got != len(self.tracks):
                raise InputError(f"FrameResult.{name}: got {got} faces, expected {len(self.tracks)} as in tracks")

    __repr__ = _summary
