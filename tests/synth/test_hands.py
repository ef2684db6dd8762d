"""The body model's hand: its file, its joints, and how it comes to lie on a face."""

import json
import shutil

import numpy as np
import pytest

from rtface.errors import ModelFileError
from rtface.morphable import MorphableModel
from rtface.paths import WEIGHTS
from rtface.synth import basis_hand
from rtface.synth.hands import GESTURES, HandModel, aim, grip, hand, hand_model, rest_on, skin_depth
from rtface.synth.piece import Anchors

REST = np.zeros(8, np.float32)
STRAIGHT, FIST = np.zeros(5), np.ones(5)


@pytest.fixture(scope="module")
def anchors():
    model = MorphableModel.load()
    return Anchors(model.mean[model.landmarks68], model.mean[::3], np.array([0.4, 0.25, 0.18], np.float32))


def test_the_shipped_hand_is_what_the_command_builds():
    arrays, info = basis_hand.build(40, 0)
    with np.load(WEIGHTS / "hand.npz") as shipped:
        for name in ("quads", "weights"):
            assert (arrays[name] == shipped[name]).all()
        assert np.abs(arrays["mean"] - shipped["mean"]).max() < 20.0  # 40 people instead of 600
    stored = json.loads((WEIGHTS / "hand.json").read_text())
    assert stored["bones"] == info["bones"] and stored["notice"] == info["notice"]
    again, _ = basis_hand.build(40, 0)
    assert all((again[name] == arrays[name]).all() for name in arrays)


def test_a_missing_or_foreign_file_says_how_to_mend_it(tmp_path):
    with pytest.raises(ModelFileError, match=r"python -m rtface\.synth\.basis_hand"):
        HandModel(tmp_path)
    shutil.copy(WEIGHTS / "hand.npz", tmp_path)
    (tmp_path / "hand.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(ModelFileError, match="got format 99, expected 1"):
        HandModel(tmp_path)


def test_the_size_of_a_grown_hand():
    joints = hand_model().mean[-22:]
    reach = float(np.linalg.norm(joints[19] - joints[1]))  # wrist to the middle finger's tip
    assert 170 < reach < 225
    assert np.allclose(hand_model().weights.sum(axis=1), 1, atol=1e-5)


def test_a_fist_brings_the_tips_to_the_palm_and_leaves_the_palm():
    model = hand_model()
    rest = model.pose(REST, STRAIGHT, 0.0, 0.0)
    assert np.abs(rest.vertices - model.mean[:model.count]).max() < 1e-3
    fist = model.pose(REST, FIST, 0.0, 0.0)
    palm = (rest.joints[1] + rest.joints[8]) / 2
    for tip in range(18, 22):
        near, far = (np.linalg.norm(p.joints[tip] - palm) for p in (fist, rest))
        assert near < 0.72 * far and fist.joints[tip, 2] > rest.joints[8, 2] + 5
    steady = model.weights[:, 1] > 0.999
    assert steady.sum() > 50 and np.abs(fist.vertices[steady] - rest.vertices[steady]).max() < 0.05


def test_the_wrist_turns_the_forearm_only():
    model = hand_model()
    straight, bent = (model.pose(REST, STRAIGHT, 0.0, angle) for angle in (0.0, 0.4))
    fingers = model.weights[:, 5:].sum(axis=1) > 0.999
    assert np.abs(straight.vertices[fingers] - bent.vertices[fingers]).max() < 0.05
    assert np.linalg.norm(straight.joints[0] - bent.joints[0]) > 60


def test_a_right_hand_that_shows_its_palm_has_its_thumb_at_the_right_of_the_picture():
    model = hand_model()
    axes = aim(0.0, np.array([0.0, 0.0, -1.0]))
    joints = model.pose(REST, STRAIGHT, 0.0, 0.0).joints @ axes.T
    thumb, little, middle = joints[17], joints[21], joints[19]
    assert thumb[0] > 30 > -30 > little[0] and middle[1] < -150  # y down: the fingers point up
    assert np.linalg.det(axes) == pytest.approx(-1)


def test_nails_are_on_the_backs_of_the_tips():
    model = hand_model()
    nails = model.nail > 0.5
    assert 10 < nails.sum() < 200 and model.palmar[nails].max() < 0.2
    tips = model.weights[:, [4, 7, 10, 13, 16]].sum(axis=1)
    assert (tips[nails] > 0.5).all()


def test_skin_depth_is_the_nearest_skin_or_nothing():
    x, y = np.meshgrid(np.arange(-50, 51, 2.0), np.arange(-50, 51, 2.0))
    bowl = np.stack([x, y, 0.01 * (x**2 + y**2)], axis=-1).reshape(-1, 3).astype(np.float32)
    depth = skin_depth(bowl, np.array([[0, 0, -40], [40, 0, -40], [90, 0, -40]], np.float32))
    assert abs(depth[0]) < 1 and 10 < depth[1] < 17 and np.isinf(depth[2])
    plate = np.stack([x, y, np.full_like(x, -30.0)], axis=-1).reshape(-1, 3).astype(np.float32)
    assert rest_on(plate, bowl, 0.0) == pytest.approx(30, abs=1.5)
    assert rest_on(plate + [500, 0, 0], bowl, 7.0) == -7.0


def test_hands_touch_the_face_from_outside(anchors):
    lifted = 0
    for seed in range(60):
        vertices = hand(np.random.default_rng(seed), anchors)[0].shape.vertices
        gap = skin_depth(anchors.surface, vertices) - vertices[:, 2]
        gap = gap[np.isfinite(gap)]
        assert len(gap) > 20  # the hand is before the face
        nearest = float(np.quantile(gap, 0.03))
        assert -4 < nearest < 145
        lifted += nearest > 10
    assert 5 < lifted < 35  # three gestures of twelve stay off the skin


def test_both_hands_occur_and_their_triangles_look_outwards_alike(anchors):
    model = hand_model()
    palm = model.weights[:, 1] > 0.999
    rest = model.mean[:model.count][palm] - model.mean[:model.count][palm].mean(axis=0)
    volumes, chirality = set(), set()
    for seed in range(12):
        shape = hand(np.random.default_rng(seed), anchors)[0].shape
        a, b, c = (shape.vertices[shape.triangles[:, k]] for k in range(3))
        volumes.add(float(np.einsum("ij,ij->i", a - shape.vertices.mean(0), np.cross(b - a, c - a)).sum()) > 0)
        moved = shape.vertices[palm] - shape.vertices[palm].mean(axis=0)
        chirality.add(float(np.linalg.det(np.linalg.lstsq(rest, moved, rcond=None)[0])) > 0)
    assert len(volumes) == 1 and len(chirality) == 2


def test_a_grip_holds_its_stick(anchors):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        at, along = np.array([5.0, 80.0, -60.0]), np.array([0.0, 1.0, 0.0])
        vertices = grip(rng, anchors, at, along, 12.0)[0].shape.vertices
        off = np.linalg.norm((vertices - at)[:, [0, 2]], axis=1)
        around = np.abs(vertices[:, 1] - at[1]) < 40
        assert np.quantile(off[around], 0.02) < 25  # the hand is at the stick
        assert 15 < np.median(off[around]) < 75


def test_gestures_name_landmarks_and_touch_what_a_hand_has():
    for name, gesture in GESTURES.items():
        assert all(0 <= k < 68 for k in gesture.targets), name
        assert gesture.touch in ("index", "fingers", "palm", "knuckles"), name
        assert np.linalg.norm(gesture.palm) > 0.5, name
