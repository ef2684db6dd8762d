"""Pasting occluders on photographs, and what they move."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from rtface.evaluate import robustness as rob
from rtface.evaluate.commands import EvaluateOptions, evaluate
from rtface.evaluate.networks import Measured
from rtface.evaluate.pasting import Paster, hidden_landmarks
from rtface.geometry import pose_vertices
from rtface.morphable import MorphableModel
from rtface.types import VECTOR_SIZE, Coefficients
from tests import blobs
from tests.evaluate.packs import small_pack


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return MorphableModel.load()


def face(scale: float = 0.9, x: float = 100.0) -> Coefficients:
    vector = np.zeros((1, VECTOR_SIZE), np.float32)
    vector[0, -3:] = scale, x, 100.0
    return Coefficients.from_vector(vector, "rtface-1")


@pytest.mark.parametrize(("kind", "where"), [("mask", slice(48, 68)), ("headset", slice(36, 48))])
def test_things_are_pasted_where_they_are_worn(model: MorphableModel, kind: str, where: slice) -> None:
    picture = np.full((200, 200, 3), 120, np.uint8)
    coefficients = face()
    pasted = Paster(model).paste(np.random.default_rng(1), picture, coefficients, kind)
    placed = pose_vertices(model.mean[None], coefficients.rotation, coefficients.scale, coefficients.translation)
    hidden = hidden_landmarks(placed[0, model.landmarks68, :2], pasted.cover)
    assert hidden[where].mean() > 0.8 and 0.1 < pasted.coverage < 0.8
    other = slice(36, 48) if kind == "mask" else slice(55, 60)
    assert not hidden[other].any()  # a mask leaves the eyes free, a headset the lower lip
    moved = (pasted.pixels != picture).any(axis=2)
    assert moved[pasted.cover].mean() > 0.8
    near = cv2.dilate(pasted.cover.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert not moved[~near].any()  # beyond the soft border nothing changes


def test_arms_of_spectacles_go_behind_the_head(model: MorphableModel) -> None:
    picture = np.full((200, 200, 3), 120, np.uint8)
    turned = face()
    turned.rotation[0, 1] = 0.6
    pasted = Paster(model).paste(np.random.default_rng(0), picture, turned, "glasses")
    assert 0.005 < pasted.coverage < 0.35


def test_points_beyond_the_picture_are_not_hidden() -> None:
    cover = np.ones((10, 10), np.bool_)
    points = np.array([[5.0, 5.0], [-3.0, 5.0], [5.0, 11.0]])
    assert hidden_landmarks(points, cover).tolist() == [True, False, False]


def test_nothing_moves_between_equal_results(model: MorphableModel) -> None:
    points = np.random.default_rng(0).normal(size=(68, 2)).astype(np.float32)
    one = Measured(points, 0.9, face())
    hidden = np.arange(68) < 10
    same = rob.compare(model, one, one, hidden)
    assert all(abs(value) < 0.03 for value in same.values())
    other = face()
    other.identity[0, 0] = 2.0
    other.rotation[0, 1] = np.radians(10)
    two = Measured(points + np.float32(1.0), 0.5, other)
    figures = rob.compare(model, one, two, hidden)
    eyes = float(np.linalg.norm(points[36] - points[45]))
    assert figures["landmarks"] == pytest.approx(np.sqrt(2) / eyes, rel=1e-4)
    assert figures["turn_deg"] == pytest.approx(10, abs=0.05) and figures["presence_drop"] == pytest.approx(0.4)
    assert figures["shape_mm"] == pytest.approx(figures["identity_mm"]) and figures["identity_mm"] > 0.2
    assert np.isnan(rob.compare(model, one, two, np.zeros(68, bool))["hidden"])


def test_the_protocol_pastes_every_kind_on_every_face(tmp_path: Path) -> None:
    pack = small_pack(tmp_path / "pack")
    report = evaluate("robustness", EvaluateOptions(data=pack, sets=("lfpw_test",)), engines=blobs.engines())
    kinds = [line["name"] for line in report.results if line["group"] == "kind"]
    assert kinds == list(rob.KINDS)
    everything = report.results[-1]
    assert everything["name"] == "all" and everything["pasted"] == sum(
        line["pasted"] for line in report.results if line["group"] == "kind")
    assert "left out because the clean result was doubtful" in report.text()
