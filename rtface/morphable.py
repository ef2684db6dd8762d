"""The morphable model: coefficients → vertices, albedo and landmarks of a face (NumPy only).

Shape S = mean + A·α + B·β with identity α (80 standard deviations) and expression β (64 actions, 1 = full action;
the first 52 are ARKit's blend shapes in Apple's order). Millimetres; x right in the picture (the subject's left), y
down, z away from the camera; the origin lies inside the head between the brows and the chin. Triangles are
counter-clockwise seen from outside: the cross product of their edges points outwards.

The file holds level 0 (the mesh as modelled); level 1 (default) is one Catmull-Clark step, applied to mean and
bases at load. L1 vertices keep the indices of L0 vertices and append edge points, then face points. The stencils at
the patch's border use the neighbouring context, so face, context and interior meet without cracks on both levels:
parts repeat the vertices of their common border and name the face's twin in ``face_vertices``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rtface.basis_file import BasisFile, Level
from rtface.errors import InputError
from rtface.paths import WEIGHTS

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]
Array = NDArray[Any]

PART_COLORS: Final[Mapping[str, tuple[float, float, float]]] = {
    "scalp": (0.09, 0.06, 0.04), "skin": (0.45, 0.27, 0.20), "clothes": (0.10, 0.12, 0.16),
    "socket": (0.42, 0.20, 0.17), "cavity": (0.10, 0.02, 0.02), "teeth_upper": (0.72, 0.66, 0.55),
    "teeth_lower": (0.68, 0.62, 0.51), "tongue": (0.38, 0.12, 0.11), "sclera": (0.68, 0.64, 0.61),
    "iris": (0.10, 0.06, 0.03), "pupil": (0.01, 0.01, 0.01)}
"""Plain linear RGB base colours of everything beside the face."""
SOFT_BORDER_MM: Final = 6.0
NOT_FACE_REGIONS: Final = ("ear", "neck", "scalp")
"""Regions of the mesh that tell nothing of what a face does."""
INTERIOR: Final = ("socket", "cavity", "teeth_upper", "teeth_lower", "tongue")


@dataclass(frozen=True, eq=False)
class Part:
    """A piece of the head beside the face (context or interior) with its own vertices and linear bases."""

    mean: FloatArray
    """(V, 3) mm."""
    identity_basis: FloatArray
    """(V, 3, 80) mm per standard deviation."""
    expression_basis: FloatArray
    """(V, 3, 64) mm per full action."""
    triangles: IntArray
    """(F, 3) int32 into this part's vertices."""
    labels: NDArray[np.uint8]
    """(V,) index into label_names."""
    label_names: tuple[str, ...]
    weights: FloatArray
    """(V, labels) soft labels, rows sum to 1: ``weights @ palette`` colours a part without jagged borders."""
    colors: FloatArray
    """(V, 3) plain base colour, linear RGB 0..1."""
    face_vertices: IntArray
    """(V,) int32 index of the same vertex of the face, −1 where there is none."""


@dataclass(frozen=True, eq=False)
class Eyes:
    """Two spheres, the right eye first, turned by the eyeLook actions."""

    template: FloatArray
    """(E, 3) mm, one eyeball around the origin looking along −z."""
    triangles: IntArray
    """(2F, 3) int32 into the 2E vertices of both eyes."""
    labels: NDArray[np.uint8]
    """(2E,) sclera, iris or pupil."""
    label_names: tuple[str, ...]
    colors: FloatArray
    """(2E, 3) plain base colour, linear RGB 0..1."""
    center_mean: FloatArray
    """(2, 3) mm."""
    center_basis: FloatArray
    """(2, 3, 80) mm per standard deviation."""
    radius_mm: float
    gaze_rad: Mapping[str, float]
    """Angle at coefficient 1 of looking in, out, up and down."""


