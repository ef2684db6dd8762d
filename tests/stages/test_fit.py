"""Joining regressed coefficients with landmarks: faces whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from rtface.config import FitConfig
from rtface.errors import InputError
from rtface.geometry import pose_vertices
from rtface.morphable import MorphableModel
from rtface.stages.fit import LandmarkFitter
from rtface.types import Coefficients

INNER = slice(17, 68)


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return MorphableModel.load(level=0)


def face(model: MorphableModel, **actions: float) -> Coefficients:
    """One face, 2 px per mm, turned a little, with these actions."""
    rng = np.random.default_rng(0)
    vector = np.zeros((1, 239), np.float32)
    vector[0, :80] = rng.normal(0, 0.7, 80)
    for name, value in actions.items():
        vector[0, 80 + model.expression_names.index(name)] = value
    vector[0, -6:] = 0.1, -0.3, 0.05, 2.0, 300.0, 200.0
    return Coefficients.from_vector(vector, model.basis_id)


def points(model: MorphableModel, c: Coefficients) -> np.ndarray:
    vertices = model.vertices(c.identity, c.expression)[:, model.landmarks68]
    return pose_vertices(vertices, c.rotation, c.scale, c.translation)[..., :2].astype(np.float32)


def action(model: MorphableModel, c: Coefficients, name: str) -> float:
    return float(c.expression[0, model.expression_names.index(name)])


SEEN = np.ones((1, 68), np.float32)


def test_what_already_lies_on_its_landmarks_stays(model: MorphableModel) -> None:
    truth = face(model, jawOpen=0.4)
    fitted = LandmarkFitter(model).fit(truth, points(model, truth), SEEN)
    np.testing.assert_allclose(fitted.to_vector(), truth.to_vector(), atol=1e-4)
    assert fitted is not truth and fitted.basis == truth.basis


def test_mouth_and_pose_come_from_the_landmarks(model: MorphableModel) -> None:
    truth, shy = face(model, jawOpen=0.7), face(model, jawOpen=0.3)
    shy = replace(shy, translation=shy.translation + np.float32(4), scale=shy.scale * np.float32(1.03))
    target = points(model, truth)
    fitted = LandmarkFitter(model).fit(shy, target, SEEN)
    before, after = (np.linalg.norm(points(model, c) - target, axis=-1)[:, INNER].mean() for c in (shy, fitted))
    assert after < 0.35 * before
    assert action(model, fitted, "jawOpen") > 0.42
    for name in ("identity", "albedo", "illumination"):
        np.testing.assert_array_equal(getattr(fitted, name), getattr(shy, name))
    better = LandmarkFitter(model, FitConfig(iterations=3, mouth_mm=0.3, expression=0.5)).fit(shy, target, SEEN)
    assert abs(action(model, better, "jawOpen") - 0.7) < abs(action(model, fitted, "jawOpen") - 0.7)


def test_hidden_landmarks_say_nothing(model: MorphableModel) -> None:
    truth, shy = face(model, jawOpen=0.7), face(model, jawOpen=0.3)
    seen = SEEN.copy()
    seen[:, 48:] = 0.1  # something is before the mouth
    fitted = LandmarkFitter(model).fit(shy, points(model, truth), seen)
    wild = points(model, truth)
    wild[:, 48:] += 500
    np.testing.assert_array_equal(LandmarkFitter(model).fit(shy, wild, seen).to_vector(), fitted.to_vector())
    assert action(model, fitted, "jawOpen") < 0.4  # noses tell a little
    seen[:, 17:60] = 0
    assert LandmarkFitter(model).fit(shy, wild, seen).to_vector().tolist() == shy.to_vector().tolist()


def test_half_seen_landmarks_pull_less(model: MorphableModel) -> None:
    truth, shy = face(model, jawOpen=0.7), face(model, jawOpen=0.3)
    pulled = [action(model, LandmarkFitter(model).fit(shy, points(model, truth), SEEN * np.float32(share)), "jawOpen")
              for share in (0.35, 0.6, 1.0)]
    assert 0.3 < pulled[0] < pulled[1] < pulled[2] < 0.75


def test_it_agrees_with_a_numerical_minimum(model: MorphableModel) -> None:
    """The joined estimate is where prior and landmarks together are least: no small step makes it less."""
    config = FitConfig(iterations=6)
    truth, prior = face(model, jawOpen=0.6, mouthSmileLeft=0.5), face(model, jawOpen=0.4)
    target = points(model, truth)
    fitted = LandmarkFitter(model, config).fit(prior, target, SEEN)
    noise = np.concatenate([np.full(10, config.brow_mm), np.full(9, config.nose_mm), np.full(12, config.eye_mm),
                            np.full(20, config.mouth_mm)])
    freedom = np.full(64, config.expression)
    for k, name in enumerate(model.expression_names):
        for words, value in ((("eyeBlink", "eyeWide", "eyeSquint"), config.eyelids), (("jawOpen",), config.jaw),
                             (("brow",), config.brows)):
            freedom[k] = value if name.startswith(words) else freedom[k]
    low, high = model.expression_min, model.expression_limits(prior.identity)[0]

    def cost(c: Coefficients) -> float:
        off = (points(model, c).astype(np.float64) - target)[0, INNER] / float(c.scale[0]) / noise[:, None]
        return float((off ** 2).sum() + (((c.expression - prior.expression).astype(np.float64) / freedom) ** 2).sum())

    least = cost(fitted)
    assert least < 0.7 * cost(prior)
    for k in range(52):
        for step in (-0.1, 0.1):
            moved = fitted.expression.copy()
            moved[0, k] = np.clip(moved[0, k] + step, low[k], high[k])
            assert cost(replace(fitted, expression=moved)) > least - 0.02, model.expression_names[k]


def test_actions_stay_within_what_they_mean_and_others_take_over(model: MorphableModel) -> None:
    """Lips pressed together by an impossible jaw: clipping afterwards would leave more error than holding it."""
    prior, target = face(model, jawOpen=0.05), points(model, face(model, jawOpen=-0.4))
    low, high = model.expression_min, model.expression_limits(prior.identity)
    fitted = LandmarkFitter(model).fit(prior, target, SEEN)
    assert (fitted.expression >= low).all() and (fitted.expression <= high).all()
    assert action(model, fitted, "jawOpen") == 0
    loose = replace(model, expression_min=model.expression_min - np.float32(9))
    free = LandmarkFitter(loose).fit(prior, target, SEEN)
    assert action(model, free, "jawOpen") < -0.1
    cut = replace(free, expression=model.clip_expression(free.expression, free.identity))
    held, clipped = (np.linalg.norm(points(model, c) - target, axis=-1)[:, 48:].mean() for c in (fitted, cut))
    assert held < clipped
    wild = replace(prior, expression=prior.expression + np.float32(3))
    off = LandmarkFitter(model, FitConfig(enabled=False)).fit(wild, target, SEEN)
    np.testing.assert_array_equal(off.expression, model.clip_expression(wild.expression, wild.identity))


def test_faces_do_not_mix_and_none_is_fine(model: MorphableModel) -> None:
    fitter, one, two = LandmarkFitter(model), face(model, jawOpen=0.7), face(model, jawOpen=0.1)
    both = Coefficients.from_vector(np.concatenate([one.to_vector(), two.to_vector()]), model.basis_id)
    target = np.concatenate([points(model, two), points(model, one)])
    together = fitter.fit(both, target, SEEN.repeat(2, axis=0)).to_vector()
    np.testing.assert_array_equal(together[0], fitter.fit(one, target[:1], SEEN).to_vector()[0])
    np.testing.assert_array_equal(together[1], fitter.fit(two, target[1:], SEEN).to_vector()[0])
    nobody = Coefficients.from_vector(np.zeros((0, 239), np.float32), model.basis_id)
    assert len(fitter.fit(nobody, np.zeros((0, 68, 2), np.float32), np.zeros((0, 68), np.float32))) == 0


def test_it_can_be_switched_off_and_bad_settings_are_named(model: MorphableModel) -> None:
    truth, shy = face(model, jawOpen=0.7), face(model, jawOpen=0.3)
    off = LandmarkFitter(model, FitConfig(enabled=False)).fit(shy, points(model, truth), SEEN)
    np.testing.assert_array_equal(off.to_vector(), shy.to_vector())
    for wrong in ({"mouth_mm": 0}, {"iterations": 0}, {"expression": -1}, {"least_visibility": 2}, {"enabled": "no"}):
        with pytest.raises(InputError, match=f"FitConfig.{next(iter(wrong))}"):
            FitConfig(**wrong)  # type: ignore[arg-type]
