"""Lashes, brows and beards grow where they should, and count as face."""

import numpy as np
import pytest

from rtface import ops
from rtface.morphable import MorphableModel
from rtface.synth.skin import sample_skin
from rtface.synth.strands import BEARD_STRANDS, BROW_STRANDS, LASHES, POINTS, FaceHair, ribbons


@pytest.fixture(scope="module")
def model():
    return MorphableModel.load()


@pytest.fixture(scope="module")
def hair(model):
    return FaceHair(model)


def grow(hair, model, **changes):
    skin = sample_skin(np.random.default_rng(1))._replace(stubble=0.0, moustache=0.0, goatee=0.0, beard=0.0)
    normals = ops.vertex_normals(model.mean[None], model.triangles)[0]
    return hair.grow(3, skin._replace(**changes), model.mean, normals, 0)


def test_ribbons_start_at_their_roots_and_have_their_length():
    roots, normals = np.zeros((2, 3)), np.tile([0.0, 0, -1], (2, 1))
    toward = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    surface = ribbons(roots, toward, np.zeros((2, 3)), np.array([10.0, 4.0]), 0.5, np.full((2, 3), 0.1), normals, 7)
    points = surface.vertices.reshape(2, POINTS, 2, 3)
    np.testing.assert_allclose(points[:, 0].mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(points[:, -1].mean(axis=1), axis=1), [10, 4], rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(points[:, 0, 0] - points[:, 0, 1], axis=1), 0.5, rtol=1e-5)
    assert surface.triangles.max() == len(surface.vertices) - 1 and set(surface.kind) == {7} and surface.uv is None


def test_lashes_stand_on_the_lids_and_brows_above_the_eyes(hair, model):
    lashes, brows = grow(hair, model)
    marks = model.mean[model.landmarks68]
    assert len(lashes.vertices) == 2 * LASHES * 2 * POINTS and len(brows.vertices) == 2 * BROW_STRANDS * 2 * POINTS
    roots = lashes.vertices.reshape(-1, POINTS, 2, 3)[:, 0].mean(axis=1)
    lids = model.mean[np.concatenate([model.contours["eyelid_right"], model.contours["eyelid_left"]])]
    assert np.linalg.norm(roots[:, None] - lids, axis=2).min(axis=1).max() < 2.5  # mm
    tips = lashes.vertices.reshape(-1, POINTS, 2, 3)[:, -1].mean(axis=1)
    assert (tips[:, 2] < roots[:, 2]).mean() > 0.95  # out of the face
    assert brows.vertices[:, 1].max() < marks[36:48, 1].min()
    assert marks[17, 0] - 10 < brows.vertices[:, 0].min() and brows.vertices[:, 0].max() < marks[26, 0] + 10


def test_beards_grow_around_the_mouth_only_where_there_is_one(hair, model):
    found = [parts for seed in range(6) if len(parts := FaceHair.grow(
        hair, seed, sample_skin(np.random.default_rng(1))._replace(beard=0.9, moustache=0.9, goatee=0.9), model.mean,
        ops.vertex_normals(model.mean[None], model.triangles)[0], 0)) == 3]
    assert len(found) >= 3
    beard = found[0][2]
    assert len(beard.vertices) == BEARD_STRANDS * 2 * POINTS
    roots = beard.vertices.reshape(-1, POINTS, 2, 3)[:, 0].mean(axis=1)
    marks = model.mean[model.landmarks68]
    assert np.quantile(roots[:, 1], 0.02) > marks[30, 1] - 25 and (roots[:, 1] > marks[33, 1]).mean() > 0.8
    assert len(grow(hair, model)) == 2
