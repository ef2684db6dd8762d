"""Sets of scans in their publishers' own layouts, for users who have them: ``rtface evaluate shape --layout NAME``.

The layouts were learned from public code that reads them; files of the sets themselves were not at hand. What is
missing, unreadable or has a wrong count becomes a problem of the set, by name.

``now``: NoW (Sanyal et al., CVPR 2019), as its scorer github.com/soubhiksanyal/now_evaluation reads it::

    imagepathsvalidation.txt                    SUBJECT/CHALLENGE/IMG_0001.jpg per line
    …/iphone_pictures/SUBJECT/CHALLENGE/IMG_0001.jpg
    scans/SUBJECT/*.obj                         mm
    scans_lmks_onlypp/SUBJECT/*.pp              seven points picked in MeshLab

``micc``: MICC Florence 2D/3D (Bagdanov et al. 2011), by the paths that many public readers name. The set has no
landmarks; the seven points of :data:`rtface.evaluate.scans.SEVEN` have to be picked in MeshLab once per scan::

    subject_01/Model/frontal1/obj/*.obj         mm; frontal2 where frontal1 has none
    subject_01/Model/frontal1/obj/*.pp
    subject_01/Video/Indoor-Cooperative.mjpg    and PTZ-Indoor, PTZ-Outdoor; other endings too

``realy``: REALY (Chai et al., ECCV 2022), as its scorer github.com/czh-98/REALY reads it::

    REALY_HIFI3D_keypoints/1.obj                85 vertices, the first 68 in iBUG's order
    REALY_scan_region/1/{nose,mouth,forehead,cheek}.obj
    REALY_image/FOLDER/1.png or 1_2.png         FOLDER is the group; folders of depth maps are left out
    metrical_scale.txt                          mm per unit of the scans, one line per person; anywhere in the folder

``ict``: ICT-FaceKit (Li et al., CVPR 2020; MIT licence), as github.com/ICT-VGL/ICT-FaceKit is published: random people
of its 100 identity modes, painted with the mean skin of rtface's basis and rendered like the pack's scans::

    FaceXModel/generic_neutral_mesh.obj         cm
    FaceXModel/identity000.obj …
    FaceXModel/vertex_indices.json              idx_to_landmark_verts: 68 vertices in iBUG's order
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rtface import ops
from rtface.errors import InputError, RtfaceError
from rtface.evaluate.dataset import CLIPS, FREE, PICTURES, Problem, Sample, SampleSet
from rtface.evaluate.portraits import VIEWS, portray
from rtface.evaluate.scans import (
    REGIONS,
    SEVEN,
    Doubles,
    Mesh,
    Scan,
    Templates,
    from_file_axes,
    frontal,
    make_scan,
    read_obj,
    read_picked_points,
)
from rtface.evaluate.shape_cases import Case
from rtface.geometry import FloatArray
from rtface.io import check_output_folder, open_source, read_picture, write_atomic
from rtface.stages.mesh import srgb

Layout = Callable[[Path, SampleSet, Templates], Iterator[Case]]
NOT_FREE: Final = "non_commercial"
MICC_FRAMES, MICC_EVERY = 5, 60
"""So many frames of each video, and how many frames lie between them."""
MICC_SUFFIXES: Final = CLIPS | {".mjpg", ".mjpeg", ".mpg", ".mpeg", ".wmv"}
ICT_PEOPLE: Final = 12
ICT_SEED: Final = 20_251_122
ICT_FACE: Final = 11_248
"""Vertices of face, head and neck; mouth, teeth and what belongs to the eyes come after them."""
ICT_EYEBALLS: Final = (21_451, 24_591)
IRIS_MM: Final = 6.0
REALY_KEYPOINTS: Final = 85


def now(folder: Path, found: SampleSet, templates: Templates) -> Iterator[Case]:
    """NoW's pictures, by challenge; the scans are neutral."""
    listed, pictures = _find(folder, "imagepathsvalidation.txt"), _find(folder, "iphone_pictures")
    scans, landmarks = _find(folder, "scans"), _find(folder, "scans_lmks_onlypp")
    known: dict[str, Scan | None] = {}
    for line in listed.read_text(encoding="utf-8").split():
        parts = line.split("/")
        if len(parts) < 3:
            found.problems[line] = Problem(line, f"line of {listed.name}, expected SUBJECT/CHALLENGE/PICTURE")
            continue
        subject, challenge, name = parts[-3:]
        if subject not in known:
            known[subject] = _scan(found, scans / subject, landmarks / subject, templates)
        scan = known[subject]
        pixels = _pixels(found, folder, pictures / subject / challenge / name)
        if scan is not None and pixels is not None:
            yield _case(found, f"{subject}/{challenge}/{name}", subject, challenge, pixels, scan)


