"""Faces whose surface was measured: meshes from files with landmarks, the part that is compared, and its regions.

Scans are kept in millimetres and in rtface's axes (x right in the picture, y down, z away); files have y up and z
towards the viewer. Where a scan has no regions of its own, the basis' mean face is bent onto its landmarks, and every
point of the scan takes the region of the nearest place there: no system that is measured has a say in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.evaluate.alignment import Similarity, bend, fit_similarity
from rtface.evaluate.surface import Surface
from rtface.morphable import MorphableModel

Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]

SEVEN: Final = (36, 39, 42, 45, 33, 48, 54)
"""Corners of the eyes from the right eye's outer one on, below the nose, corners of the mouth: the points, in this
order, that the benchmarks NoW and REALY align by; rows of the 68."""
REGIONS: Final = ("nose", "mouth", "forehead", "cheeks")
"""As in REALY: the mouth is the lips, the forehead includes brows and eyes, the cheeks include jaw and chin."""
REGION_OF: Final[Mapping[str, str]] = {
    "nose": "nose", "upper_lip": "mouth", "lower_lip": "mouth", "inner_mouth": "mouth", "forehead": "forehead",
    "brow": "forehead", "eye": "forehead", "cheek": "cheeks", "jaw": "cheeks"}
"""Regions of the basis by name; ears, neck and scalp belong to none."""


class Mesh(NamedTuple):
    """Vertices and triangles as a file has them."""

    vertices: Doubles
    """(V, 3)."""
    triangles: Ints
    """(F, 3) int32; polygons are cut into fans."""
    uv: Doubles | None
    """(T, 2), u right and v down; None without texture coordinates."""
    uv_triangles: Ints | None
    """(F, 3) rows of ``uv``."""


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """A measured face."""

    name: str
    vertices: Doubles
    """(V, 3) mm, rtface's axes, in any place and pose."""
    triangles: Ints
    """(F, 3)."""
    landmarks: Doubles
    """(7, 3) mm: the points of :data:`SEVEN`."""
    measured: NDArray[np.intp]
    """(P,) rows of the vertices that are compared."""
    regions: Mapping[str, NDArray[np.bool_]]
    """(P,) per name of :data:`REGIONS`."""

    @property
    def points(self) -> Doubles:
        """(P, 3) what is compared."""
        points: Doubles = self.vertices[self.measured]
        return points


def make_scan(name: str, vertices: Doubles, triangles: Ints, landmarks: Doubles, templates: Templates,
              all_landmarks: Doubles | None = None) -> Scan:
    """A scan with the face part cut out as NoW does it, and regions from the basis.

    vertices (V, 3), landmarks (7, 3) mm. all_landmarks: iBUG's (68, 3), where known, bend the basis more exactly.
    InputError where nothing is left to compare.
    """
    measured = np.flatnonzero(face_part(vertices, landmarks))
    if len(measured) < 100:
        raise InputError(f"{name}: got {len(measured)} points of the scan around its nose, expected at least 100; "
                         f"check that landmarks and scan have the same unit and origin")
    return Scan(name, vertices, triangles, landmarks, measured,
                templates.regions(vertices[measured], landmarks if all_landmarks is None else all_landmarks))


def face_part(vertices: Doubles, landmarks: Doubles) -> NDArray[np.bool_]:
    """(V,) True within the ball that the benchmark NoW compares (Sanyal et al., CVPR 2019; its public scorer).

    landmarks (7, 3). The centre lies 0.3 of the way from below the nose to between the inner eye corners; the radius
    is 0.7 times the sum of that way and the distance of the outer eye corners.
    """
    outer_right, inner_right, inner_left, outer_left, below_nose = landmarks[:5]
    bridge = (inner_right + inner_left) / 2
    center = below_nose + 0.3 * (bridge - below_nose)
    radius = 0.7 * (np.linalg.norm(outer_right - outer_left) + np.linalg.norm(bridge - below_nose))
    return np.asarray(np.linalg.norm(vertices - center, axis=1) <= radius)


