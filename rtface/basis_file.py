"""Reads basis.npz and basis.json and makes the meshes of both levels from the stored level 0."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from rtface.errors import ModelFileError
from rtface.subdivision import Topology, triangulate

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]
Array = NDArray[Any]
Level = Literal[0, 1]

BASIS_ID: Final = "rtface-1"
BASIS_FORMAT: Final = 1
REBUILD: Final = "rebuild it with: python -m rtface.synth.basis"
ARRAYS: Final = ("mean", "identity", "expression", "quads", "quad_part", "landmarks68", "uv", "regions",
                 "vertex_fields", "eye_vertices", "eye_triangles", "eye_kinds", "eye_center_mean", "eye_center_basis",
                 "expression_min", "expression_max", "identity_samples", "albedo_mean", "albedo")


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """One or several parts of the surface at one level."""

    mean: FloatArray
    """(V, 3) mm."""
    bases: FloatArray
    """(V, 3, 144): identity, then expression."""
    triangles: IntArray
    """(F, 3)."""
    fields: FloatArray
    """(V, 2) mm inside the scalp and inside the clothes (negative outside)."""
    part_labels: NDArray[np.uint8]
    """(V,) which of the requested parts each vertex belongs to."""
    face_vertices: IntArray
    """(V,) the same vertex in the face, or −1."""


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """How the vertices of a piece come out of the level-0 surface."""

    rows: IntArray
    """(R,) L0 vertices that take part."""
    topology: Topology | None
    """Quads among the rows, None at level 0."""
    kept: IntArray
    """(V,) rows of the refined mesh that the piece keeps."""
    quads: IntArray
    """(Q, 4) quads of the piece."""
    ids: IntArray
    """(V,) numbers on the whole surface: L0 vertices, then count + edge, then count + edges + quad."""
    parents: IntArray
    """(V, 4) L0 vertices that each vertex lies between (repeated where there are fewer)."""


class BasisFile:
    """The stored arrays at level 0, and what is made from them."""

    def __init__(self, arrays: Mapping[str, Array], info: Mapping[str, Any]) -> None:
        self.arrays, self.info = arrays, info
        self.quads: IntArray = arrays["quads"].astype(np.int32)
        self.quad_part: Array = arrays["quad_part"]
        self.count = len(arrays["mean"])

    @classmethod
    def read(cls, path: Path) -> BasisFile:
        """Read ``path`` and the .json beside it; ModelFileError tells what is wrong with them."""
        beside = path.with_suffix(".json")
        try:
            info = json.loads(beside.read_text(encoding="utf-8"))
            raw = path.read_bytes()
        except OSError as exc:
            raise ModelFileError(f"{exc.filename}: got {exc.strerror}, expected a basis; {REBUILD}") from exc
        except ValueError as exc:
            raise ModelFileError(f"{beside}: got text that is no JSON, expected a basis' description; "
                                 f"{REBUILD}") from exc
        got = (info.get("id"), info.get("format")) if isinstance(info, dict) else None
        if got != (BASIS_ID, BASIS_FORMAT):
            raise ModelFileError(f"{beside}: got basis {got}, expected {(BASIS_ID, BASIS_FORMAT)}; {REBUILD}")
        if hashlib.sha256(raw).hexdigest() != info.get("sha256"):
            raise ModelFileError(f"{path}: got contents that differ from the sha256 in {beside.name}, expected the "
                                 f"file written with it; {REBUILD}")
        try:
            with np.load(io.BytesIO(raw), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except (OSError, ValueError, zipfile.BadZipFile) as exc:
            raise ModelFileError(f"{path}: got {exc}, expected an .npz of plain arrays; {REBUILD}") from exc
        if missing := [name for name in ARRAYS if name not in arrays]:
            raise ModelFileError(f"{path}: got no array {', '.join(missing)}, expected {', '.join(ARRAYS)}; {REBUILD}")
        return cls(arrays, info)

    def piece(self, level: Level, names: tuple[str, ...]) -> Piece:
        """The named parts of the surface as one mesh."""
        parts = [self.info["part_names"].index(n) for n in names]
        plan = self._plan(level, parts)
        values = self._values(plan.rows)
        if plan.topology is not None:
            values = plan.topology.refine(values, plan.kept)
        labels = np.zeros(len(plan.ids), np.uint8)
        quad_parts = self.quad_part[np.isin(self.quad_part, parts)]
        labels[plan.quads] = np.searchsorted(parts, quad_parts).repeat(4 ** level)[:, None]
        face = plan if names == ("face",) else self._plan(level, [0])
        twin = np.searchsorted(face.ids, plan.ids).clip(max=len(face.ids) - 1)
        twin = np.where(face.ids[twin] == plan.ids, twin, -1).astype(np.int32)
        fields = self.arrays["vertex_fields"].astype(np.float32)[plan.parents].mean(axis=1)
        return Piece(np.ascontiguousarray(values[..., 144]), np.ascontiguousarray(values[..., :144]),
                     triangulate(plan.quads), fields, labels, twin)

    def contours(self, level: Level) -> dict[str, IntArray]:
        """Named vertex lists of the face; level 1 has the edge points in between."""
        lists = {name: np.array(c, np.int64) for name, c in self.info["contours"].items()}
        if level == 0:
            return {name: c.astype(np.int32) for name, c in lists.items()}
        ids = self._plan(level, [0]).ids
        out = {}
        for name, c in lists.items():
            key = np.minimum(c[:-1], c[1:]) * self.count + np.maximum(c[:-1], c[1:])
            full = np.empty(2 * len(c) - 1, np.int64)
            full[::2], full[1::2] = c, self.count + np.searchsorted(self._edge_keys, key)
            out[name] = np.searchsorted(ids, full).astype(np.int32)
        return out

    def _values(self, rows: Array) -> FloatArray:
        """(R, 3, 145) float32: identity, expression and mean of L0 vertices side by side."""
        out = np.empty((len(rows), 3, 145), np.float32)
        out[:, :, :80] = self.arrays["identity"][rows]
        out[:, :, 80:144] = self.arrays["expression"][rows]
        out[:, :, 144] = self.arrays["mean"][rows]
        return out

    def _plan(self, level: Level, parts: list[int]) -> _Plan:
        wanted = np.isin(self.quad_part, parts)
        if level == 0:
            ids = np.unique(self.quads[wanted])
            return _Plan(ids, None, np.arange(len(ids), dtype=np.int32),
                         np.searchsorted(ids, self.quads[wanted]).astype(np.int32), ids, ids[:, None].repeat(4, axis=1))
        inside = np.zeros(self.count, bool)
        inside[self.quads[wanted].ravel()] = True
        near = inside[self.quads].any(axis=1)  # the piece and the ring of quads that its stencils reach
        rows = np.unique(self.quads[near])
        topology = Topology.from_quads(np.searchsorted(rows, self.quads[near]).astype(np.int32), len(rows))
        quads = topology.refined_quads(np.flatnonzero(wanted[near]))
        kept = np.unique(quads)
        low, high = rows[topology.edges].T
        edge_ids = self.count + np.searchsorted(self._edge_keys, low.astype(np.int64) * self.count + high)
        face_ids = self.count + len(self._edge_keys) + np.flatnonzero(near)
        ids = np.concatenate([rows, edge_ids, face_ids])[kept]
        pairs = np.stack([low, high], axis=1)
        parents = np.concatenate([rows[:, None].repeat(4, axis=1), np.tile(pairs, 2), self.quads[near]])[kept]
        return _Plan(rows, topology, kept, np.searchsorted(kept, quads).astype(np.int32), ids, parents)

    @cached_property
    def _edge_keys(self) -> Array:
        """Sorted keys low · count + high of all edges of the surface."""
        pairs = np.stack([self.quads, np.roll(self.quads, -1, axis=1)], axis=-1).reshape(-1, 2)
        return np.unique(pairs.min(axis=1).astype(np.int64) * self.count + pairs.max(axis=1))
