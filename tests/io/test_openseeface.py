"""OpenSeeFace's datagrams, read in the order in which its Unity receiver reads them."""

from __future__ import annotations

import struct
import time

import cv2
import numpy as np
import pytest

from rtface.io.avatar import AvatarFaces
from rtface.io.openseeface import FACE_BYTES, FEATURES, UNIT_MM, OpenSeeFaceSink, feature_values
from rtface.io.stream_sink import Address
from rtface.types import FaceStatus

NAMES = ("EyeLeft EyeRight EyebrowSteepnessLeft EyebrowUpDownLeft EyebrowQuirkLeft EyebrowSteepnessRight "
         "EyebrowUpDownRight EyebrowQuirkRight MouthCornerUpDownLeft MouthCornerInOutLeft MouthCornerUpDownRight "
         "MouthCornerInOutRight MouthOpen MouthWide").split()
CORNERS = {58: 48, 62: 54}
"""Points of the mouth's corners there → iBUG."""


class Reader:
    """Takes numbers from the front, as the receiver does (little-endian floats)."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, kind, count=1):
        values = struct.unpack_from(f"<{count}{kind}", self.data, self.at)
        self.at += struct.calcsize(f"<{count}{kind}")
        return values[0] if count == 1 else np.array(values)


def parse(datagram: bytes) -> list[dict]:
    assert len(datagram) % 1785 == 0  # else the receiver ignores it
    faces, r = [], Reader(datagram)
    while r.at < len(datagram):
        faces.append({
            "time": r.take("d"), "id": r.take("i"), "resolution": r.take("f", 2), "right_open": r.take("f"),
            "left_open": r.take("f"), "good": r.take("B"), "error": r.take("f"), "quaternion": r.take("f", 4),
            "euler": r.take("f", 3), "translation": r.take("f", 3), "confidence": r.take("f", 68),
            "points": r.take("f", 136).reshape(68, 2), "points3d": r.take("f", 210).reshape(70, 3),
            "features": dict(zip(NAMES, r.take("f", 14), strict=True))})
    return faces


@pytest.fixture
def send(model, udp):
    def run(result, mirror=False):
        with OpenSeeFaceSink(Address(*udp.getsockname()), AvatarFaces(model, mirror=mirror), model) as sink:
            sink.write(result)
            return parse(udp.recv(65535))
    return run


def test_the_header(send, person):
    before = time.time()
    face, = send(person(eyeBlinkRight=0.25, eyeBlinkLeft=1))
    assert before <= face["time"] <= time.time()
    assert face["id"] == 0 and face["resolution"].tolist() == [640, 480] and face["good"] == 1
    assert (face["right_open"], face["left_open"]) == (0.75, 0)
    assert FACE_BYTES == 1785 and len(FEATURES) == 14


def test_a_straight_face_has_the_angles_that_receivers_take_off(send, person):
    """Unity: rotation.x = −(x + 180) mod 360, rotation.z = z − 90."""
    face, = send(person())
    x, y, z = face["euler"]
    assert abs(abs(x) - 180) < 1e-3 and abs(y) < 1e-3 and abs(z - 90) < 1e-3


def matrix_of(face):
    """row, column, depth from their head axes; the quaternion sent is the inverse's."""
    x, y, z, w = face["quaternion"] * np.array([-1, -1, -1, 1])
    return np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                     [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                     [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("angles", [{}, {"yaw": -25}, {"pitch": 20}, {"roll": 15}, {"yaw": 20, "pitch": -9, "roll": 5}])
def test_rotation_translation_and_3d_points_give_back_the_2d_points(send, person, angles, mirror):
    """What the receiver can compute agrees: R · point + t, seen by its camera, is where the landmarks are."""
    face, = send(person(jawOpen=0.5, **angles), mirror=mirror)
    head = face["points3d"] * np.array([1, -1, -1])
    matrix = matrix_of(face)
    nearly = matrix @ cv2.Rodrigues(np.full(3, 1e-6))[0]  # OpenCV gives the other set of angles for exactly 0
    np.testing.assert_allclose((cv2.RQDecomp3x3(nearly)[0] - face["euler"] + 180) % 360, 180, atol=0.01)
    per_unit = 640 / face["translation"][2]
    assert per_unit == pytest.approx(-1.5 * UNIT_MM, rel=1e-5)  # found behind the camera
    placed = (head @ matrix.T + face["translation"]) * per_unit + np.array([240, 320, 0])
    np.testing.assert_allclose(placed[:68, 1::-1], face["points"], atol=0.05)
    assert face["error"] < 0.01


def test_points_are_ibug_s_without_the_inner_corners(send, person, model):
    result = person(mouthSmileLeft=0.5)
    face, = send(result)
    ibug = result.tracks.landmarks[0]
    order = [*range(48), 49, 50, 51, 52, 53, 55, 56, 57, 58, 59, None, 61, 62, 63, None, 65, 66, 67]
    for here, there in enumerate(order):
        np.testing.assert_allclose(face["points"][here], ibug[CORNERS[here] if there is None else there], atol=1e-3)
    np.testing.assert_allclose(face["points3d"][30], 0, atol=1e-6)
    right, left = face["points"][66], face["points"][67]
    assert abs(right - ibug[36:42].mean(axis=0)).max() < 6 and abs(left - ibug[42:48].mean(axis=0)).max() < 6
    assert np.linalg.norm(face["points3d"][66] - face["points3d"][67]) == pytest.approx(0.516, abs=0.01)


@pytest.mark.parametrize(("angles", "euler"), [
    ({"pitch": 15}, (-165, 0, 90)), ({"pitch": -15}, (165, 0, 90)), ({"yaw": 20}, (180, -20, 90)),
    ({"yaw": -20}, (180, 20, 90)), ({"roll": 15}, (180, 0, 75)), ({"roll": -15}, (180, 0, 105))])
def test_euler_angles(send, person, angles, euler):
    face, = send(person(**angles))
    np.testing.assert_allclose((face["euler"] - euler + 180) % 360 - 180, 0, atol=1e-3)


@pytest.mark.parametrize("angles", [{}, {"pitch": 15}, {"yaw": 20}, {"yaw": -20}, {"roll": -15}])
def test_the_tracker_s_own_solver_finds_the_same_pose(send, person, angles, model):
    """As OpenSeeFace does it: solvePnP of a rigid face on (row, column), started at the camera; near perspective."""
    face, = send(person(**angles))
    head = (face["points3d"] * np.array([1, -1, -1]))[:66]
    x, y, z = np.deg2rad([angles.get(name, 0) for name in ("pitch", "yaw", "roll")])
    turn = cv2.Rodrigues(np.array([0, 0, z]))[0] @ cv2.Rodrigues(np.array([0, y, 0]))[0] @ \
        cv2.Rodrigues(np.array([x, 0, 0]))[0]
    seen = -head @ turn.T  # camera axes: x right, y down, z away
    pixels = np.stack([640 * seen[:, 1] / (6 + seen[:, 2]) + 240, 640 * seen[:, 0] / (6 + seen[:, 2]) + 320], axis=1)
    fitted = [*range(17), 27, 28, 29, 30]
    camera = np.array([[640, 0, 240], [0, 640, 320], [0, 0, 1.0]])
    _, vector, translation = cv2.solvePnP(head[fitted], pixels[fitted], camera, np.zeros(4), np.zeros((3, 1)),
                                          np.zeros((3, 1)), useExtrinsicGuess=True, flags=cv2.SOLVEPNP_ITERATIVE)
    assert translation[2] < -4 and face["translation"][2] < -3
    between = cv2.Rodrigues(cv2.Rodrigues(vector)[0] @ matrix_of(face).T)[0]
    assert np.rad2deg(np.linalg.norm(between)) < 12  # the wrong solution would be 180° away


def test_gaze_of_the_receiver(send, person):
    """It looks from the eyeball's centre (68, 69) to the pupil (66, 67), with y and z turned around by reading."""
    face, = send(person(eyeLookOutLeft=1, eyeLookUpRight=1))
    points = face["points3d"] * np.array([1, -1, -1])  # x to the subject's right, y up, z out of the face
    right, left = points[66] - points[68], points[67] - points[69]
    assert left[0] < -0.04 and right[1] > 0.04 and left[2] > 0 and right[2] > 0
    straight = send(person())[0]["points"]
    assert face["points"][67][0] > straight[67][0] + 5 and face["points"][66][1] < straight[66][1] - 5


def test_confidence_is_that_of_the_region_s_visible_share(send, person):
    face, = send(person())  # 0.8 · (brows 1, eyes 0.5, nose 1, mouth 0.25, jaw 1)
    expected = np.full(68, 0.8)
    expected[36:48] = expected[66:] = 0.4
    expected[48:66] = 0.2
    np.testing.assert_allclose(face["confidence"], expected, rtol=1e-6)


def test_the_fitting_error_is_in_pixels(send, person):
    result = person()
    result.tracks.landmarks[:, :17, 0] += 6
    face, = send(result)
    assert face["error"] == pytest.approx(6 * np.sqrt(17 / 36), rel=1e-3)


def test_several_faces_in_one_datagram_and_held_ones_are_not_good(send, person):
    assert [face["id"] for face in send(person(0, (3, 7, 9)))] == [0, 1, 2]
    assert send(person(status=FaceStatus.HELD))[0]["good"] == 0


def test_nothing_is_sent_without_faces(model, person, udp):
    with OpenSeeFaceSink(Address(*udp.getsockname()), AvatarFaces(model), model) as sink:
        sink.write(person(0, ()))
        assert sink.report().endswith(": 0 packets sent")


@pytest.mark.parametrize(("curves", "expected"), [
    ({"eyeBlinkLeft": 1}, {"EyeLeft": -1}), ({"eyeWideRight": 1}, {"EyeRight": 1}),
    ({"browInnerUp": 1, "browOuterUpLeft": 1}, {"EyebrowUpDownLeft": 1, "EyebrowUpDownRight": 0.5}),
    ({"browDownRight": 1}, {"EyebrowUpDownRight": -1}), ({"jawOpen": 1}, {"MouthOpen": 1}),
    ({"mouthPucker": 1}, {"MouthWide": -1, "MouthCornerInOutLeft": -1, "MouthCornerInOutRight": -1}),
    ({"mouthFrownLeft": 1}, {"MouthCornerUpDownLeft": 1}), ({}, {})])
def test_features(model, curves, expected):
    index = {name: k for k, name in enumerate(model.expression_names[:52])}
    values = np.zeros(52)
    for name, value in curves.items():
        values[index[name]] = value
    got = {name: value for name, value in zip(NAMES, feature_values(values, index), strict=True) if value}
    assert got == expected
