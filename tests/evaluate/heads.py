"""Files of scanned heads for tests: the basis' mean face as a stranger would store it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from rtface.evaluate.alignment import Similarity
from rtface.evaluate.scans import SEVEN, from_file_axes
from rtface.geometry import rotation_about
from rtface.morphable import MorphableModel
from tests.evaluate.packs import PackWriter

PLACE = Similarity(1.0, rotation_about(np.array([0.1, -0.2, 0.05])), np.array([30.0, -12.0, 80.0]))
"""Where scanners happen to put a head."""


def write_obj(path: Path, vertices: np.ndarray, triangles: np.ndarray, uv: np.ndarray | None = None) -> None:
    """vertices in file axes; uv as in the basis, v down."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in vertices.tolist()]
    if uv is not None:
        lines += [f"vt {u:.6f} {1 - v:.6f}" for u, v in uv.tolist()]
    corner = "{0}/{0}" if uv is not None else "{0}"
    lines += ["f " + " ".join(corner.format(k) for k in row) for row in (triangles + 1).tolist()]
    path.write_text("# a comment\n" + "\n".join(lines) + "\n")


def write_picked(path: Path, points: np.ndarray) -> None:
    """As MeshLab writes picked points."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f' <point x="{x}" y="{y}" z="{z}" name="{k}" active="1"/>' for k, (x, y, z) in enumerate(points.tolist())]
    path.write_text("<!DOCTYPE PickedPoints>\n<PickedPoints>\n <DocumentData>\n  <DataFileName name=\"scan.obj\"/>\n"
                    " </DocumentData>\n" + "\n".join(rows) + "\n</PickedPoints>\n")


def head(model: MorphableModel, mm_per_unit: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """The mean face's vertices and its 68 landmarks in file axes, somewhere in the scanner's space."""
    vertices = from_file_axes(PLACE.apply(model.mean)) / mm_per_unit
    return vertices, vertices[model.landmarks68]


def seven(landmarks: np.ndarray) -> np.ndarray:
    return landmarks[list(SEVEN)]


def pack_with_a_scan(folder: Path, model: MorphableModel, order: Sequence[int] = range(68)) -> Path:
    """A pack whose set ``james`` is a red mean face; its landmarks are stored so that row k is iBUG's ``order[k]``."""
    pack = PackWriter(folder)
    pack.add_set("james", "scans/james", task="scans", files=3, labelled=False)
    vertices, landmarks = head(model)
    write_obj(folder / "scans/james/james.obj", vertices, model.triangles, model.uv)
    done, texture = cv2.imencode(".png", np.full((8, 8, 3), (0, 0, 255), np.uint8))
    assert done
    (folder / "scans/james/james.png").write_bytes(texture.tobytes())
    (folder / "scans/james/landmarks68.json").write_text(json.dumps({"points3d": landmarks[list(order)].tolist()}))
    for path in sorted((folder / "scans/james").iterdir()):
        data = path.read_bytes()
        pack.items.append({"path": f"scans/james/{path.name}", "set": "james", "rights": "free", "bytes": len(data),
                           "sha256": hashlib.sha256(data).hexdigest()[:16]})
    return pack.write()