def write_now_prediction(folder: Path, name: str, vertices: Doubles, triangles: NDArray[Any],
                         landmarks: Doubles) -> None:
    """Write one result as NoW's scorer reads it: SUBJECT/CHALLENGE/IMG_0001.obj in mm, and .npy with (7, 3) points.

    name: of the picture, SUBJECT/CHALLENGE/IMG_0001.jpg. Raises OutputError.
    """
    path = folder / Path(name).with_suffix(".obj")
    lines = [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in from_file_axes(vertices).tolist()]
    lines += [f"f {a} {b} {c}" for a, b, c in (np.asarray(triangles) + 1).tolist()]
    check_output_folder(path.parent)
    write_atomic(path, ("\n".join(lines) + "\n").encode())
    points = io.BytesIO()
    np.save(points, from_file_axes(landmarks))
    write_atomic(path.with_suffix(".npy"), points.getvalue())


def micc(folder: Path, found: SampleSet, templates: Templates) -> Iterator[Case]:
    """Frames of MICC's videos, by recording; the scans are neutral."""
    subjects = sorted(path for path in folder.rglob("subject_*") if path.is_dir())
    if not subjects:
        raise InputError(f"{folder}: got no folder subject_*, expected the set MICC Florence; give it with --data")
    for subject in subjects:
        models = [subject / "Model" / name / "obj" for name in ("frontal1", "frontal2")]
        model = next((path for path in models if any(path.glob("*.obj"))), models[0])
        scan = _scan(found, model, model, templates)
        clips = sorted(p for p in (subject / "Video").glob("*") if p.suffix.lower() in MICC_SUFFIXES)
        if not clips:
            found.problems[f"{subject.name}/Video"] = Problem(f"{subject.name}/Video", "no video")
        for clip in clips if scan is not None else ():
            name = clip.relative_to(folder).as_posix()
            try:
                with open_source(clip, every=MICC_EVERY) as source:
                    for frame, _ in zip(source, range(MICC_FRAMES), strict=False):
                        assert scan is not None
                        yield _case(found, f"{name} frame {frame.index}", subject.name, clip.stem,
                                    np.asarray(frame.pixels), scan)
            except RtfaceError as exc:
                found.problems[name] = Problem(name, f"unreadable video ({exc})")


def realy(folder: Path, found: SampleSet, templates: Templates) -> Iterator[Case]:
    """REALY's pictures, by folder, against its four regions; scan and picture show the same expression."""
    keypoints, regions = _find(folder, "REALY_HIFI3D_keypoints"), _find(folder, "REALY_scan_region")
    pictures, scale_file = _find(folder, "REALY_image"), _find(folder, "metrical_scale.txt")
    try:
        mm_per_unit = np.loadtxt(scale_file, ndmin=1)
    except ValueError as exc:
        raise InputError(f"{scale_file}: got {exc}, expected one number per line") from exc
    known: dict[int, Scan | None] = {}
    for path in sorted(pictures.rglob("*")):
        inside = path.relative_to(pictures).as_posix()
        if path.suffix.lower() not in PICTURES or "depth" in inside.lower():
            continue
        match = re.fullmatch(r"(\d+)(_\d+)?", path.stem)
        number = int(match.group(1)) if match else 0
        if not 1 <= number <= len(mm_per_unit):
            found.problems[inside] = Problem(inside, f"picture named {path.stem}, expected a number of a person up to "
                                                     f"{len(mm_per_unit)}, as metrical_scale.txt has lines")
            continue
        if number not in known:
            known[number] = _realy_scan(found, keypoints / f"{number}.obj", regions / str(number),
                                        float(mm_per_unit[number - 1]))
        scan = known[number]
        pixels = _pixels(found, folder, path)
        if scan is not None and pixels is not None:
            yield _case(found, inside, str(number), path.parent.name, pixels, scan, neutral=False)