class Templates:
    """The basis' mean face, to carry its regions and colours to other meshes."""

    def __init__(self, model: MorphableModel) -> None:
        self.model = model
        self._landmarks = model.mean[model.landmarks68].astype(np.float64)
        names = [REGION_OF.get(name.removesuffix("_right").removesuffix("_left"), "") for name in model.region_names]
        self.region_of_vertex = np.array([REGIONS.index(n) if n else -1 for n in names])[model.regions]
        """(V,) index into :data:`REGIONS`, −1 elsewhere."""

    def bent(self, landmarks: Doubles) -> Doubles:
        """(V, 3) the mean face on (68, 3) or (7, 3) landmarks, the jaw's left out: every set puts them elsewhere."""
        mine, landmarks = ((self._landmarks[17:], landmarks[17:]) if len(landmarks) == len(self._landmarks)
                           else (self._landmarks[list(SEVEN)], landmarks))
        start = fit_similarity(mine, landmarks)
        return bend(start.apply(self.model.mean), start.apply(mine), landmarks)

    def nearest_vertices(self, points: Doubles, landmarks: Doubles) -> NDArray[np.intp]:
        """(P,) the basis' vertex that stands for each point (P, 3)."""
        bent, triangles = self.bent(landmarks), self.model.triangles
        found = Surface(bent, triangles).nearest(points)
        corners = triangles[found.triangle]
        nearest = np.linalg.norm(bent[corners] - found.point[:, None], axis=2).argmin(axis=1)
        return np.asarray(corners[np.arange(len(corners)), nearest], np.intp)

    def regions(self, points: Doubles, landmarks: Doubles) -> dict[str, NDArray[np.bool_]]:
        """(P,) per region for points (P, 3)."""
        return masks(self.region_of_vertex[self.nearest_vertices(points, landmarks)])


def masks(numbers: NDArray[Any]) -> dict[str, NDArray[np.bool_]]:
    """(P,) indices into :data:`REGIONS` → a mask per region."""
    return {name: np.asarray(numbers == k) for k, name in enumerate(REGIONS)}


ORDERS: Final = (
    tuple(range(68)),
    (*range(17), *range(29, 34), *range(43, 48), *range(34, 43), *range(17, 29), *range(48, 68)))
"""Orders in which 68 points are stored: iBUG's own, and with the eyes before the brows and the nose between those (as
menpo's template groups sort them; the scan ``james`` has them so). Each lists the stored rows in iBUG's order."""
WRONG_ORDER_MM: Final = 15.0


def in_ibug_order(points: Doubles, model: MorphableModel) -> Doubles:
    """(68, 3) mm in any of :data:`ORDERS` → iBUG's order: the one in which they look like a face.

    InputError with another count, or where no order brings them within a mean distance of :data:`WRONG_ORDER_MM` of
    the basis' own.
    """
    if points.shape != (68, 3) or not np.isfinite(points).all():
        raise InputError(f"landmarks: got an array {points.shape}, expected (68, 3) finite numbers")
    mine = model.mean[model.landmarks68].astype(np.float64)

    def residual(order: tuple[int, ...]) -> float:
        rows = points[list(order)]
        return float(np.linalg.norm(fit_similarity(rows, mine, scaled=False).apply(rows) - mine, axis=1).mean())

    best = min(ORDERS, key=residual)
    if residual(best) > WRONG_ORDER_MM:
        raise InputError(f"landmarks: got 68 points that lie {residual(best):.0f} mm from a mean face's in every known "
                         f"order, expected iBUG's 68 in mm")
    return points[list(best)]


