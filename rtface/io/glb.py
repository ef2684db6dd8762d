"""One animated .glb per clip: a head with 64 morph targets per face, moved on the source's own timeline."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.geometry import rotation_matrices
from rtface.io.atomic import check_output_folder, write_atomic
from rtface.io.glb_format import INDICES, VERTICES, GlbBuilder
from rtface.io.mesh_files import file_axes
from rtface.types import ALBEDO_SIZE, EXPRESSION_SIZE, IDENTITY_SIZE, FaceStatus, FrameResult

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Interpolation = Literal["LINEAR", "STEP"]

_METRES: Final = np.float32(0.001)
_POSITION_THRESHOLD_M: Final = 2e-6
_NORMAL_THRESHOLD: Final = 2e-3
_MINIMUM_WEIGHT: Final = 1e-3
_USED: Final = ("identity", "expression", "albedo", "rotation", "scale", "translation")


@dataclass(frozen=True, slots=True, eq=False)
class GlbModel:
    """The arrays of a morphable model (or of a part of it: face, eyes, mouth interior) that a .glb needs."""

    mean: Floats
    """(V, 3) mm, head space."""
    identity_basis: Floats
    """(V, 3, 80) mm per standard deviation."""
    expression_basis: Floats
    """(V, 3, 64) mm per full action."""
    albedo_mean: Floats
    """(V, 3) linear RGB."""
    albedo_basis: Floats | None
    """(V, 3, 80) linear RGB per standard deviation; None = the colour is the same for everybody."""
    triangles: Ints
    """(F, 3) int32, counter-clockwise seen from outside."""
    expression_names: tuple[str, ...]
    """64 names, the first 52 ARKit's."""
    name: str = "skin"
    """Of the part's material."""
    roughness: float = 0.7
    """glTF roughness factor of the material, 0 = mirror, 1 = matt."""

    def __post_init__(self) -> None:
        count = len(self.mean)
        expected: dict[str, tuple[int, ...]] = {
            "mean": (count, 3), "identity_basis": (count, 3, IDENTITY_SIZE), "albedo_mean": (count, 3),
            "expression_basis": (count, 3, EXPRESSION_SIZE), "triangles": (len(self.triangles), 3)}
        if self.albedo_basis is not None:
            expected["albedo_basis"] = (count, 3, ALBEDO_SIZE)
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise InputError(f"GlbModel.{name}: got shape {getattr(self, name).shape}, expected {shape}")
        if not 0 <= self.roughness <= 1:
            raise InputError(f"GlbModel.roughness: got {self.roughness}, expected 0 to 1")
        if len(self.expression_names) != EXPRESSION_SIZE:
            raise InputError(f"GlbModel.expression_names: got {len(self.expression_names)}, expected {EXPRESSION_SIZE}")


@dataclass(slots=True)
class _Face:
    """What is kept of one face until the clip ends."""

    weight: float = 0.0
    identity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(IDENTITY_SIZE))
    albedo: NDArray[np.float64] = field(default_factory=lambda: np.zeros(ALBEDO_SIZE))
    rows: list[int] = field(default_factory=list)
    """Numbers of the frames (in the sink's own count) where the face is present."""
    expression: list[Floats] = field(default_factory=list)
    rotation: list[Floats] = field(default_factory=list)
    position_mm: list[tuple[float, float]] = field(default_factory=list)


