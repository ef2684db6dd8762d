"""Crops, rotations and projection against hand-made cases."""

import cv2
import numpy as np
import pytest

from rtface import Coefficients, geometry
from rtface.errors import InputError


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_angles_come_back_from_matrices(rng):
    angles = rng.uniform(-1.4, 1.4, (50, 3))
    np.testing.assert_allclose(geometry.angles_from_matrices(geometry.rotation_matrices(angles)), angles, atol=1e-9)


@pytest.mark.parametrize(("angle", "axis", "sign"), [(0, 1, 1), (1, 0, -1)])
def test_positive_pitch_moves_the_nose_down_and_positive_yaw_to_the_pictures_left(angle, axis, sign):
    rotation = np.zeros((1, 3))
    rotation[0, angle] = 0.3
    nose = geometry.rotation_matrices(rotation)[0] @ [0.0, 0.0, -1.0]
    assert sign * nose[axis] > 0.2


def test_positive_roll_turns_clockwise():
    right = geometry.rotation_matrices(np.array([[0.0, 0.0, 0.3]]))[0] @ [1.0, 0.0, 0.0]
    assert right[1] > 0.2  # y points down


def test_projection_is_scaled_orthographic():
    vertices = np.array([[[10.0, -4.0, 7.0]]])
    placed = geometry.pose_vertices(vertices, np.zeros((1, 3)), np.array([2.0]), np.array([[100.0, 50.0]]))
    np.testing.assert_allclose(placed[0, 0], [120, 42, 14])


def test_crop_has_the_regions_centre_in_its_middle_and_turns_the_face_upright():
    transform = geometry.crop_transforms(np.array([[30.0, 40.0]]), np.array([20.0]), np.array([0.5]), 100)
    middle = geometry.apply_affine(transform, np.array([[[30.0, 40.0]]]))
    np.testing.assert_allclose(middle[0, 0], [50, 50], atol=1e-4)
    along_roll = np.array([[[30 + np.cos(0.5), 40 + np.sin(0.5)]]])
    np.testing.assert_allclose(geometry.apply_affine(transform, along_roll)[0, 0], [55, 50], atol=1e-4)


def test_inverse_and_composition_are_exact(rng):
    transform = geometry.crop_transforms(rng.uniform(0, 500, (20, 2)), rng.uniform(20, 400, 20),
                                         rng.uniform(-3, 3, 20), 224).astype(np.float64)
    both = geometry.compose_affine(geometry.invert_affine(transform), transform)
    np.testing.assert_allclose(both, np.tile(np.eye(3)[:2], (20, 1, 1)), atol=1e-6)


def test_a_flat_transform_cannot_be_inverted():
    with pytest.raises(InputError, match="not invertible"):
        geometry.invert_affine(np.zeros((1, 2, 3)))


def test_crops_from_boxes_and_from_landmarks_agree_for_a_frontal_face():
    from rtface.jaw import JawLine, project_landmarks
    from rtface.morphable import MorphableModel
    model = MorphableModel.load()
    placed = geometry.pose_vertices(model.mean[None], np.zeros((1, 3)), np.ones(1), np.full((1, 2), 200.0))
    landmarks = project_landmarks(model, JawLine(model), placed, np.zeros(1))[..., :2].astype(np.float32)
    outline = placed[:, ~model.region_mask("ear", "neck", "scalp"), :2]
    box = np.concatenate([outline.min(axis=1), outline.max(axis=1)], axis=1)
    for close in (False, True):
        by_landmarks = geometry.crops_from_landmarks(landmarks, 100, close=close)
        by_box = geometry.crops_from_boxes(box, 100, close=close)
        assert by_box[0, 0, 0] / by_landmarks[0, 0, 0] == pytest.approx(1.0, abs=0.06)
        corners = geometry.apply_affine(geometry.invert_affine(by_box), np.array([[[50.0, 50.0]]]))
        np.testing.assert_allclose(geometry.apply_affine(by_landmarks, corners)[0, 0], [50, 50], atol=3)
    inside = geometry.apply_affine(by_landmarks, landmarks)  # what is close shows all points, and a rim
    assert 8 < inside.min() < 16 and 84 < inside.max() < 92
    from_landmarks = geometry.boxes_from_landmarks(landmarks)
    assert geometry.box_iou(from_landmarks, box.astype(np.float32))[0, 0] > 0.85


def test_coefficients_move_between_crop_and_frame(rng):
    vector = rng.normal(size=(3, 239)).astype(np.float32)
    vector[:, 233:236] *= 0.3
    vector[:, 236] = 1.2
    crop = Coefficients.from_vector(vector, "b")
    transform = geometry.crop_transforms(rng.uniform(100, 300, (3, 2)), rng.uniform(80, 200, 3),
                                         rng.uniform(-0.5, 0.5, 3), 224)
    frame = geometry.coefficients_in_frame(crop, transform)
    points = rng.normal(size=(3, 9, 3)) * 50
    in_crop = geometry.pose_vertices(points, crop.rotation, crop.scale, crop.translation)[..., :2]
    in_frame = geometry.pose_vertices(points, frame.rotation, frame.scale, frame.translation)[..., :2]
    np.testing.assert_allclose(geometry.apply_affine(transform, in_frame), in_crop, atol=2e-3)
    normals = points / np.linalg.norm(points, axis=-1, keepdims=True)
    shade = [np.einsum("npk,nk->np", geometry.spherical_harmonics(
        normals @ np.swapaxes(geometry.rotation_matrices(c.rotation), 1, 2)), c.illumination) for c in (crop, frame)]
    np.testing.assert_allclose(shade[0], shade[1], atol=1e-4)  # the light turns with the picture


def test_box_iou_of_half_overlapping_squares():
    a, b = np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2], [5, 5, 5, 5]])
    np.testing.assert_allclose(geometry.box_iou(a, b), [[1 / 3, 0]])


def test_opencv_samples_where_our_pixel_centres_say():
    picture = np.zeros((8, 8), np.float32)
    picture[2, 5] = 1.0  # its centre is (5.5, 2.5)
    transform = np.array([[2.0, 0.0, 1.0], [0.0, 2.0, 3.0]])  # → (12.0, 8.0)
    out = cv2.warpAffine(picture, geometry.opencv_affine(transform), (20, 20))
    rows, columns = np.indices(out.shape) + 0.5
    center = np.array([(out * columns).sum(), (out * rows).sum()]) / out.sum()
    np.testing.assert_allclose(center, [12.0, 8.0], atol=1e-3)
    assert transform[0, 2] == 1.0  # left as it was
