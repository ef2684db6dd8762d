"""Scans: reading meshes and picked points, cutting the face out, carrying regions over."""

from pathlib import Path

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.evaluate import scans
from rtface.morphable import MorphableModel
from tests.evaluate.heads import head, seven, write_picked


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return MorphableModel.load(level=0)


def test_an_obj_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "a.obj"
    path.write_text("# x\nmtllib a.mtl\nv 0 0 0 0.5 0.5 0.5\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0.25\nvn 0 0 1\n"
                    "f 1/1/1 2/2/1 3/1/1 4/2/1\nf -4/1/1 -3/1/1 -2/2/1\n")
    mesh = scans.read_obj(path)
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
    assert mesh.triangles.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2]]
    assert mesh.uv is not None and mesh.uv.tolist() == [[0, 1], [1, 0.75]]
    assert mesh.uv_triangles is not None and mesh.uv_triangles.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 1]]
    path.write_text("v 0 0 0\nv 1 0 0\nv 1 1 0\nf 1//1 2//1 3//1\n")
    assert scans.read_obj(path).uv is None


@pytest.mark.parametrize(("text", "message"), [
    ("v 0 0 zero\n", "line 1: got could not convert"), ("v 0 0 0\nf 1 2 3\n", "numbers beyond them"),
    ("v 0 0\n", "a.obj"), ("", "got 0 vertices")])
def test_damaged_objs_are_one_clear_error(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text(text)
    with pytest.raises(InputError, match=message):
        scans.read_obj(tmp_path / "a.obj")


def test_picked_points_are_counted(tmp_path: Path) -> None:
    points = np.arange(21.0).reshape(7, 3) / 8
    write_picked(tmp_path / "a.pp", points)
    np.testing.assert_array_equal(scans.read_picked_points(tmp_path / "a.pp"), points)
    write_picked(tmp_path / "a.pp", points[:6])
    with pytest.raises(InputError, match="got 6 points, expected 7"):
        scans.read_picked_points(tmp_path / "a.pp")
    with pytest.raises(InputError, match="No such file"):
        scans.read_picked_points(tmp_path / "b.pp")


def test_the_compared_ball_by_hand() -> None:
    eyes, mouth = [[-50, 0, 0], [-20, 0, 0], [20, 0, 0], [50, 0, 0]], [[-25, 70, 0], [25, 70, 0]]
    landmarks = np.array([*eyes, [0, 40, 0], *mouth], float)
    # centre 0.3 of the way from (0, 40) up to (0, 0): (0, 28); radius 0.7 · (100 + 40) = 98
    inside = scans.face_part(np.array([[0, 28 + 97.9, 0], [0, 28 + 98.1, 0], [0, 28, -97.9], [-99, 28, 0]]), landmarks)
    assert inside.tolist() == [True, False, True, False]


def test_regions_of_the_mean_face_are_its_own(model: MorphableModel) -> None:
    templates = scans.Templates(model)
    vertices, landmarks = (scans.from_file_axes(points) for points in head(model))
    for given in (landmarks, None):
        scan = scans.make_scan("a", vertices, model.triangles, seven(landmarks), templates, given)
        for k, name in enumerate(scans.REGIONS):
            true = templates.region_of_vertex[scan.measured] == k
            assert true.sum() > 20 and (scan.regions[name] == true).mean() > 0.99
    assert not model.region_mask("ear_right")[scan.measured].all()
    with pytest.raises(InputError, match="same unit and origin"):
        scans.make_scan("a", vertices + 900, model.triangles, seven(landmarks), templates)


def test_landmarks_are_found_in_both_orders(model: MorphableModel) -> None:
    _, points = head(model)
    landmarks = scans.from_file_axes(points)
    stored = np.empty_like(landmarks)
    stored[list(scans.ORDERS[1])] = landmarks
    for order in (landmarks, stored):
        np.testing.assert_array_equal(scans.in_ibug_order(order, model), landmarks)
    assert all(sorted(order) == list(range(68)) for order in scans.ORDERS)
    with pytest.raises(InputError, match="in every known order"):
        scans.in_ibug_order(landmarks[::-1], model)
    with pytest.raises(InputError, match=r"expected \(68, 3\)"):
        scans.in_ibug_order(landmarks[:66], model)


def test_a_scan_is_brought_to_the_front(model: MorphableModel) -> None:
    vertices, landmarks = (scans.from_file_axes(points) for points in head(model))
    for given in (landmarks, seven(landmarks)):
        np.testing.assert_allclose(scans.frontal(given, model).apply(vertices), model.mean, atol=1e-3)
