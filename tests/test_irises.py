"""Where irises are seen, and where the eyes look then."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtface.config import FitConfig
from rtface.geometry import pose_vertices
from rtface.irises import Irises
from rtface.morphable import MorphableModel
from rtface.stages.fit import LandmarkFitter
from rtface.types import VECTOR_SIZE, Coefficients

GAZE = np.deg2rad([[0, 0], [12, 0], [-8, 0], [0, 20], [0, -20], [10, 15]]).astype(np.float32)
"""Pitch and yaw."""


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return MorphableModel.load(level=0)


def heads(model: MorphableModel, gaze: np.ndarray) -> Coefficients:
    """People of different shape and pose, one for each direction."""
    rng = np.random.default_rng(2)
    vector = np.zeros((len(gaze), VECTOR_SIZE), np.float32)
    vector[:, :10] = rng.normal(0, 1, (len(gaze), 10))
    vector[:, -6:] = np.stack([*(rng.uniform(-0.3, 0.3, len(gaze)) for _ in range(3)),
                               *(np.full(len(gaze), value) for value in (1.3, 150, 140))], axis=1)
    known = Coefficients.from_vector(vector, model.basis_id)
    return replace(known, expression=Irises(model).with_gaze(known.expression, gaze))


def points(model: MorphableModel, coefficients: Coefficients) -> np.ndarray:
    placed = pose_vertices(model.vertices(coefficients.identity, coefficients.expression), coefficients.rotation,
                           coefficients.scale, coefficients.translation)
    return placed[:, model.landmarks68, :2].astype(np.float32)


def test_actions_turn_the_eyes_to_the_direction(model: MorphableModel) -> None:
    both = model.gaze(heads(model, GAZE).expression)
    np.testing.assert_allclose(both, np.repeat(GAZE[:, None], 2, axis=1), atol=1e-5)


def test_irises_lie_on_the_eyeballs_of_the_mesh(model: MorphableModel) -> None:
    coefficients = heads(model, GAZE)
    irises, gaps = Irises(model).project(coefficients, points(model, coefficients))
    balls = pose_vertices(model.eye_vertices(coefficients.identity, coefficients.expression), coefficients.rotation,
                          coefficients.scale, coefficients.translation)[..., :2]
    pupil = np.array(model.eyes.label_names)[model.eyes.labels] == "pupil"
    half = len(pupil) // 2
    for eye in range(2):
        rows = np.flatnonzero(pupil[:half]) + eye * half
        np.testing.assert_allclose(irises[:, eye], balls[:, rows].mean(axis=1), atol=0.3)  # px
    assert (gaps > 3).all() and (gaps < 20).all()  # mm


def test_gaze_follows_from_irises_and_is_bounded(model: MorphableModel) -> None:
    coefficients, eyes = heads(model, GAZE), Irises(model)
    marks = points(model, coefficients)
    irises, _ = eyes.project(coefficients, marks)
    np.testing.assert_allclose(eyes.gaze(coefficients, marks, irises), np.repeat(GAZE[:, None], 2, axis=1), atol=1e-4)
    away = eyes.gaze(coefficients, marks, irises + 500)
    assert np.isfinite(away).all() and (np.abs(away) < np.pi / 2 + 0.5).all()


def test_perspective_moves_irises_with_the_eye_corners(model: MorphableModel) -> None:
    coefficients = heads(model, GAZE)
    marks = points(model, coefficients)
    moved, _ = Irises(model).project(coefficients, marks + np.float32(7))
    still, _ = Irises(model).project(coefficients, marks)
    np.testing.assert_allclose(moved, still + 7, atol=1e-4)


def test_the_fit_looks_where_visible_irises_say(model: MorphableModel) -> None:
    truth = heads(model, GAZE)
    marks, seen = points(model, truth), np.ones((len(GAZE), 68), np.float32)
    irises = np.concatenate([Irises(model).project(truth, marks)[0], np.ones((len(GAZE), 2, 1), np.float32)], axis=2)
    ahead = replace(truth, expression=np.zeros_like(truth.expression))
    fitter = LandmarkFitter(model, FitConfig(irises=1))
    looking = model.gaze(fitter.fit(ahead, marks, seen, irises).expression)
    assert np.abs(looking - GAZE[:, None]).max() < np.deg2rad(6)  # lids that follow the gaze are fitted as blinks
    irises[:, 0, :2] += 9  # the right one is hidden, and wrong
    irises[:, 0, 2] = 0.2
    one_eyed = model.gaze(fitter.fit(ahead, marks, seen, irises).expression)
    np.testing.assert_allclose(one_eyed, looking, atol=np.deg2rad(2))
    irises[..., 2] = 0.2
    assert np.abs(model.gaze(fitter.fit(ahead, marks, seen, irises).expression)).max() < np.deg2rad(2)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_irises_weigh_what_the_configuration_says(model: MorphableModel, share: float) -> None:
    truth = heads(model, GAZE)
    marks, seen = points(model, truth), np.zeros((len(GAZE), 68), np.float32)  # no landmark counts
    irises = np.concatenate([Irises(model).project(truth, marks)[0], np.ones((len(GAZE), 2, 1), np.float32)], axis=2)
    ahead = replace(truth, expression=np.zeros_like(truth.expression))
    partly, wholly = (model.gaze(fitter.fit(ahead, marks, seen, irises).expression) for fitter in (
        LandmarkFitter(model, FitConfig(irises=part)) for part in (share, 1.0)))
    np.testing.assert_allclose(partly, share * wholly, atol=1e-4)
    assert np.abs(wholly).max() > np.deg2rad(15)