@dataclass(frozen=True, eq=False, repr=False)
class MorphableModel:
    """Linear face model; read-only arrays that several threads may share."""

    basis_id: str
    level: Level
    mean: FloatArray
    """(V, 3) mm."""
    identity_basis: FloatArray
    """(V, 3, 80) mm per standard deviation; a view of one (V, 3, 144) array."""
    expression_basis: FloatArray
    """(V, 3, 64) mm per full action; a view of the same array."""
    albedo_mean: FloatArray
    """(V, 3) linear RGB."""
    albedo_basis: FloatArray
    """(V, 3, 80) linear RGB per standard deviation."""
    triangles: IntArray
    """(F, 3) int32."""
    uv: FloatArray
    """(V, 2) 0..1, u right, v down."""
    regions: NDArray[np.uint8]
    """(V,) index into region_names."""
    region_names: tuple[str, ...]
    landmarks68: IntArray
    """(68,) int32 vertices in iBUG order."""
    contours: dict[str, IntArray]
    """Named, ordered vertex lists; closed ones end with their first vertex."""
    expression_names: tuple[str, ...]
    expression_min: FloatArray
    """(64,) lower bounds."""
    expression_max: FloatArray
    """(64,) upper bounds; see :meth:`expression_limits` for blinks."""
    identity_samples: FloatArray
    """(n, 80) coefficients of random people, to draw realistic identities from."""
    eyes: Eyes
    info: Mapping[str, Any]
    """The whole basis.json: provenance, licence, notice, spectrum."""
    _file: BasisFile = field(repr=False)

    @classmethod
    def load(cls, path: Path | None = None, *, level: Level = 1) -> MorphableModel:
        """Read basis.npz and basis.json (default: the shipped ones); ModelFileError if they are not usable."""
        if level not in (0, 1):
            raise InputError(f"level: got {level!r}, expected 0 or 1")
        return cls.from_file(BasisFile.read(Path(path) if path is not None else WEIGHTS / "basis.npz"), level=level)

    @classmethod
    def from_file(cls, file: BasisFile, *, level: Level = 1) -> MorphableModel:
        """The model of a basis that is in memory already."""
        arrays, info = file.arrays, file.info
        piece = file.piece(level, ("face",))
        count = len(piece.mean)
        return cls(
            info["id"], level, piece.mean, piece.bases[..., :80], piece.bases[..., 80:],
            np.ascontiguousarray(arrays["albedo_mean"][:count], np.float32),
            arrays["albedo"][:count].astype(np.float32),
            piece.triangles, arrays["uv"][:count], arrays["regions"][:count], tuple(info["region_names"]),
            arrays["landmarks68"], file.contours(level), tuple(info["expression_names"]), arrays["expression_min"],
            arrays["expression_max"], arrays["identity_samples"].astype(np.float32), _eyes(file), info, file)

    @property
    def coarse_count(self) -> int:
        """Vertices of level 0; they come first among those of level 1, then edge points, then face points."""
        return len(self._file.piece(0, ("face",)).mean)

    def __repr__(self) -> str:
        return (f"MorphableModel({self.basis_id!r}, level={self.level}, vertices={len(self.mean)}, "
                f"triangles={len(self.triangles)})")

    @cached_property
    def context(self) -> Part:
        """The rest of the head, neck and shoulders."""
        return _part(self._file, self.level, ("context",))

    @cached_property
    def interior(self) -> Part:
        """Eye sockets, mouth cavity, teeth and tongue."""
        return _part(self._file, self.level, INTERIOR)

    def vertices(self, identity: Array, expression: Array) -> Array:
        """Identity (N, 80) and expression (N, 64) → vertices (N, V, 3) mm, float32 (float64 for float64 input)."""
        return _evaluate(self.mean, self.identity_basis, self.expression_basis, identity, expression)

    def albedo(self, coefficients: Array) -> Array:
        """Albedo coefficients (N, 80) → linear RGB (N, V, 3), clipped to 0..1."""
        coefficients = _checked(coefficients, self.albedo_basis.shape[2], "albedo coefficients")
        flat = coefficients @ self.albedo_basis.reshape(-1, self.albedo_basis.shape[2]).T + self.albedo_mean.ravel()
        return np.clip(flat, 0, 1, out=flat).reshape(len(coefficients), *self.mean.shape)

    def landmarks(self, vertices: Array) -> Array:
        """Vertices (N, V, 3) → the 68 iBUG landmarks (N, 68, 3)."""
        if vertices.ndim != 3 or vertices.shape[1:] != self.mean.shape:
            raise InputError(f"vertices: got shape {vertices.shape}, expected (N, {len(self.mean)}, 3)")
        return vertices[:, self.landmarks68]

    def landmark_rows(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Mean (68, 3), identity (68, 3, 80) and expression basis (68, 3, 64) of the landmarks only."""
        rows = self.landmarks68
        return self.mean[rows], self.identity_basis[rows], self.expression_basis[rows]

    def region_mask(self, *names: str) -> NDArray[np.bool_]:
        """(V,) True on the named regions; a name also stands for its _right and _left halves."""
        wanted = [k for k, region in enumerate(self.region_names)
                  if any(region in (n, f"{n}_right", f"{n}_left") for n in names)]
        if not wanted:
            raise InputError(f"region: got {names}, expected some of {', '.join(self.region_names)}")
        return np.isin(self.regions, wanted)

    def context_vertices(self, identity: Array, expression: Array) -> Array:
        """Vertices (N, Vc, 3) mm of :attr:`context`."""
        part = self.context
        return _evaluate(part.mean, part.identity_basis, part.expression_basis, identity, expression)

    def interior_vertices(self, identity: Array, expression: Array) -> Array:
        """Vertices (N, Vi, 3) mm of :attr:`interior`."""
        part = self.interior
        return _evaluate(part.mean, part.identity_basis, part.expression_basis, identity, expression)

    def eye_centers(self, identity: Array) -> Array:
        """(N, 2, 3) mm, right eye first."""
        identity = _checked(identity, self.eyes.center_basis.shape[2], "identity")
        basis = self.eyes.center_basis.reshape(6, -1)
        return (identity @ basis.T + self.eyes.center_mean.ravel()).reshape(len(identity), 2, 3)

    def gaze(self, expression: Array) -> Array:
        """(N, 2, 2) rad pitch and yaw of the right and the left eye, in the head's frame.

        Signs as for heads: positive pitch looks down, positive yaw looks to the picture's left.
        """
        expression = _checked(expression, len(self.expression_names), "expression")
        value = {name: expression[:, k] for k, name in enumerate(self.expression_names[:14])}
        angle = self.eyes.gaze_rad
        out = np.empty((len(expression), 2, 2), expression.dtype)
        for e, (side, inwards) in enumerate((("Right", -1), ("Left", 1))):
            out[:, e, 0] = value[f"eyeLookDown{side}"] * angle["down"] - value[f"eyeLookUp{side}"] * angle["up"]
            out[:, e, 1] = inwards * (value[f"eyeLookIn{side}"] * angle["in"]
                                      - value[f"eyeLookOut{side}"] * angle["out"])
        return out

    def eye_vertices(self, identity: Array, expression: Array) -> Array:
        """Vertices (N, 2E, 3) mm of both eyeballs, turned by the eyeLook actions."""
        centers = self.eye_centers(identity)
        pitch, yaw = np.moveaxis(self.gaze(expression), -1, 0)
        if len(pitch) != len(centers):
            raise InputError(f"expression: got {len(pitch)} rows, expected {len(centers)} as in identity")
        cx, sx, cy, sy = np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw)
        zero = np.zeros_like(cx)
        turn = np.stack([cy, sy * sx, sy * cx, zero, cx, -sx, -sy, cy * sx, cy * cx], -1).reshape(len(yaw), 2, 3, 3)
        both: Array = np.matmul(self.eyes.template.astype(turn.dtype), np.swapaxes(turn, 2, 3)) + centers[:, :, None]
        return both.reshape(len(centers), len(self.eyes.labels), 3)

    def linear_eyes(self) -> Part:
        """Both eyeballs with linear bases, for file formats that know only sums of displacements.

        Each eyeLook action moves an eye from straight ahead to where that action alone would turn it; oblique gaze is
        the sum of two, which misses the turned ball by up to 0.9 mm at half and 2.8 mm at full strength of both.
        """
        eyes, count, neutral = self.eyes, len(self.expression_names), np.zeros((1, self.identity_basis.shape[2]))
        rest = self.eye_vertices(neutral, np.zeros((1, count)))[0]
        actions = np.zeros((*rest.shape, count), np.float32)
        for k, name in enumerate(self.expression_names):
            if name.startswith("eyeLook"):
                actions[..., k] = self.eye_vertices(neutral, np.eye(count)[k:k + 1])[0] - rest
        identity = np.repeat(eyes.center_basis, len(eyes.template), axis=0).astype(np.float32)
        weights = np.eye(len(eyes.label_names), dtype=np.float32)[eyes.labels]
        return Part(rest.astype(np.float32), identity, actions, eyes.triangles, eyes.labels, eyes.label_names, weights,
                    eyes.colors, np.full(len(rest), -1, np.int32))

    def expression_limits(self, identity: Array) -> Array:
        """(N, 64) upper bounds for these identities: blinks stop where the lids meet, all others at expression_max.

        Neutral lid openings differ between people, so the same eyeBlink value that closes one person's eye
        would push another's upper lid through the lower one.
        """
        identity = _checked(identity, self.identity_basis.shape[2], "identity")
        limits = np.tile(self.expression_max.astype(identity.dtype), (len(identity), 1))
        for k, gap, gap_basis, closing in self._lids:
            limits[:, k] = np.clip((gap + identity @ gap_basis) / closing, 0, 1.5 * self.expression_max[k])
        return limits

    @cached_property
    def _lids(self) -> list[tuple[int, np.float32, FloatArray, np.float32]]:
        """Per eye: its blink's place, the lids' distance in mm (mean, per coefficient), what a blink closes."""
        mean, basis, action = self.landmark_rows()
        lids = []
        for side, up, low in (("Right", [37, 38], [41, 40]), ("Left", [43, 44], [47, 46])):
            k = self.expression_names.index(f"eyeBlink{side}")
            lids.append((k, (mean[low, 1] - mean[up, 1]).mean(), (basis[low, 1] - basis[up, 1]).mean(axis=0),
                         (action[up, 1, k] - action[low, 1, k]).mean()))
        return lids

    def clip_expression(self, expression: Array, identity: Array) -> Array:
        """Expression (N, 64) kept between expression_min and :meth:`expression_limits` of identity (N, 80)."""
        expression = _checked(expression, len(self.expression_names), "expression")
        clipped: Array = np.clip(expression, self.expression_min, self.expression_limits(identity))
        return clipped.astype(expression.dtype, copy=False)


def _part(file: BasisFile, level: Level, names: tuple[str, ...]) -> Part:
    piece = file.piece(level, names)
    label_names, weights = names, np.eye(len(names), dtype=np.float32)[piece.part_labels]
    if names == ("context",):
        label_names = ("scalp", "skin", "clothes")
        scalp, clothes = np.clip(piece.fields.T / SOFT_BORDER_MM + 0.5, 0, 1)
        weights = np.stack([scalp, (1 - scalp) * (1 - clothes), (1 - scalp) * clothes], axis=1)
    labels = weights.argmax(axis=1).astype(np.uint8)
    colors = weights @ np.array([PART_COLORS[n] for n in label_names], np.float32)
    if names == INTERIOR:
        colors *= _mouth_shade(piece.mean, labels, names)[:, None]
    return Part(piece.mean, piece.bases[..., :80], piece.bases[..., 80:], piece.triangles, labels, label_names, weights,
                colors, piece.face_vertices)


def _mouth_shade(mean: FloatArray, labels: Array, names: tuple[str, ...]) -> FloatArray:
    """(V,) how much light reaches the mouth's inside: less towards the throat and behind the corners of the lips."""
    teeth = labels == names.index("teeth_upper")
    depth = mean[:, 2] - mean[teeth, 2].min()
    shade = np.clip(1.1 - depth / 40, 0.2, 1) * np.clip(1 - (np.abs(mean[:, 0]) - 13) / 9, 0.12, 1)
    return np.where(labels == names.index("socket"), 1, shade).astype(np.float32)


def _eyes(file: BasisFile) -> Eyes:
    arrays, info = file.arrays, file.info
    template, triangles, kinds = (arrays[f"eye_{n}"] for n in ("vertices", "triangles", "kinds"))
    names = tuple(info["eye_kinds"])
    labels = np.tile(kinds, 2)
    return Eyes(template, np.concatenate([triangles, triangles + len(template)]).astype(np.int32), labels, names,
                np.array([PART_COLORS[n] for n in names], np.float32)[labels], arrays["eye_center_mean"],
                arrays["eye_center_basis"], float(info["eye_radius_mm"]),
                {k: float(np.deg2rad(v)) for k, v in info["gaze_degrees"].items()})


def _checked(values: Array, width: int, name: str) -> Array:
    values = np.asarray(values)
    if values.ndim != 2 or values.shape[1] != width:
        raise InputError(f"{name}: got shape {values.shape}, expected (N, {width})")
    return values if values.dtype == np.float64 else values.astype(np.float32, copy=False)


def _evaluate(mean: Array, identity_basis: Array, expression_basis: Array, identity: Array,
              expression: Array) -> Array:
    """Mean + bases · coefficients, in one matrix product where both bases are views of one (V, 3, 144) array."""
    identity = _checked(identity, identity_basis.shape[2], "identity")
    expression = _checked(expression, expression_basis.shape[2], "expression")
    if len(identity) != len(expression):
        raise InputError(f"expression: got {len(expression)} rows, expected {len(identity)} as in identity")
    joined = identity_basis.base
    if joined is not None and joined.shape == (*mean.shape, identity.shape[1] + expression.shape[1]):
        flat: Array = np.concatenate([identity, expression], axis=1) @ joined.reshape(mean.size, -1).T
    else:  # copies of a model may have lost the common array
        flat = identity @ identity_basis.reshape(mean.size, -1).T
        flat += expression @ expression_basis.reshape(mean.size, -1).T
    flat += mean.ravel()
    return flat.reshape(len(identity), len(mean), 3)
