"""Chooses the parts of the base mesh, orders vertices and quads, and finds contours, regions and the UV map."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components, dijkstra

from rtface.synth.basis_sources import Sources

Array = NDArray[Any]
FACTS: Final = Path(__file__).with_name("hm08.json")
PARTS: Final = ("face", "context", "socket", "cavity", "teeth_upper", "teeth_lower", "tongue")
CHEST_Y, CHEST_X = 5.0, 1.75
"""The context ends below this height and beyond this half width (dm, base mesh)."""


@dataclass(frozen=True)
class Layout:
    """Vertices of the basis (base indices, face patch first) and its quads by part."""

    vertices: Array
    quads: Array
    quad_part: Array
    mirror: Array
    facts: dict[str, Any]
    positions: Array
    """(V, 3) dm, neutral base mesh."""

    def local(self, base: Any) -> Array:
        """Base indices → indices of this layout."""
        table = np.full(19158, -1)
        table[self.vertices] = np.arange(len(self.vertices))
        out = table[np.asarray(base)]
        assert (out >= 0).all()
        return out


def make_layout(sources: Sources) -> Layout:
    """Order: face patch, rest of the skin (context, sockets, mouth cavity), teeth, tongue."""
    facts: dict[str, Any] = json.loads(FACTS.read_text())
    positions, groups = sources.mesh
    body = groups["body"]
    patch = np.array(facts["patch_vertices"])
    in_patch = np.zeros(len(positions), bool)
    in_patch[patch] = True
    part_of_quad = _body_parts(body, in_patch, positions)
    helpers = [("helper-upper-teeth", 4), ("helper-lower-teeth", 5), ("helper-tongue", 6)]
    quads = np.concatenate([body[part_of_quad >= 0], *[groups[name] for name, _ in helpers]])
    part = np.concatenate([part_of_quad[part_of_quad >= 0], *[np.full(len(groups[n]), k) for n, k in helpers]])
    order = np.argsort(part, kind="stable")
    quads, part = quads[order], part[order].astype(np.uint8)
    rest: list[int] = []
    for k in range(1, len(PARTS)):
        known = set(rest)
        rest += sorted(i for i in {int(i) for i in quads[part == k].ravel()} - known if not in_patch[i])
    vertices = np.concatenate([patch, np.array(rest)])
    table = np.full(len(positions), -1)
    table[vertices] = np.arange(len(vertices))
    mirror = table[sources.mirror[vertices]]
    assert (mirror >= 0).all() and (mirror[mirror] == np.arange(len(mirror))).all()
    return Layout(vertices, table[quads].astype(np.int32), part, mirror, facts, positions[vertices])


def _body_parts(body: Array, in_patch: Array, positions: Array) -> Array:
    """Part of each body quad: 0 face, 1 context, 2 socket, 3 cavity, −1 not used."""
    count = int(body.max()) + 1
    pairs = np.stack([body, np.roll(body, -1, axis=1)], axis=-1).reshape(-1, 2)
    free = ~in_patch[pairs].any(axis=1)
    graph = sparse.coo_matrix((np.ones(free.sum()), tuple(pairs[free].T)), shape=(count, count))
    _, label = connected_components(graph, directed=False)
    sizes = np.bincount(label[~in_patch[:count]], minlength=label.max() + 1)
    outer = int(sizes.argmax())
    kind_of_label = np.full(label.max() + 1, 3)
    kind_of_label[outer] = 1
    for k in np.flatnonzero(sizes > 1):
        center = positions[:count][label == k].mean(axis=0)
        if k != outer and abs(center[0]) > 0.1:
            kind_of_label[k] = 2
    part = np.zeros(len(body), int)
    for corner in body.T:
        outside = ~in_patch[corner]
        part[outside] = kind_of_label[label[corner[outside]]]
    low = positions[body][..., 1].min(axis=1) < CHEST_Y
    wide = np.abs(positions[body][..., 0]).max(axis=1) > CHEST_X
    part[(part == 1) & (low | wide)] = -1
    return part


def edge_graph(layout: Layout, count: int) -> sparse.csr_matrix:
    """Symmetric graph of mesh edges among the first ``count`` vertices, weighted by length (dm)."""
    quads = layout.quads[layout.quad_part == 0]
    pairs = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    length = np.linalg.norm(layout.positions[pairs[:, 0]] - layout.positions[pairs[:, 1]], axis=1)
    graph = sparse.coo_matrix((length, tuple(pairs.T)), shape=(count, count))
    return (graph + graph.T).tocsr()


def _path(graph: sparse.csr_matrix, stops: Array) -> list[int]:
    """Shortest edge path through the stops."""
    path = [int(stops[0])]
    for start, end in zip(stops[:-1], stops[1:], strict=True):
        _, previous = dijkstra(graph, indices=int(start), return_predecessors=True)
        leg = [int(end)]
        while leg[-1] != start:
            leg.append(int(previous[leg[-1]]))
        path += leg[::-1][1:]
    return path


def contours(layout: Layout) -> dict[str, list[int]]:
    """Named ordered vertex lists; neighbours are joined by mesh edges, closed ones repeat their first vertex."""
    marks = layout.local(layout.facts["landmarks68"])
    graph = edge_graph(layout, len(layout.facts["patch_vertices"]))
    out = {"face_outline": _path(graph, marks[0:17]), "brow_right": _path(graph, marks[17:22]),
           "nose_bridge": _path(graph, marks[27:31]), "nose_wings": _path(graph, marks[31:36])}
    mirrored = layout.mirror[out["brow_right"]][::-1]
    out["brow_left"] = [int(i) for i in mirrored]
    for name, key in (("eyelid_right", "right_eyelid_loop"), ("eyelid_left", "left_eyelid_loop"),
                      ("lip_outer", "outer_lip_loop"), ("lip_inner", "inner_lip_loop")):
        loop = [int(i) for i in layout.local(layout.facts[key])]
        neighbours = graph[loop[0]].indices
        assert all(b in graph[a].indices for a, b in zip(loop, loop[1:], strict=False)), name
        assert loop[-1] in neighbours, name
        out[name] = [*loop, loop[0]]
    return out


def lid_skin(layout: Layout, side: str) -> Array:
    """Vertices of the lid's margin and outer skin, without the rim that turns inwards under the margin."""
    n = len(layout.facts["patch_vertices"])
    loop = layout.local(layout.facts[f"{side}_eyelid_loop"])
    graph = edge_graph(layout, n).tolil()
    graph[loop] = 0
    graph[:, loop] = 0
    _, label = connected_components(graph.tocsr(), directed=False)
    outside = label == np.bincount(label).argmax()
    name = layout.facts["region_names"].index(f"{side[0]}_eye")
    lid = (np.array(layout.facts["patch_regions"]) == name) & outside
    return np.union1d(loop, np.flatnonzero(lid))


