"""A mirrored vector draws the mirrored face."""

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.geometry import pose_vertices, spherical_harmonics
from rtface.mirror import LANDMARKS_68, Mirror
from rtface.morphable import MorphableModel
from rtface.types import Coefficients


@pytest.fixture(scope="module")
def model():
    return MorphableModel.load(level=0)


@pytest.fixture(scope="module")
def mirror(model):
    return Mirror(model)


@pytest.fixture
def vectors():
    rng = np.random.default_rng(0)
    out = rng.normal(0, 0.4, (3, 239)).astype(np.float32)
    out[:, 236] = 1.3
    out[:, 237:] = [[40, 60], [70, 50], [64, 64]]
    return out


def test_vertices_and_colours_are_mirrored(model, mirror, vectors):
    turned = mirror.coefficients(vectors, 128)
    for a, b in ((vectors, turned), (turned, vectors)):
        before, after = (pose_vertices(model.vertices(v[:, :80], v[:, 80:144]), v[:, 233:236], v[:, 236], v[:, 237:])
                         for v in (a, b))
        np.testing.assert_allclose(after, before[:, mirror.vertices] * [-1, 1, 1] + [128, 0, 0], atol=0.03)
    np.testing.assert_allclose(model.albedo(turned[:, 144:224]), model.albedo(vectors[:, 144:224])[:, mirror.vertices],
                               atol=2e-3)


def test_light_comes_from_the_other_side(mirror, vectors):
    normals = np.random.default_rng(1).normal(size=(50, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    before = spherical_harmonics(normals) @ vectors[:, 224:233].T
    after = spherical_harmonics(normals * [-1, 1, 1]) @ mirror.coefficients(vectors, 1.0)[:, 224:233].T
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_twice_is_nothing_and_actions_change_sides(model, mirror, vectors):
    np.testing.assert_allclose(mirror.coefficients(mirror.coefficients(vectors, 99), 99), vectors, atol=1e-5)
    wink = np.zeros((1, 239), np.float32)
    wink[0, 80 + model.expression_names.index("eyeBlinkLeft")] = 1
    turned = Coefficients.from_vector(mirror.coefficients(wink, 1.0), model.basis_id)
    assert turned.expression[0, model.expression_names.index("eyeBlinkRight")] == 1
    assert turned.expression[0, model.expression_names.index("eyeBlinkLeft")] == 0


def test_landmarks_swap_with_their_vertices(model, mirror):
    assert sorted(LANDMARKS_68) == list(range(68))
    points = model.mean[model.landmarks68]
    np.testing.assert_allclose(points[LANDMARKS_68] * [-1, 1, 1], points, atol=4.0)  # mm
    assert (LANDMARKS_68[LANDMARKS_68] == np.arange(68)).all()


def test_wrong_shapes_are_named(mirror):
    with pytest.raises(InputError, match=r"got shape \(239,\), expected \(N, 239\)"):
        mirror.coefficients(np.zeros(239, np.float32), 1.0)