def ict(folder: Path, found: SampleSet, templates: Templates) -> Iterator[Case]:
    """Random people of ICT-FaceKit's identity modes, rendered from every view; they are neutral."""
    model = _find(folder, "generic_neutral_mesh.obj").parent
    rows = _ict_landmarks(model / "vertex_indices.json")
    neutral = read_obj(model / "generic_neutral_mesh.obj")
    modes = []
    for path in sorted(model.glob("identity*.obj")):
        vertices = read_obj(path).vertices
        if vertices.shape != neutral.vertices.shape:
            found.problems[path.name] = Problem(path.name, f"got {len(vertices)} vertices, expected "
                                                           f"{len(neutral.vertices)} as in the neutral mesh")
        else:
            modes.append(vertices - neutral.vertices)
    if not modes or rows.max() >= len(neutral.vertices):
        raise InputError(f"{model}: got {len(modes)} identity meshes and landmarks up to vertex {rows.max()} of "
                         f"{len(neutral.vertices)}, expected ICT-FaceKit's FaceXModel")
    face = (neutral.triangles < ICT_FACE).all(axis=1)
    eyes = ((neutral.triangles >= ICT_EYEBALLS[0]) & (neutral.triangles < ICT_EYEBALLS[1])).all(axis=1)
    for number in range(ICT_PEOPLE):
        weights = np.random.default_rng([ICT_SEED, number]).normal(size=len(modes))
        vertices = from_file_axes(neutral.vertices + np.tensordot(weights, np.stack(modes), 1), 10.0)
        points = vertices[rows]
        name = f"ICT person {number}"
        scan = make_scan(name, vertices[:ICT_FACE], neutral.triangles[face], points[list(SEVEN)], templates, points)
        head = frontal(points, templates.model).apply(vertices)
        colors = _painted(vertices, points, templates, np.unique(neutral.triangles[eyes]))
        light = _light(head, neutral.triangles[face | eyes])
        shades = (srgb(colors * light[:, None]) * 255).astype(np.uint8)
        shown = Mesh(vertices, neutral.triangles[face | eyes], None, None)
        for k, view in enumerate(VIEWS[number % 2::2]):
            pixels = portray(shown, head, shades, view, np.random.default_rng([ICT_SEED, number, k]))
            yield _case(found, f"{name} {view.group} {k}", name, view.group, pixels, scan, rights=FREE)


def _ict_landmarks(path: Path) -> NDArray[np.intp]:
    try:
        rows = np.array(json.loads(path.read_text(encoding="utf-8"))["idx_to_landmark_verts"], np.intp)
    except (OSError, ValueError, TypeError, KeyError) as exc:
        raise InputError(f"{path}: got {type(exc).__name__} {exc}, expected idx_to_landmark_verts") from exc
    if rows.shape != (68,):
        raise InputError(f"{path}: got landmarks of shape {rows.shape}, expected 68 vertices")
    return rows


def _painted(vertices: Doubles, landmarks: Doubles, templates: Templates, eyes: NDArray[Any]) -> FloatArray:
    """(V, 3) linear RGB: the basis' mean skin, and white eyeballs with dark irises."""
    colors: FloatArray = templates.model.albedo_mean[templates.nearest_vertices(vertices, landmarks)].copy()
    for side in (-1, 1):
        ball = eyes[(vertices[eyes, 0] - landmarks[[36, 45], 0].mean()) * side > 0]
        colors[ball] = 0.6
        if len(ball):
            front = ball[vertices[ball, 2].argmin()]
            colors[ball[np.linalg.norm(vertices[ball] - vertices[front], axis=1) < IRIS_MM]] = 0.06
    return colors


