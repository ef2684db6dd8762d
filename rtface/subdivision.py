"""One Catmull-Clark step as a linear operator on quad meshes (NumPy).

Level 0 (L0) is the mesh as modelled, level 1 (L1) the result of one step. L1 vertices are ordered
[one vertex point per L0 vertex, same index | one edge point per edge | one face point per quad], so indices of
L0 vertices stay valid. The step is linear in the positions, so it applies to means and basis vectors alike.
Borders use the usual rules (edge point = midpoint; vertex point = 3/4 vertex + 1/8 of each border neighbour).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int32]
Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Topology:
    """Edges of a quad mesh; makes the L1 positions and the L1 quads."""

    quads: IntArray
    """(Q, 4) int32, counter-clockwise seen from outside."""
    edges: IntArray
    """(E, 2) int32, low index first, in lexicographic order."""
    edge_quads: IntArray
    """(E, 2) int32, quads on both sides; -1 on a border."""
    quad_edges: IntArray
    """(Q, 4) int32, edge k joins corners k and k + 1."""
    vertex_count: int

    @classmethod
    def from_quads(cls, quads: IntArray, vertex_count: int) -> Topology:
        """Find the edges of quads (Q, 4); at most two quads may share an edge."""
        quads = np.ascontiguousarray(quads, np.int32)
        if quads.ndim != 2 or quads.shape[1] != 4:
            raise ValueError(f"quads: got shape {quads.shape}, expected (Q, 4)")
        pairs = np.sort(np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
        keys = pairs[:, 0].astype(np.int64) * vertex_count + pairs[:, 1]
        order = np.argsort(keys, kind="stable")
        first = np.ones(len(keys), bool)
        first[1:] = np.diff(keys[order]) != 0
        rank = np.cumsum(first) - 1
        starts = np.flatnonzero(first)
        counts = np.diff(np.append(starts, len(keys)))
        if counts.size and counts.max() > 2:
            raise ValueError(f"quads: got an edge with {counts.max()} quads, expected at most 2")
        quad_edges = np.empty(len(keys), np.int32)
        quad_edges[order] = rank
        edge_quads = np.full((len(starts), 2), -1, np.int32)
        edge_quads[:, 0] = order[starts] // 4
        two = counts == 2
        edge_quads[two, 1] = order[starts[two] + 1] // 4
        return cls(quads, pairs[order[starts]].astype(np.int32), edge_quads, quad_edges.reshape(-1, 4),
                   vertex_count)

    @property
    def refined_count(self) -> int:
        """Number of L1 vertices."""
        return self.vertex_count + len(self.edges) + len(self.quads)

    def refined_quads(self, select: Array | None = None) -> IntArray:
        """L1 quads (4 per L0 quad, same winding), of all quads or of the selected ones."""
        chosen = np.arange(len(self.quads)) if select is None else np.asarray(select)
        corner = self.quads[chosen]
        edge = self.quad_edges[chosen] + self.vertex_count
        face = (chosen + self.vertex_count + len(self.edges))[:, None].repeat(4, axis=1)
        return np.stack([corner, edge, face, np.roll(edge, 1, axis=1)], axis=-1).reshape(-1, 4).astype(np.int32)

    def refine(self, values: Array, select: Array | None = None) -> Array:
        """Apply the step to values (V, ...) → (V + E + Q, ...), or its selected rows; same floating dtype."""
        values = np.asarray(values)
        flat = values.reshape(len(values), -1)
        face = flat[self.quads[:, 0]]
        for corner in range(1, 4):
            face = face + flat[self.quads[:, corner]]
        face *= face.dtype.type(0.25)
        middle = flat[self.edges[:, 0]] + flat[self.edges[:, 1]]
        middle *= middle.dtype.type(0.5)
        inner = self.edge_quads[:, 1] >= 0
        edge = middle.copy()
        edge[inner] += (face[self.edge_quads[inner, 0]] + face[self.edge_quads[inner, 1]]) * face.dtype.type(0.5)
        edge[inner] *= edge.dtype.type(0.5)
        vertex = self._vertex_points(flat, face, middle, inner)
        fine = np.concatenate([vertex, edge, face])
        return (fine if select is None else fine[select]).reshape(-1, *values.shape[1:])

    def _vertex_points(self, flat: Array, face: Array, middle: Array, inner: NDArray[np.bool_]) -> Array:
        """(F + 2R + (n − 3)P) / n inside, (6P + A + B) / 8 on borders, unchanged where no quad touches."""
        one = flat.dtype.type
        face_table, valence = _table(self.quads.ravel(), np.repeat(np.arange(len(self.quads)), 4),
                                     self.vertex_count)
        edge_table, edge_valence = _table(self.edges.ravel(), np.repeat(np.arange(len(self.edges)), 2),
                                          self.vertex_count)
        border_edges = self.edges[~inner]
        border = np.zeros(self.vertex_count, bool)
        border[border_edges.ravel()] = True
        regular = ~border & (valence > 0)
        total = _gather_sum(face, face_table[regular])
        total += one(2) * _gather_sum(middle, edge_table[regular])
        n = valence[regular].astype(flat.dtype)[:, None]
        if np.any(edge_valence[regular] != valence[regular]):
            raise ValueError("quads: got a vertex where two surfaces touch, expected a manifold")
        out = flat.copy()
        out[regular] = (total / n + (n - 3) * flat[regular]) / n
        if border.any():
            table, _ = _table(border_edges.ravel(), np.repeat(np.arange(len(border_edges)), 2), self.vertex_count)
            neighbours = _gather_sum(middle[~inner], table[border])
            out[border] = one(0.5) * flat[border] + one(0.25) * neighbours
        return out


def _table(owners: Array, items: Array, count: int) -> tuple[IntArray, IntArray]:
    """Items of each owner as a padded (count, max) table (-1 = none), and the number of items per owner."""
    order = np.argsort(owners, kind="stable")
    number = np.bincount(owners, minlength=count)
    starts = np.concatenate([[0], np.cumsum(number)[:-1]])
    table = np.full((count, max(int(number.max(initial=0)), 1)), -1, np.int32)
    sorted_owners = owners[order]
    table[sorted_owners, np.arange(len(owners)) - starts[sorted_owners]] = items[order]
    return table, number.astype(np.int32)


def _gather_sum(rows: Array, table: IntArray) -> Array:
    """Sum of rows[table[i, k]] over the filled k."""
    total = np.zeros((len(table), rows.shape[1]), rows.dtype)
    for column in table.T:
        used = column >= 0
        if used.all():
            total += rows[column]
        elif used.any():
            total[used] += rows[column[used]]
    return total


def triangulate(quads: IntArray) -> IntArray:
    """(Q, 4) quads → (2Q, 3) triangles, same winding."""
    both = np.stack([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], axis=1).reshape(-1, 3)
    return np.ascontiguousarray(both, np.int32)
