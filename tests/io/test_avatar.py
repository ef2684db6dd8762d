"""Curves, rotation and gaze for avatars: places, mirror, and signs against the model itself."""

from __future__ import annotations

import numpy as np
import pytest

from rtface import ops
from rtface.errors import InputError
from rtface.geometry import pose_vertices, rotation_matrices
from rtface.io.avatar import AvatarFaces, curve_names, gaze_direction, gaze_quaternion, partners, quaternion
from rtface.mirror import Mirror
from rtface.types import FaceStatus


def places(faces, result):
    return {int(result.tracks.ids[face.row]): face.place for face in faces(result)}


def test_places_are_kept_and_given_again(model, person):
    faces = AvatarFaces(model)
    assert places(faces, person(0, (3, 5))) == {3: 0, 5: 1}
    assert places(faces, person(1, (5, 3, 9))) == {3: 0, 5: 1, 9: 2}
    assert places(faces, person(2, (9, 5))) == {5: 1, 9: 2}  # the first has left, nobody jumps
    assert places(faces, person(3, (9, 11, 5))) == {11: 0, 5: 1, 9: 2}
    assert [face.place for face in faces(person(4, (9, 11, 5)))] == [0, 1, 2]
    assert places(faces, person(5, ())) == {}
    assert places(faces, person(6, (40,))) == {40: 0}


def test_held_faces_keep_their_place_and_absent_ones_do_not(model, person):
    faces = AvatarFaces(model)
    assert places(faces, person(0, (7,))) == {7: 0}
    (held,) = faces(person(1, (7,), status=FaceStatus.HELD))
    assert (held.place, held.status) == (0, FaceStatus.HELD)
    assert faces(person(2, (7,), status=FaceStatus.ABSENT)) == []
    assert places(faces, person(3, (8,))) == {8: 0}


def test_crowds_beyond_the_places_are_left_out(model, person):
    faces = AvatarFaces(model)
    assert sorted(places(faces, person(0, range(50))).values()) == list(range(32))


def test_numbers_that_are_not_finite_count_as_absent(model, person):
    result = person(0, (0, 1))
    result.coefficients.rotation[0, 1] = np.nan
    assert places(AvatarFaces(model), result) == {1: 0}


def test_curves_are_clipped_and_shared(model, person):
    faces = AvatarFaces(model)
    result = person(jawOpen=1.4, mouthSmileLeft=-0.2, eyeBlinkLeft=0.25)
    (face,) = faces(result)
    value = dict(zip(faces.names, face.curves.tolist(), strict=True))
    assert value["jawOpen"] == 1 and value["mouthSmileLeft"] == 0 and value["eyeBlinkLeft"] == 0.25
    assert faces(result) is faces(result)  # several sinks ask for the same frame


def test_mirror_agrees_with_the_model_s_mirror(model, person):
    result = person(pitch=5, yaw=20, roll=-10, eyeLookInLeft=0.6, eyeLookUpRight=0.3, mouthSmileLeft=0.7, browInnerUp=1)
    (face,) = AvatarFaces(model, mirror=True)(result)
    flipped = Mirror(model).coefficients(result.coefficients.to_vector(), 640.0)
    np.testing.assert_allclose(face.curves, flipped[0, 80:132], atol=1e-6)
    np.testing.assert_allclose(face.rotation, rotation_matrices(flipped[:, -6:-3])[0], atol=1e-6)
    np.testing.assert_allclose(face.gaze, model.gaze(flipped[:, 80:144])[0], atol=1e-6)


def test_partners_are_an_involution(model):
    names = curve_names(model.expression_names)
    twins = partners(names)
    assert (twins[twins] == np.arange(52)).all()
    assert names[twins[names.index("jawLeft")]] == "jawRight" and names[twins[names.index("jawOpen")]] == "jawOpen"


def test_other_models_are_refused(model):
    with pytest.raises(InputError, match="expected ARKit's 52"):
        curve_names(tuple(f"action{i}" for i in range(64)))