def frontal(landmarks: Doubles, model: MorphableModel) -> Similarity:
    """head_from_scan: the rigid motion that puts (7, 3) or (68, 3) landmarks where the basis has its own."""
    mine = model.mean[model.landmarks68].astype(np.float64)
    if len(landmarks) == len(mine):
        return fit_similarity(landmarks[17:], mine[17:], scaled=False)
    return fit_similarity(landmarks, mine[list(SEVEN)], scaled=False)


def read_obj(path: Path) -> Mesh:
    """A Wavefront OBJ's mesh, in the file's own unit and axes. InputError names the line that is wrong."""
    rows: dict[str, list[list[float]]] = {"v": [], "vt": []}
    corners: list[list[int]] = []
    textured: list[list[int]] = []
    read = 0
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                read += 1
                words = line.split()
                if not words:
                    continue
                if words[0] in rows:
                    rows[words[0]].append([float(word) for word in words[1:4 if words[0] == "v" else 3]])
                elif words[0] == "f":
                    parts = [word.split("/") for word in words[1:]]
                    _fan(corners, [int(part[0]) for part in parts], len(rows["v"]))
                    if all(len(part) > 1 and part[1] for part in parts):
                        _fan(textured, [int(part[1]) for part in parts], len(rows["vt"]))
        vertices = np.array(rows["v"], np.float64).reshape(-1, 3)
        uv = np.array(rows["vt"], np.float64).reshape(-1, 2)
    except OSError as exc:
        raise InputError(f"{path}: got {exc.strerror or exc}, expected an OBJ mesh") from exc
    except ValueError as exc:
        raise InputError(f"{path} line {read}: got {exc}, expected an OBJ mesh; copy it again") from exc
    triangles = np.array(corners, np.int32).reshape(-1, 3)
    if not len(vertices) or (len(triangles) and not 0 <= triangles.min() <= triangles.max() < len(vertices)):
        raise InputError(f"{path}: got {len(vertices)} vertices and {len(triangles)} triangles with numbers beyond "
                         f"them, expected an OBJ mesh; copy it again")
    uv_triangles = np.array(textured, np.int32).reshape(-1, 3)
    if len(uv_triangles) != len(triangles) or not len(uv) or uv_triangles.max() >= len(uv):
        return Mesh(vertices, triangles, None, None)
    return Mesh(vertices, triangles, uv * [1, -1] + [0, 1], uv_triangles)


def _fan(triangles: list[list[int]], polygon: list[int], count: int) -> None:
    """Cut a polygon of 1-based numbers (negative: from the end of ``count``) into triangles of 0-based ones."""
    rows = [number - 1 if number > 0 else count + number for number in polygon]
    triangles.extend([rows[0], rows[k], rows[k + 1]] for k in range(1, len(rows) - 1))


_COORDINATE: Final = {axis: re.compile(rf'\b{axis}="([^"]+)"') for axis in "xyz"}


def read_picked_points(path: Path, count: int = len(SEVEN)) -> Doubles:
    """(count, 3) the points of a MeshLab .pp file, in its order, unit and axes; InputError with another number."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as exc:
        raise InputError(f"{path}: got {exc.strerror or exc}, expected picked points") from exc
    points = []
    for tag in re.findall(r"<point\b[^>]*>", text):
        found = [_COORDINATE[axis].search(tag) for axis in "xyz"]
        try:
            points.append([float(match.group(1)) if match else float("nan") for match in found])
        except ValueError as exc:
            raise InputError(f"{path}: got the point {tag}, expected numbers x, y and z") from exc
    if len(points) != count or not np.isfinite(points).all():
        raise InputError(f"{path}: got {len(points)} points, expected {count} with finite x, y and z")
    return np.array(points, np.float64)


def from_file_axes(points: NDArray[Any], mm_per_unit: float = 1.0) -> Doubles:
    """(…, 3) with y up and z towards the viewer → rtface's axes, mm."""
    turned: Doubles = np.asarray(points, np.float64) * (np.array([1.0, -1.0, -1.0]) * mm_per_unit)
    return turned
