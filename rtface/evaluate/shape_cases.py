"""What the protocol ``shape`` measures on: pictures of faces whose surface is known, rendered from the pack's scans or
drawn by the face factory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError, MediaError
from rtface.evaluate.dataset import FREE, Pack, Problem, Sample, SampleSet, altered
from rtface.evaluate.portraits import PERSON_VIEWS, VIEWS, People, View, portray
from rtface.evaluate.scans import (
    SEVEN,
    Doubles,
    Mesh,
    Scan,
    Templates,
    face_part,
    from_file_axes,
    frontal,
    in_ibug_order,
    make_scan,
    masks,
    read_obj,
)
from rtface.geometry import FloatArray
from rtface.io import read_picture
from rtface.morphable import MorphableModel

SYNTHETIC: Final = "synthetic"
PEOPLE: Final = 12
LANDMARK_FILE: Final = "landmarks68.json"


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A picture of a face whose surface is known."""

    name: str
    person: str
    """Pictures of one person are not independent of each other."""
    group: str
    """View or condition, for reports."""
    pixels: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    scan: Scan
    neutral: bool = False
    """The scan has no expression, whatever the picture shows: only the identity is compared."""
    identity: FloatArray | None = None
    """(80,) the true coefficients, where the basis drew the face."""


def scan_cases(pack: Pack, name: str, found: SampleSet, templates: Templates) -> Iterator[Case]:
    """Every view of a scan of the pack: a set with an OBJ, its texture, and 68 points in ``landmarks68.json``.

    The scan is in about millimetres, with y up. What is missing, altered or unusable becomes a problem of ``found``,
    which holds the set's files and then its pictures.
    """
    files, found.samples = found.samples, ()
    for sample in files:
        if what := altered(sample):
            found.problems[sample.path] = Problem(sample.path, what)
    usable = {sample.file.name: sample for sample in files if sample.path not in found.problems}
    meshes = [sample for sample in usable.values() if sample.file.suffix.lower() == ".obj"]
    if len(meshes) != 1 or LANDMARK_FILE not in usable:
        found.problems[name] = Problem(name, f"got {len(meshes)} usable OBJ files and "
                                             f"{'a' if LANDMARK_FILE in usable else 'no'} usable {LANDMARK_FILE}, "
                                             f"expected one of each")
        return
    sample = meshes[0]
    try:
        mesh, texture = read_obj(sample.file), _texture(sample.file)
        landmarks = in_ibug_order(from_file_axes(_points(usable[LANDMARK_FILE].file)), templates.model)
        vertices = from_file_axes(mesh.vertices)
        scan = make_scan(name, vertices, mesh.triangles, landmarks[list(SEVEN)], templates, landmarks)
    except (InputError, MediaError) as exc:
        found.problems[sample.path] = Problem(sample.path, str(exc))
        return
    if mesh.uv is None:
        found.problems[sample.path] = Problem(sample.path, "scan without texture coordinates, expected some to render")
        return
    head = frontal(landmarks, templates.model).apply(vertices)
    yield from _views(name, mesh, head, texture, scan, found, sample.rights)


def _views(name: str, mesh: Mesh, head: Doubles, texture: NDArray[np.uint8], scan: Scan, found: SampleSet,
           rights: str) -> Iterator[Case]:
    for number, view in enumerate(VIEWS):
        title = f"{name} {_describe(view)}"
        found.samples += (Sample(title, Path(title), rights),)
        pixels = portray(mesh, head, texture, view, np.random.default_rng([7, number]))
        yield Case(title, name, view.group, pixels, scan)


def _describe(view: View) -> str:
    return f"{view.yaw_deg:+.0f} {view.pitch_deg:+.0f} {view.distance_mm / 1000:.1f} m"


def people_cases(found: SampleSet, templates: Templates, count: int = PEOPLE) -> Iterator[Case]:
    """``count`` people of the factory under reserved seeds, three views each; the true mesh is the scan.

    The compared points are the basis' modelled vertices (level 0), where they lie on the finer surface.
    """
    model, people, cage = templates.model, People(templates.model), MorphableModel.load(level=0)
    seven = model.landmarks68[list(SEVEN)]
    for number in range(count):
        for k, (group, turn) in enumerate(PERSON_VIEWS):
            drawn = people.portrait(number, turn, (number + k) % 2 == 1)
            face = model.vertices(drawn.person.identity[None], drawn.expression[None])[0].astype(np.float64)
            points = face[:len(cage.mean)]
            measured = np.flatnonzero(face_part(points, face[seven]))
            scan = Scan(f"person {number}", points, cage.triangles, face[seven], measured,
                        masks(templates.region_of_vertex[measured]))
            name = f"person {number} {group}"
            found.samples += (Sample(name, Path(name), FREE),)
            yield Case(name, f"person {number}", group, drawn.pixels, scan, identity=drawn.person.identity)


def _texture(path: Path) -> NDArray[np.uint8]:
    """The picture beside an OBJ that has its name."""
    for suffix in (".jpg", ".jpeg", ".png", ".bmp"):
        if (file := path.with_suffix(suffix)).is_file():
            return read_picture(file)
    raise InputError(f"{path}: got no picture of the same name beside it, expected the scan's texture")


def _points(path: Path) -> Doubles:
    try:
        return np.array(json.loads(path.read_text(encoding="utf-8"))["points3d"], np.float64)
    except (OSError, ValueError, TypeError, KeyError) as exc:
        raise InputError(f"{path}: got {type(exc).__name__} {exc}, expected 'points3d' with 68 rows x, y, z") from exc
