"""Mesh sequences: one OBJ or PLY file per frame and face, of fixed topology, in millimetres."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.geometry import rotation_matrices
from rtface.io.atomic import check_output_folder, output_errors, write_atomic
from rtface.types import FaceStatus, FrameResult

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
MeshKind = Literal["obj", "ply"]
MeshSpace = Literal["head", "camera"]

_LIMIT_MM: Final = 9999.0  # larger numbers take the slow path of the text writer


def file_axes(vectors: Floats) -> Floats:
    """(…, 3) with y down and z away → the same with y up and z towards the viewer, as mesh formats have it.

    The half turn (x, −y, −z) is a proper rotation: triangles stay counter-clockwise.
    """
    return vectors * np.array([1, -1, -1], np.float32)


class ObjWriter:
    """Formats OBJ files of one topology quickly: only vertex lines are made per file.

    triangles (F, 3) int; uv (V, 2) or None, u right and v down (as in the basis; OBJ wants v up and gets 1 − v).
    Positions and normals have four decimals (0.1 µm), colours four decimals in 0..1 behind the position (``v x y z
    r g b``, as MeshLab, Blender and trimesh read it).
    """

    def __init__(self, triangles: Ints, uv: Floats | None = None) -> None:
        corners = np.asarray(triangles) + 1
        pattern = b"f %d/%d/%d %d/%d/%d %d/%d/%d\n" if uv is not None else b"f %d//%d %d//%d %d//%d\n"
        repeated = np.repeat(corners, 3 if uv is not None else 2, axis=1)
        self._tail = b"".join(pattern % tuple(row) for row in repeated.tolist())
        if uv is not None:
            self._tail = b"".join(b"vt %.6f %.6f\n" % (u, 1 - v) for u, v in np.asarray(uv).tolist()) + self._tail
        whole = np.arange(10_000)
        # Tokens of 8 bytes: whole part with sign and point; sign 0 = positive, 1 = negative.
        self._whole = np.frombuffer(b"".join(b"%7d." % n for n in whole) +
                                    b"".join((b"-%d." % n).rjust(8) for n in whole), np.uint64)
        self._fraction = np.frombuffer(b"".join(b"%04d" % n for n in whole), np.uint32)
        self._unit = np.frombuffer(b"".join(b"%8.4f" % (n / 10_000) for n in range(-10_000, 10_001)), np.uint64)
        self._vertex_line = np.dtype([("v", "S1"), *[(f"{p}{i}", t) for i in range(3)
                                                     for p, t in (("w", "u8"), ("f", "u4"))],
                                      *[(f"c{i}", "u8") for i in range(3)], ("end", "S1")])
        self._normal_line = np.dtype([("vn", "S2"), *[(f"n{i}", "u8") for i in range(3)], ("end", "S1")])

    def format(self, vertices: Floats, normals: Floats, colors: Floats, comment: str = "") -> list[bytes]:
        """Parts of the file. vertices (V, 3) in file axes, normals (V, 3) unit, colors (V, 3) in 0..1."""
        head = b"".join(b"# %s\n" % line.encode() for line in comment.splitlines())
        count = len(vertices)
        if not float(np.abs(vertices).max(initial=0.0)) < _LIMIT_MM:
            rows = np.concatenate([vertices, np.clip(colors, 0, 1)], axis=1).tolist()
            block = b"".join(b"v %.4f %.4f %.4f %.4f %.4f %.4f\n" % tuple(row) for row in rows)
        else:
            fixed = np.rint(vertices * np.float32(10_000)).astype(np.int32)
            whole, fraction = np.divmod(np.abs(fixed), 10_000)
            tokens = self._whole[whole + 10_000 * (fixed < 0)]
            decimals = self._fraction[fraction]
            shades = self._unit[np.rint(np.clip(colors, 0, 1) * 10_000).astype(np.int32) + 10_000]
            lines = np.empty(count, self._vertex_line)
            lines["v"], lines["end"] = b"v", b"\n"
            for i in range(3):
                lines[f"w{i}"], lines[f"f{i}"], lines[f"c{i}"] = tokens[:, i], decimals[:, i], shades[:, i]
            block = lines.tobytes()
        lines = np.empty(count, self._normal_line)
        lines["vn"], lines["end"] = b"vn", b"\n"
        directions = self._unit[np.rint(np.clip(normals, -1, 1) * 10_000).astype(np.int32) + 10_000]
        for i in range(3):
            lines[f"n{i}"] = directions[:, i]
        return [head, block, lines.tobytes(), self._tail]


class PlyWriter:
    """Formats binary little-endian PLY files of one topology; normals, 8-bit colours, and visibility per vertex.

    triangles (F, 3) int; uv (V, 2) or None, v down, written as the properties ``s`` and ``t`` = 1 − v.
    """

    def __init__(self, triangles: Ints, uv: Floats | None = None) -> None:
        faces = np.empty(len(triangles), np.dtype([("count", "u1"), ("corners", "<i4", (3,))]))
        faces["count"], faces["corners"] = 3, triangles
        self._tail = faces.tobytes()
        names = ["x", "y", "z", "nx", "ny", "nz"]
        self._uv = None if uv is None else np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1).astype(np.float32)
        names += [] if uv is None else ["s", "t"]
        self._columns = len(names) + 1
        properties = [f"property float {n}" for n in [*names, "visibility"]]
        properties += [f"property uchar {n}" for n in ("red", "green", "blue")]
        self._dtype = np.dtype([("floats", "<f4", (self._columns,)), ("rgb", "u1", (3,))])
        self._properties = "\n".join(properties)
        self._faces = len(triangles)

    def format(self, vertices: Floats, normals: Floats, colors: Floats, visibility: Floats,
               comment: str = "") -> list[bytes]:
        """Parts of the file. vertices (V, 3) in file axes, normals (V, 3) unit, colors (V, 3) 0..1, visibility (V,)."""
        comments = "".join(f"comment {line}\n" for line in comment.splitlines())
        head = (f"ply\nformat binary_little_endian 1.0\n{comments}element vertex {len(vertices)}\n{self._properties}\n"
                f"element face {self._faces}\nproperty list uchar int vertex_indices\nend_header\n").encode()
        rows = np.empty(len(vertices), self._dtype)
        floats = rows["floats"]
        floats[:, 0:3], floats[:, 3:6], floats[:, -1] = vertices, normals, visibility
        if self._uv is not None:
            floats[:, 6:8] = self._uv
        rows["rgb"] = (np.clip(colors, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
        return [head, rows.tobytes(), self._tail]


class MeshSequenceSink:
    """Writes ``FOLDER/face{id}/frame_{index:06d}.obj`` (or ``.ply``) for every face of every frame.

    folder: made when missing. space: ``head`` = as the model (origin in the head), ``camera`` = turned by the pose and
    moved to where the face is in the picture, in mm at the face's own scale, origin at the picture's centre. In both
    axes are y up and z towards the viewer. uv: (V, 2) texture coordinates with v down, or None. claim: called with
    each path before it is written (:meth:`rtface.io.RunFolder.claim`). Faces that are absent get no file.

    Each file appears under its name only when it is whole. Raises :class:`rtface.errors.OutputError` when the disk
    refuses, :class:`InputError` for a result without a mesh, another topology or values that are not finite.
    """

    needs_mesh: Final = True

    def __init__(self, folder: str | os.PathLike[str], kind: MeshKind, *, space: MeshSpace = "head",
                 uv: Floats | None = None, claim: Callable[[Path], None] | None = None) -> None:
        if kind not in ("obj", "ply"):
            raise InputError(f"MeshSequenceSink: got kind {kind!r}, expected 'obj' or 'ply'")
        if space not in ("head", "camera"):
            raise InputError(f"MeshSequenceSink: got space {space!r}, expected 'head' or 'camera'")
        self._folder = check_output_folder(folder)
        self._kind, self._space, self._uv, self._claim = kind, space, uv, claim
        self._obj: ObjWriter | None = None
        self._ply: PlyWriter | None = None
        self._triangles: Ints | None = None
        self._folders: set[int] = set()
        self._written: list[Path] = []

    def write(self, result: FrameResult) -> None:
        """Write one file per face that is present."""
        mesh = result.mesh
        if not len(result.tracks):
            return
        if mesh is None:
            raise InputError(f"frame {result.frame.index}: got a result without a mesh, expected one for {self._kind} "
                             "files; make the pipeline with meshes")
        self._check_topology(mesh.triangles, mesh.vertices.shape[1])
        vertices, normals = mesh.vertices, mesh.normals
        if self._space == "camera":
            vertices, normals = _in_camera(result)
        vertices, normals = file_axes(vertices), file_axes(normals)
        for n, (face_id, status) in enumerate(zip(result.tracks.ids.tolist(), result.status, strict=True)):
            if status is FaceStatus.ABSENT:
                continue
            if not (np.isfinite(vertices[n]).all() and np.isfinite(normals[n]).all()):
                raise InputError(f"frame {result.frame.index}, face {face_id}: got mesh values that are not finite, "
                                 "expected numbers; mark the face as absent instead")
            comment = f"rtface frame {result.frame.index} pts_s {result.frame.pts_s:.6f} face {face_id} {status}"
            if self._obj is not None:
                parts = self._obj.format(vertices[n], normals[n], mesh.colors[n], comment)
            else:
                assert self._ply is not None  # made by _check_topology
                parts = self._ply.format(vertices[n], normals[n], mesh.colors[n], mesh.visibility[n], comment)
            path = self._path(face_id, result.frame.index)
            if self._claim is not None:
                self._claim(path)
            write_atomic(path, *parts)
            self._written.append(path)

    def _path(self, face_id: int, index: int) -> Path:
        folder = self._folder / f"face{face_id}"
        if face_id not in self._folders:
            with output_errors(folder):
                folder.mkdir(exist_ok=True)
            self._folders.add(face_id)
        return folder / f"frame_{index:06d}.{self._kind}"

    def _check_topology(self, triangles: Ints, vertex_count: int) -> None:
        if self._triangles is None:
            if self._uv is not None and len(self._uv) != vertex_count:
                raise InputError(f"uv: got {len(self._uv)} rows, expected {vertex_count}, one per vertex")
            self._triangles, self._vertex_count = triangles, vertex_count
            if self._kind == "obj":
                self._obj = ObjWriter(triangles, self._uv)
            else:
                self._ply = PlyWriter(triangles, self._uv)
        elif vertex_count != self._vertex_count or (triangles is not self._triangles
                                                    and not np.array_equal(triangles, self._triangles)):
            raise InputError(f"mesh: got {vertex_count} vertices or other triangles than before, expected the same "
                             "topology in all frames")

    def finish(self) -> list[Path]:
        """All files written by this sink, in order; they are final already."""
        return list(self._written)

    def abort(self) -> None:
        """Nothing to remove: every file is whole, and a resumed run goes on from them."""


def _in_camera(result: FrameResult) -> tuple[Floats, Floats]:
    """Vertices (N, V, 3) mm and normals (N, V, 3) in camera axes; origin at the picture's centre."""
    assert result.mesh is not None
    c = result.coefficients
    turn = np.swapaxes(rotation_matrices(c.rotation), 1, 2)
    center = np.array([result.frame.width / 2, result.frame.height / 2], np.float32)
    vertices = np.matmul(result.mesh.vertices, turn)
    with np.errstate(divide="ignore", invalid="ignore"):  # absent faces may hold zeros or NaN
        vertices[..., :2] += ((c.translation - center) / c.scale[:, None])[:, None, :]
    return vertices, np.matmul(result.mesh.normals, turn)