def _light(head: Doubles, triangles: NDArray[Any]) -> FloatArray:
    """(V,) brightness under soft light from the front and above."""
    normals = ops.vertex_normals(np.ascontiguousarray(head[None], np.float32), np.ascontiguousarray(triangles))[0]
    light: FloatArray = (0.5 + 0.6 * np.clip(normals @ np.array([0.2, -0.5, -0.84], np.float32), 0, 1)).clip(0, 1)
    return light


LAYOUTS: Final[Mapping[str, Layout]] = {"now": now, "micc": micc, "realy": realy, "ict": ict}


def _find(folder: Path, name: str) -> Path:
    """A file or folder of this name in the set's folder, at any depth; the first of several by path."""
    found = folder / name if (folder / name).exists() else min(folder.rglob(name), default=None)
    if found is None:
        raise InputError(f"{folder}: got no {name} in it, expected the layout that this set is published in; see "
                         f"rtface/evaluate/shape_layouts.py, and give the folder with --data")
    return found


def _scan(found: SampleSet, meshes: Path, landmarks: Path, templates: Templates) -> Scan | None:
    """The scan of one subject: one OBJ, and seven picked points; else a problem."""
    objs, picked = sorted(meshes.glob("*.obj")), sorted(landmarks.glob("*.pp"))
    name = f"{meshes.parent.name}/{meshes.name}"
    if not objs or not picked:
        missing = "*.obj" if not objs else "*.pp with seven picked points"
        found.problems[name] = Problem(name, f"got no {missing} in {meshes if not objs else landmarks}, expected one")
        return None
    try:
        mesh = read_obj(objs[0])
        return make_scan(name, from_file_axes(mesh.vertices), mesh.triangles,
                         from_file_axes(read_picked_points(picked[0])), templates)
    except InputError as exc:
        found.problems[name] = Problem(name, str(exc))
        return None


def _realy_scan(found: SampleSet, keypoints: Path, folder: Path, mm_per_unit: float) -> Scan | None:
    """REALY's four regions as one scan."""
    try:
        points = from_file_axes(read_obj(keypoints).vertices, mm_per_unit)
        if len(points) != REALY_KEYPOINTS:
            raise InputError(f"{keypoints}: got {len(points)} key points, expected {REALY_KEYPOINTS}")
        parts = [read_obj(folder / f"{name.removesuffix('s')}.obj") for name in REGIONS]
    except InputError as exc:
        found.problems[folder.name] = Problem(folder.name, str(exc))
        return None
    counts = [len(part.vertices) for part in parts]
    first = np.cumsum([0, *counts[:-1]])
    vertices = from_file_axes(np.concatenate([part.vertices for part in parts]), mm_per_unit)
    of = np.repeat(np.arange(len(parts)), counts)
    triangles = np.concatenate([part.triangles + start for part, start in zip(parts, first, strict=True)])
    return Scan(folder.name, vertices, triangles.astype(np.int32), points[list(SEVEN)], np.arange(len(vertices)),
                {name: of == k for k, name in enumerate(REGIONS)})


def _pixels(found: SampleSet, folder: Path, path: Path) -> NDArray[np.uint8] | None:
    name = path.relative_to(folder).as_posix()
    try:
        return read_picture(path)
    except RtfaceError as exc:
        found.problems[name] = Problem(name, f"unreadable picture ({exc})" if path.is_file() else "missing file")
        return None


def _case(found: SampleSet, name: str, person: str, group: str, pixels: NDArray[np.uint8], scan: Scan, *,
          neutral: bool = True, rights: str = NOT_FREE) -> Case:
    found.samples += (Sample(name, Path(name), rights),)
    return Case(name, person, group, pixels, scan, neutral)
