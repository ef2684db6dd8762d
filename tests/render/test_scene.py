"""Parts, faces and styles check themselves; helpers that make them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.geometry import spherical_harmonics
from rtface.morphable import MorphableModel
from rtface.render import RenderFace, Style, border_fade, faces_from_mesh, split_mesh, subdivision_lines
from rtface.render.scene import highlight_direction, light_harmonics
from rtface.types import Coefficients, FaceMesh

from .conftest import ball, box, face


@pytest.mark.parametrize(("fields", "message"), [
    ({"mode": "cubist"}, "Style.mode: got 'cubist', expected one of lit, wireframe"),
    ({"opacity": 1.5}, "Style.opacity: got .*expected 1 numbers 0..1"),
    ({"fill_opacity": float("nan")}, "Style.fill_opacity"),
    ({"background": (0.0, 0.0)}, "Style.background: got .*expected 3 numbers"),
    ({"color": (0.0, 2.0, 0.0)}, "Style.color"),
    ({"line_width_px": 0.0}, "Style.line_width_px: got 0.0, expected more than 0"),
    ({"light_direction": (0.0, 0.0, 0.0)}, "Style.light_direction: got .*not all 0"),
    ({"light_direction": (1.0, 0.0)}, "Style.light_direction"),
])
def test_bad_styles_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Style(**fields)


@pytest.mark.parametrize(("fields", "message"), [
    ({"vertices": np.zeros((4, 2), np.float32)}, r"RenderPart.vertices: got shape \(4, 2\), expected \(·, 3\)"),
    ({"vertices": np.zeros((4, 3))}, "RenderPart.vertices: got dtype float64, expected float32"),
    ({"normals": np.zeros((5, 3), np.float32)}, r"RenderPart.normals: got shape \(5, 3\), expected \(4, 3\)"),
    ({"colors": [[0, 0, 0]]}, "RenderPart.colors: got list, expected a NumPy array"),
    ({"triangles": np.zeros((2, 3), np.int64)}, "RenderPart.triangles: got dtype int64, expected int32"),
    ({"visibility": np.zeros(3, np.float32)}, r"RenderPart.visibility: got shape \(3,\), expected \(4,\)"),
    ({"opacity": np.zeros((4, 1), np.float32)}, r"RenderPart.opacity: got shape \(4, 1\), expected \(4,\)"),
    ({"lines": np.zeros((1, 3), bool)}, r"RenderPart.lines: got shape \(1, 3\), expected \(2, 3\)"),
    ({"kind": "hair"}, "RenderPart.kind: got 'hair', expected one of skin, eye"),
])
def test_bad_parts_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(box((0, 0), (1, 1)), **fields)


@pytest.mark.parametrize(("fields", "message"), [
    ({"rotation": np.zeros(2, np.float32)}, r"RenderFace.rotation: got shape \(2,\), expected \(3,\)"),
    ({"rotation": np.array([0, np.nan, 0], np.float32)}, "RenderFace.rotation: got .*expected finite numbers"),
    ({"translation": np.array([np.inf, 0], np.float32)}, "RenderFace.translation: got .*expected finite"),
    ({"illumination": np.zeros(8, np.float32)}, r"RenderFace.illumination: got shape \(8,\), expected \(9,\)"),
    ({"scale": 0.0}, "RenderFace.scale: got 0.0 px/mm, expected a finite number above 0"),
    ({"scale": float("nan")}, "RenderFace.scale: got nan"),
])
def test_bad_poses_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(face([box((0, 0), (1, 1))]), **fields)


def _result(count: int) -> tuple[FaceMesh, Coefficients]:
    part = ball()
    several = [np.repeat(a[None], count, axis=0) for a in (part.vertices, part.normals, part.colors)]
    vector = np.zeros((count, 239), np.float32)
    vector[:, -6:] = (0.1, 0.2, 0.3, 1.5, 80, 60)
    mesh = FaceMesh(*several, part.triangles, np.ones((count, len(part.vertices)), np.float32))
    return mesh, Coefficients.from_vector(vector, "test")


def test_faces_come_from_meshes_and_coefficients() -> None:
    mesh, coefficients = _result(2)
    faces = faces_from_mesh(mesh, coefficients, own_light=True)
    assert len(faces) == 2 and all(isinstance(f, RenderFace) for f in faces)
    assert faces[1].parts[0].triangles is mesh.triangles  # so that the buffers are shared
    assert faces[1].scale == 1.5 and faces[1].translation.tolist() == [80, 60]
    assert faces[0].illumination is not None and faces_from_mesh(mesh, coefficients)[0].illumination is None
    assert faces_from_mesh(*_result(0)) == []
    with pytest.raises(InputError, match="got 2 meshes and 0 sets of coefficients"):
        faces_from_mesh(mesh, _result(0)[1])


def test_default_light_is_a_clamped_cosine_over_a_sky() -> None:
    normals = np.random.default_rng(0).normal(size=(500, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    direction = np.array(Style().light_direction) / np.linalg.norm(Style().light_direction)
    exact = 0.46 - 0.14 * normals[:, 1] + 0.70 * np.maximum(normals @ direction, 0)
    approximate = spherical_harmonics(normals) @ light_harmonics(Style().light_direction)
    np.testing.assert_allclose(approximate, exact, atol=0.095 * 0.70)
    assert approximate.min() > 0.2


def test_highlight_comes_from_the_harmonics_main_direction() -> None:
    gamma = np.zeros(9)
    gamma[0], gamma[2], gamma[3] = 0.5, -0.3, 0.3
    np.testing.assert_allclose(highlight_direction(gamma, (0, -1, 0)), (0.5 ** 0.5, 0, -(0.5 ** 0.5)), atol=1e-6)
    uniform = np.eye(9)[0]
    np.testing.assert_allclose(highlight_direction(uniform, (0.0, 0.0, -2.0)), (0, 0, -1), atol=1e-6)
    assert highlight_direction(np.array([0.5, 0, 0.5, 0, 0, 0, 0, 0, 0]), (0, 0, -1))[2] < 0  # never from behind


def test_split_mesh_keeps_every_named_triangle_once(model: MorphableModel) -> None:
    interior = model.interior
    kinds: dict[str, Any] = {"cavity": "mouth", "teeth_upper": "teeth", "teeth_lower": "teeth", "tongue": "tongue"}
    pieces = split_mesh(interior.triangles, interior.labels, interior.label_names, kinds)
    assert [p.kind for p in pieces] == ["mouth", "teeth", "tongue"]
    kept = np.concatenate([p.rows[p.triangles] for p in pieces])
    named = np.isin(interior.labels[interior.triangles[:, 0]], [interior.label_names.index(n) for n in kinds])
    assert sorted(kept.tolist()) == sorted(interior.triangles[named].tolist())
    part = pieces[1].part(interior.mean, interior.mean, interior.colors)
    assert part.kind == "teeth" and len(np.unique(part.triangles)) == len(part.vertices)


def test_subdivision_lines_are_the_coarse_edges(model: MorphableModel) -> None:
    coarse = MorphableModel.load(level=0)
    vertex_points, quads = len(coarse.mean), len(model.triangles) // 8
    edge_points = len(model.mean) - vertex_points - quads
    lines = subdivision_lines(model.triangles, vertex_points, edge_points)
    # every half edge of every coarse quad once: four sides of two halves
    assert lines.sum() == 8 * quads
    ends = np.stack([model.triangles, np.roll(model.triangles, -1, axis=1)], axis=-1)[lines]
    assert (ends.min(axis=1) < vertex_points).all() and (ends.max(axis=1) < vertex_points + edge_points).all()


def test_a_face_fades_towards_its_outer_border_only(model: MorphableModel) -> None:
    fade = border_fade(model.mean, model.triangles, 16.0)
    assert fade.dtype == np.float32 and fade.min() == 0 and fade.max() == 1
    assert (fade[model.landmarks68[17:]] == 1).all()  # brows, nose, eyes and lips, though lids and lips are borders
    assert (fade[model.landmarks68[:17]] > 0.9).all()
    outer = fade == 0
    assert 50 < outer.sum() < 500 and np.ptp(model.mean[outer, 1]) > 150  # from scalp to neck
    sphere = ball()
    assert (border_fade(sphere.vertices, sphere.triangles[:0]) == 1).all()
    disc = box((0, 0), (100, 100))
    assert (border_fade(disc.vertices, disc.triangles) == 0).all()