class GlbSink:
    """Collects coefficients and writes ONE .glb at the end.

    Every face id is a node ``face{id}`` (head pose: rotation, translation in metres, y up) with one mesh: the face's
    mean identity over the clip, weighted by confidence, and 64 morph targets named in ``mesh.extras.targetNames``.
    The animation ``clip`` has a key per frame in which the face is present, at the frame's own ``pts_s``; where a face
    is absent its node has scale 0 (a STEP channel), the way glTF 2.0 hides animated nodes. The translation is where
    the head's origin is in the picture, in metres at the face's own scale from the picture's centre; depth is 0
    (scaled orthography knows none).

    path: final name. parts: the model, or several parts that share the coefficients (each becomes a primitive).
    interpolation: between keys. normals: also store morphed normals. extras: JSON object kept in ``asset.extras``.
    Raises :class:`rtface.errors.OutputError` when the disk refuses.
    """

    needs_mesh: Final = False

    def __init__(self, path: str | os.PathLike[str], parts: GlbModel | Sequence[GlbModel], *,
                 interpolation: Interpolation = "LINEAR", normals: bool = True,
                 extras: Mapping[str, Any] | None = None) -> None:
        if interpolation not in ("LINEAR", "STEP"):
            raise InputError(f"GlbSink: got interpolation {interpolation!r}, expected 'LINEAR' or 'STEP'")
        self._path = Path(path)
        check_output_folder(self._path.parent)
        self._parts = [parts] if isinstance(parts, GlbModel) else list(parts)
        if not self._parts:
            raise InputError("GlbSink: got no model parts, expected at least one GlbModel")
        self._interpolation, self._normals, self._extras = interpolation, normals, dict(extras or {})
        self._times: list[float] = []
        self._faces: dict[int, _Face] = {}

    def write(self, result: FrameResult) -> None:
        """Note the coefficients of one frame."""
        c = result.coefficients
        row = len(self._times)
        self._times.append(result.frame.pts_s)
        for n, (face_id, status) in enumerate(zip(result.tracks.ids.tolist(), result.status, strict=True)):
            if status is FaceStatus.ABSENT:
                continue
            if not (c.scale[n] > 0 and all(np.isfinite(getattr(c, name)[n]).all() for name in _USED)):
                raise InputError(f"frame {result.frame.index}, face {face_id}: got values that are not finite, or "
                                 f"scale {c.scale[n]} px/mm, expected numbers; mark the face as absent instead")
            face = self._faces.setdefault(face_id, _Face())
            measured = status is FaceStatus.TRACKED
            weight = max(float(result.confidence[n]), _MINIMUM_WEIGHT) * (1.0 if measured else _MINIMUM_WEIGHT)
            face.weight += weight
            face.identity += weight * c.identity[n]
            face.albedo += weight * c.albedo[n]
            face.rows.append(row)
            face.expression.append(c.expression[n].copy())
            face.rotation.append(c.rotation[n].copy())
            x = (float(c.translation[n, 0]) - result.frame.width / 2) / float(c.scale[n])
            y = (float(c.translation[n, 1]) - result.frame.height / 2) / float(c.scale[n])
            face.position_mm.append((x, y))

    def finish(self) -> list[Path]:
        """Write the file; a clip without any face gives a valid file with an empty scene."""
        glb = GlbBuilder("rtface")
        if self._extras:
            glb.root["asset"]["extras"] = self._extras
        glb.root["scene"] = 0
        glb.root["scenes"] = [{"name": "clip"}]
        if self._faces:
            self._build(glb)
        write_atomic(self._path, *glb.parts(), durable=True)
        return [self._path]

    def abort(self) -> None:
        """Forget what was collected; nothing is on disk."""
        self._times, self._faces = [], {}

    def _build(self, glb: GlbBuilder) -> None:
        """Fill nodes, meshes and the animation."""
        times = _increasing(np.asarray(self._times, np.float32))
        shared = [_shared(glb, part, self._normals) for part in self._parts]
        for part in self._parts:
            glb.add("materials", {"name": part.name, "doubleSided": True, "pbrMetallicRoughness": {
                "metallicFactor": 0.0, "roughnessFactor": part.roughness}})
        channels: list[dict[str, Any]] = []
        samplers: list[dict[str, Any]] = []
        for face_id, face in sorted(self._faces.items()):
            mesh = glb.add("meshes", {
                "name": f"face{face_id}", "weights": [0.0] * EXPRESSION_SIZE,
                "primitives": [_primitive(glb, part, about, face, material)
                               for material, (part, about) in enumerate(zip(self._parts, shared, strict=True))],
                "extras": {"targetNames": list(self._parts[0].expression_names)}})
            keys = times[face.rows]
            turns = _quaternions(np.stack(face.rotation))
            x_mm, y_mm = np.asarray(face.position_mm, np.float32).T
            places = file_axes(np.stack([x_mm, y_mm, np.zeros_like(x_mm)], axis=1)) * _METRES
            weights = np.concatenate(face.expression).astype(np.float32)
            shown_at, shown = _visibility(times, face.rows)
            node = glb.add("nodes", {
                "name": f"face{face_id}", "mesh": mesh, "rotation": turns[0].tolist(),
                "translation": places[0].tolist(), "extras": {"face_id": face_id}})
            key_times = glb.accessor(keys, bounds=True)
            for target, time_accessor, values, interpolation in (
                    ("rotation", key_times, turns, self._interpolation),
                    ("translation", key_times, places, self._interpolation),
                    ("weights", key_times, weights, self._interpolation),
                    ("scale", glb.accessor(shown_at, bounds=True), shown, "STEP")):
                samplers.append({"input": time_accessor, "output": glb.accessor(values),
                                 "interpolation": interpolation})
                channels.append({"sampler": len(samplers) - 1, "target": {"node": node, "path": target}})
        glb.root["scenes"][0]["nodes"] = list(range(len(self._faces)))
        glb.add("animations", {"name": "clip", "samplers": samplers, "channels": channels})


@dataclass(frozen=True, slots=True)
class _Shared:
    """Accessors that all faces use."""

    indices: int
    targets: list[dict[str, int]]


