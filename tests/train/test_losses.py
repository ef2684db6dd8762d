"""Losses against hand-computed cases."""

import math

import numpy as np
import pytest
import torch

from rtface import geometry
from rtface.losses.coefficients import CoefficientLoss, CoefficientLossConfig
from rtface.losses.geometry import focal_loss, giou_loss, point_loss, pose_vertices
from rtface.morphable import MorphableModel
from rtface.train.detector import assign


def test_focal_loss_of_an_even_guess():
    got = focal_loss(torch.zeros(2), torch.tensor([1.0, 0.0]), alpha=0.25, gamma=2.0)
    assert got.tolist() == pytest.approx([0.25 * 0.25 * math.log(2), 0.75 * 0.25 * math.log(2)])


def test_giou_is_zero_for_equal_boxes_and_above_one_for_boxes_apart():
    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 1, 1]])
    targets = torch.tensor([[0.0, 0, 2, 2], [3, 0, 4, 1]])
    # second pair: IoU 0, hull 4, union 2: 1 − 0 + (4 − 2) / 4
    assert giou_loss(boxes, targets).tolist() == pytest.approx([0.0, 1.5])


def test_point_loss_ignores_points_without_weight():
    points, targets = torch.zeros(1, 2, 2), torch.tensor([[[3.0, 0.0], [100.0, 0.0]]])
    assert float(point_loss(points, targets, torch.tensor([[1.0, 0.0]]), beta=1.0)) == pytest.approx(2.5)


def test_torch_pose_equals_the_numpy_one():
    rng = np.random.default_rng(0)
    vertices, pose = rng.normal(size=(2, 9, 3)), rng.normal(size=(2, 6))
    want = geometry.pose_vertices(vertices, pose[:, :3], pose[:, 3], pose[:, 4:6])
    got = pose_vertices(torch.from_numpy(vertices), torch.from_numpy(pose))
    np.testing.assert_allclose(got.numpy(), want, atol=1e-9)


@pytest.fixture(scope="module")
def criterion():
    return CoefficientLoss(MorphableModel.load(level=0), CoefficientLossConfig(), stride=40)


def _vector():
    vector = torch.zeros(1, 239)
    vector[0, 224], vector[0, 236], vector[0, 237:] = 1.0, 1.0, 112.0
    return vector


def test_perfect_coefficients_cost_nothing(criterion):
    total, _ = criterion(_vector(), _vector())
    assert float(total) == 0.0


@pytest.mark.parametrize(("index", "moved"), [(0, {"identity", "posed", "landmark"}),
                                              (80 + 24, {"expression", "action", "posed", "landmark"}),
                                              (144, {"albedo"}), (224, {"light"}), (234, {"posed", "landmark"}),
                                              (237, {"posed", "landmark"})])
def test_each_coefficient_is_judged_by_what_it_moves(criterion, index, moved):
    wrong = _vector()
    wrong[0, index] += 0.5
    _, terms = criterion(wrong, _vector())
    assert {name for name, value in terms._asdict().items() if float(value) > 1e-7} == moved


def test_loss_has_a_gradient_for_every_coefficient(criterion):
    vector = _vector() + 0.1
    vector.requires_grad_(True)
    total, _ = criterion(vector, _vector())
    total.backward()
    assert vector.grad is not None and (vector.grad.abs() > 0).all()


def test_cells_in_the_middle_of_a_face_answer_for_it_at_its_own_level():
    boxes = torch.full((1, 2, 4), torch.nan)
    boxes[0, 0] = torch.tensor([40.0, 40, 70, 72])  # 32 px: the stride-8 and stride-16 ranges overlap there
    labels, targets, weights = assign(boxes, torch.ones(1, 2), 128)
    fine, coarse = labels[0, :256], labels[0, 256:]
    assert fine.sum() > 0 and coarse[:64].sum() > 0 and coarse[64:].sum() == 0
    assert (targets[labels > 0] == boxes[0, 0]).all()
    assert (weights[labels > 0] == 1).all()


def test_hidden_faces_are_ignored_not_negative():
    boxes = torch.full((1, 2, 4), torch.nan)
    boxes[0, 0] = torch.tensor([40.0, 40, 70, 72])
    labels, _, weights = assign(boxes, torch.tensor([[0.1, 0.0]]), 128)
    assert labels.sum() == 0 and (weights == 0).any() and (weights == 1).any()


def test_agreement_is_blind_to_where_the_crop_was(criterion):
    one, other = _vector(), _vector()
    other[0, 235:] = torch.tensor([0.4, 2.0, 30.0, 40.0])  # roll, scale and place belong to the crop
    other[0, 144:224] = 1.0
    assert [float(v) for v in criterion.agreement(one, other)] == pytest.approx([1e-3] * 3)  # the root's own floor
    other[0, 233:235] = torch.tensor([0.3, -0.4])
    other[0, 0], other[0, 80 + 24] = 1.0, 0.5
    apart = criterion.agreement(one, other)
    shaped, moved = (basis.norm(dim=1).mean() for basis in (criterion.identity_basis[:, :, 0],
                                                            0.5 * criterion.expression_basis[:, :, 24]))
    assert float(apart.turn_rad) == pytest.approx(0.5, abs=1e-4)
    assert float(apart.identity_mm) == pytest.approx(float(shaped), rel=1e-2)
    assert float(apart.expression_mm) == pytest.approx(float(moved), rel=1e-2)
