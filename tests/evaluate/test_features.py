"""The distance of deep features: by hand, and on drawn faces whose damage is known."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from rtface.errors import BackendError, InputError
from rtface.evaluate import features, pictures
from rtface.evaluate.features import FeatureDistance, feature_distance
from rtface.evaluate.portraits import People
from rtface.morphable import MorphableModel

SIDE = 128
Y, X = np.mgrid[:SIDE, :SIDE]
HOLE = ((X - 64) / 34) ** 2 + ((Y - 78) / 26) ** 2 < 1
"""Nose, mouth and cheeks."""


@pytest.fixture(scope="module")
def ruler() -> FeatureDistance:
    return FeatureDistance()


@pytest.fixture(scope="module")
def faces() -> list[np.ndarray]:
    people = People(MorphableModel.load())
    drawn = [people.portrait(number, 0, True).pixels[80:432, 80:432] for number in range(3)]
    return [cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255 for pixels in drawn]


def filled(face: np.ndarray, content: np.ndarray) -> np.ndarray:
    return np.where(HOLE[..., None], content, face).astype(np.float32)


def test_a_distance_by_hand() -> None:
    """Two layers: in the first one place of four differs by a right angle, in the second all are opposite."""
    first = np.zeros((2, 2, 2), np.float32)
    first[0] = 3
    turned = first.copy()
    turned[:, 0, 0] = 0, 5
    deep = np.ones((3, 1, 1), np.float32)
    everywhere, corner = np.ones((4, 4), bool), np.zeros((4, 4), bool)
    corner[:2, :2] = True
    assert feature_distance([first, deep], [turned, -deep], everywhere) == pytest.approx((2 / 4 + 4) / 2, abs=1e-5)
    assert feature_distance([first], [turned], corner) == pytest.approx(2, abs=1e-5)
    assert feature_distance([first], [turned], ~corner) == 0
    corner[:, 0] = True  # a half of the place below counts half
    assert feature_distance([first], [turned], corner) == pytest.approx(2 / 1.5, abs=1e-5)
    assert np.isfinite(features.unit(np.zeros((2, 1, 1), np.float32))).all()


def test_equal_pictures_have_none_and_only_the_hole_counts(ruler: FeatureDistance, faces: list[np.ndarray]) -> None:
    face = faces[0]
    assert ruler.distance(face, face, HOLE) == 0
    corner = face.copy()
    corner[:16, :16] = 0
    assert ruler.distance(face, corner, HOLE) < 0.01 < 0.3 < ruler.distance(face, corner, (X < 16) & (Y < 16))
    assert np.isnan(ruler.distance(face, face, np.zeros_like(HOLE)))
    assert ruler.distance(face, filled(face, face * 0), HOLE) == pytest.approx(
        ruler.distance(filled(face, face * 0), face, HOLE))


@pytest.mark.parametrize("damage", ["blur", "noise", "fill"])
def test_more_damage_is_further_away(damage: str, ruler: FeatureDistance, faces: list[np.ndarray]) -> None:
    for number, face in enumerate(faces):
        grain = np.random.default_rng(number).normal(size=face.shape)
        mean = face[~HOLE].mean(axis=0)
        worse = {"blur": [cv2.GaussianBlur(face, (0, 0), sigma) for sigma in (0.5, 1, 2, 4, 8)],
                 "noise": [np.clip(face + sigma * grain, 0, 1) for sigma in (0.02, 0.05, 0.1, 0.2, 0.4)],
                 "fill": [(1 - share) * face + share * mean for share in (0.1, 0.25, 0.5, 0.75, 1)]}[damage]
        distances = [ruler.distance(face, filled(face, content), HOLE) for content in worse]
        assert (np.diff([0, *distances]) > 0).all() and distances[-1] > 0.2


def test_a_sharp_completion_that_is_nearly_right_comes_before_a_smooth_one(ruler: FeatureDistance,
                                                                           faces: list[np.ndarray]) -> None:
    soft = []
    for face in faces:
        moved = filled(face, np.roll(face, (2, 2), (0, 1)))
        flat = filled(face, np.broadcast_to(face[~HOLE].mean(axis=0), face.shape))
        blurred = filled(face, cv2.GaussianBlur(face, (0, 0), 4))
        telea = cv2.inpaint((face * 255).astype(np.uint8), HOLE.astype(np.uint8), 3, cv2.INPAINT_TELEA)
        near = ruler.distance(face, moved, HOLE)
        assert 2 * near < ruler.distance(face, flat, HOLE)
        assert 2 * near < ruler.distance(face, telea.astype(np.float32) / 255, HOLE)
        soft.append((near, ruler.distance(face, blurred, HOLE)))
    near, smooth = np.mean(soft, axis=0)
    assert near < smooth  # on the average of faces; on one of them a little the other way round


def test_what_psnr_gets_wrong(ruler: FeatureDistance, faces: list[np.ndarray]) -> None:
    """A little more light in a sharp face costs PSNR as much as a strong blur does; features know the difference."""
    for face in faces:
        lighter, blurred = filled(face, np.clip(face * 1.12, 0, 1)), filled(face, cv2.GaussianBlur(face, (0, 0), 4))
        assert pictures.psnr(face, lighter, HOLE) < pictures.psnr(face, blurred, HOLE) + 1
        assert ruler.distance(face, lighter, HOLE) < ruler.distance(face, blurred, HOLE)


def test_the_ruler_is_a_shipped_network_and_says_which(ruler: FeatureDistance, faces: list[np.ndarray]) -> None:
    told = ruler.describe()
    assert told["network"] == "landmarks.compact" and len(told["layers"]) == 4 and len(told["sha256"]) == 16
    large = cv2.resize(faces[0], (2 * SIDE, 2 * SIDE), interpolation=cv2.INTER_LINEAR)
    hole = np.kron(HOLE, np.ones((2, 2), bool)) > 0
    assert ruler.distance(large, large * 0.5, hole) == pytest.approx(
        ruler.distance(faces[0], faces[0] * 0.5, HOLE), rel=0.1)


def test_without_the_package_onnx_the_mend_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(BackendError, match=r"got no package onnx.*pip install rtface\[evaluate\]"):
        FeatureDistance()


def test_what_cannot_be_measured_is_told(ruler: FeatureDistance, faces: list[np.ndarray]) -> None:
    with pytest.raises(InputError, match=r"pictures: got \(128, 128, 3\), \(64, 128, 3\)"):
        ruler.distance(faces[0], faces[0][:64], HOLE)
    with pytest.raises(InputError, match="without convolutions of stride 2"):
        features.halved_tensors(SimpleNamespace(node=[]))