@pytest.mark.parametrize("angles", [(0, 0, 0), (20, -35, 10), (0, 180, 0), (180, 0, 0), (0, 0, 180), (90, 45, -170)])
def test_quaternions_turn_as_their_matrices(angles):
    matrix = rotation_matrices(np.deg2rad([angles]))[0]
    x, y, z, w = quaternion(matrix)
    again = np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                      [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                      [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])
    np.testing.assert_allclose(again, matrix, atol=1e-9)
    assert w >= 0 and np.isclose(x * x + y * y + z * z + w * w, 1)


def test_the_signs_are_what_the_module_says(model, person):
    """Positive pitch looks down, yaw to the subject's right (the picture's left), roll to the left shoulder."""
    def nose_and_eyes(**angles):
        c = person(**angles).coefficients
        placed = pose_vertices(model.landmarks(model.vertices(c.identity, c.expression)), c.rotation, c.scale,
                               c.translation)[0]
        return placed[30, :2] - placed[36:48, :2].mean(axis=0), placed[36:42].mean(axis=0), placed[42:48].mean(axis=0)

    straight = nose_and_eyes()[0]
    assert nose_and_eyes(pitch=15)[0][1] > straight[1] + 5
    assert nose_and_eyes(yaw=15)[0][0] < straight[0] - 5
    _, right_eye, left_eye = nose_and_eyes(roll=15)
    assert left_eye[0] > right_eye[0] and left_eye[1] > right_eye[1] + 5  # the left eye has come down


@pytest.mark.parametrize(("angles", "axis", "sign"), [({"yaw": -25}, 0, 1), ({"yaw": 25}, 0, -1), ({"pitch": 25}, 1, 1),
                                                      ({"pitch": -25}, 1, -1)])
def test_the_signs_on_rendered_pictures(model, person, angles, axis, sign):
    """The tip of the nose, as drawn, moves as documented against the middle of the silhouette."""
    tip = np.nonzero((model.triangles == model.landmarks68[30]).any(axis=1))[0]

    def nose(**turned):
        c = person(**turned).coefficients
        placed = pose_vertices(model.vertices(c.identity, c.expression), c.rotation, c.scale, c.translation)[0]
        drawn = ops.rasterize(np.ascontiguousarray(placed, np.float32), model.triangles, 480, 640)
        rows, columns = np.nonzero(drawn.triangle_id >= 0)
        tip_rows, tip_columns = np.nonzero(np.isin(drawn.triangle_id, tip))
        return np.array([tip_columns.mean() - columns.mean(), tip_rows.mean() - rows.mean()])

    assert sign * (nose(**angles) - nose())[axis] > 10


def test_gaze_signs_are_those_of_the_model_s_eyes(model, person):
    """Both eyes look to the subject's left: irises move to the picture's right."""
    c = person(eyeLookOutLeft=0.8, eyeLookInRight=0.8, eyeLookDownLeft=0.5, eyeLookDownRight=0.5).coefficients
    rest = person().coefficients
    iris = model.eyes.labels == model.eyes.label_names.index("iris")
    moved = (model.eye_vertices(c.identity, c.expression) - model.eye_vertices(rest.identity, rest.expression))[0, iris]
    assert moved[:, 0].mean() > 2 and moved[:, 1].mean() > 1  # right and down in the picture
    (face,) = AvatarFaces(model)(person(eyeLookOutLeft=0.8, eyeLookInRight=0.8, eyeLookDownLeft=0.5,
                                        eyeLookDownRight=0.5))
    assert (face.gaze[:, 0] > 0.1).all() and (face.gaze[:, 1] < -0.1).all()
    right, down, away = gaze_direction(*face.gaze[1].tolist())
    assert right > 0.3 and down > 0.1 and away < -0.8


def test_gaze_as_quaternion_and_as_direction_agree():
    for pitch, yaw in ((0.3, -0.5), (-0.2, 0.4), (0, 0)):
        matrix = rotation_matrices(np.array([[pitch, yaw, 0.0]]))[0]  # Ry · Rx without roll
        np.testing.assert_allclose(gaze_quaternion(pitch, yaw), quaternion(matrix), atol=1e-12)
        np.testing.assert_allclose(gaze_direction(pitch, yaw), -matrix[:, 2], atol=1e-12)