def _shared(glb: GlbBuilder, part: GlbModel, normals: bool) -> _Shared:
    """Triangles and morph targets of one part; the targets are those of the mean shape."""
    index_type = np.uint16 if len(part.mean) <= 0xFFFF else np.uint32
    indices = glb.accessor(part.triangles.astype(index_type).ravel(), target=INDICES)
    actions = np.moveaxis(part.expression_basis, -1, 0)  # (64, V, 3)
    positions = glb.deltas([file_axes(action) * _METRES for action in actions], _POSITION_THRESHOLD_M)
    targets = [{"POSITION": accessor} for accessor in positions]
    if normals:
        rest = vertex_normals(part.mean, part.triangles)
        turned = [file_axes(vertex_normals(part.mean + action, part.triangles) - rest) for action in actions]
        for target, accessor in zip(targets, glb.deltas(turned, _NORMAL_THRESHOLD), strict=True):
            target["NORMAL"] = accessor
    return _Shared(indices, targets)


def _primitive(glb: GlbBuilder, part: GlbModel, shared: _Shared, face: _Face,
               material: int) -> dict[str, Any]:
    """Neutral shape, normals and colours of one face."""
    identity = (face.identity / face.weight).astype(np.float32)
    vertices = part.mean + part.identity_basis @ identity
    colors: NDArray[Any] = part.albedo_mean
    if part.albedo_basis is not None:
        colors = colors + part.albedo_basis @ (face.albedo / face.weight).astype(np.float32)
    rgba = np.ones((len(vertices), 4), np.float32)
    rgba[:, :3] = np.clip(colors, 0, 1)
    attributes = {
        "POSITION": glb.accessor((file_axes(vertices) * _METRES).astype(np.float32), target=VERTICES, bounds=True),
        "NORMAL": glb.accessor(file_axes(vertex_normals(vertices, part.triangles)), target=VERTICES),
        "COLOR_0": glb.accessor(np.rint(rgba * 65535).astype(np.uint16), target=VERTICES, normalized=True)}
    return {"attributes": attributes, "indices": shared.indices, "material": material, "targets": shared.targets}


def vertex_normals(vertices: Floats, triangles: Ints) -> Floats:
    """(V, 3), (F, 3) → (V, 3) float32 unit normals weighted by area; (0, 0, −1) for vertices without a triangle."""
    a, b, c = (vertices[triangles[:, i]].astype(np.float64) for i in range(3))
    faces = np.cross(b - a, c - a)
    out = np.stack([np.bincount(triangles.ravel(), np.repeat(faces[:, k], 3), len(vertices)) for k in range(3)], axis=1)
    length = np.linalg.norm(out, axis=1, keepdims=True)
    unit = np.divide(out, length, out=np.zeros_like(out), where=length > 1e-12)
    unit[length[:, 0] <= 1e-12] = (0.0, 0.0, -1.0)
    return np.asarray(unit, np.float32)


def _increasing(times: Floats) -> Floats:
    """Strictly increasing float32 seconds (float32 may merge neighbours late in very long clips)."""
    out = np.maximum(times, 0).astype(np.float32)
    for i in range(1, len(out)):
        if out[i] <= out[i - 1]:
            out[i] = np.nextafter(out[i - 1], np.float32(np.inf))
    return out


def _visibility(times: Floats, rows: list[int]) -> tuple[Floats, Floats]:
    """Keys of the scale channel: (K,) s where a face appears or disappears, (K, 3) ones or zeros."""
    present = np.zeros(len(times), bool)
    present[rows] = True
    changes = np.flatnonzero(np.diff(present, prepend=~present[:1]))
    return times[changes], np.repeat(present[changes].astype(np.float32)[:, None], 3, axis=1)


def _quaternions(rotation: Floats) -> Floats:
    """(T, 3) rad pitch, yaw, roll → (T, 4) float32 unit quaternions x, y, z, w in file axes, without sign flips."""
    half = np.diag([1.0, -1.0, -1.0])
    m = half @ rotation_matrices(rotation.astype(np.float64)) @ half
    trace = m[:, 0, 0] + m[:, 1, 1] + m[:, 2, 2]
    # Four times the outer product of the quaternion with itself; its largest row is the best conditioned.
    k = np.empty((len(m), 4, 4))
    for i in range(3):
        k[:, i, i] = 1 + 2 * m[:, i, i] - trace
        for j in range(3):
            if i != j:
                k[:, i, j] = m[:, i, j] + m[:, j, i]
    k[:, 3, 3] = 1 + trace
    for i, (a, b) in enumerate(((2, 1), (0, 2), (1, 0))):
        k[:, i, 3] = k[:, 3, i] = m[:, a, b] - m[:, b, a]
    best = np.argmax(np.einsum("tii->ti", k), axis=1)
    q = k[np.arange(len(m)), best]
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    flips = np.where(np.sum(q[1:] * q[:-1], axis=1) < 0, -1.0, 1.0)
    q[1:] *= np.cumprod(flips)[:, None]
    return np.asarray(q, np.float32)