REGION_NAMES: Final = ("forehead", "brow_right", "brow_left", "eye_right", "eye_left", "nose", "cheek_right",
                       "cheek_left", "upper_lip", "lower_lip", "inner_mouth", "jaw", "ear_right", "ear_left",
                       "neck", "scalp")


def regions(layout: Layout) -> Array:
    """(patch,) uint8 labels of :data:`REGION_NAMES` at L0: the stored labels, bare skin split by position."""
    facts = layout.facts
    n = len(facts["patch_vertices"])
    names = facts["region_names"]
    old = np.array([names[k] for k in facts["patch_regions"]])
    rename = {"r_brow": "brow_right", "l_brow": "brow_left", "r_eye": "eye_right", "l_eye": "eye_left",
              "r_ear": "ear_right", "l_ear": "ear_left"}
    p = layout.positions[:n]
    marks = p[layout.local(facts["landmarks68"])]
    brow_y = marks[17:27, 1].mean()
    mouth_x, nose_y, mouth_y = marks[54, 0], marks[33, 1], marks[48, 1]
    out = np.empty(n, np.uint8)
    for i in range(n):
        name = rename.get(str(old[i]), str(old[i]))
        if name == "skin":
            x, y = abs(p[i, 0]), p[i, 1]
            if y > brow_y - 0.02 or (y > brow_y - 0.06 and x < 0.14):
                name = "forehead"
            elif y < mouth_y or (y < nose_y and x < mouth_x * 1.15):
                name = "jaw"
            else:
                name = "cheek_right" if p[i, 0] < 0 else "cheek_left"
        out[i] = REGION_NAMES.index(name)
    return out


def loops(edges: Array) -> list[list[int]]:
    """Closed vertex loops formed by border edges (B, 2)."""
    near: dict[int, list[int]] = defaultdict(list)
    for a, b in edges.tolist():
        near[a].append(b)
        near[b].append(a)
    out, left = [], set(near)
    while left:
        start = min(left)
        loop, previous, here = [start], -1, start
        while True:
            following = [v for v in near[here] if v != previous]
            previous, here = here, following[0]
            if here == start:
                break
            loop.append(here)
        left -= set(loop)
        out.append(loop)
    return sorted(out, key=len, reverse=True)
