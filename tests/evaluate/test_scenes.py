"""Drawn clips: the truth fits the pictures, and each scene moves as it says."""

from __future__ import annotations

import numpy as np
import pytest

from rtface.evaluate import scenes
from rtface.evaluate.traces import Curves
from rtface.morphable import MorphableModel
from rtface.synth.generator import FaceFactory

SIZE = (96, 128)


@pytest.fixture(scope="module")
def factory() -> FaceFactory:
    return FaceFactory(MorphableModel.load(level=0))


def test_a_still_face_does_not_move_and_its_pictures_differ_by_noise(factory: FaceFactory) -> None:
    clip = scenes.draw(factory, "still", scenes.SEED, frames=3, size=SIZE)
    (truth,) = clip.truths
    assert np.ptp(truth.points, axis=0).max() < 1e-3 and truth.known.all() and truth.vectors is not None
    with clip.frames() as frames:
        first, second, third = (frame.pixels.astype(int) for frame in frames)
    assert first.shape == (*SIZE, 3) and 0 < np.abs(first - second).mean() < 6 and (second != third).any()
    np.testing.assert_allclose(Curves(factory.model).mesh_points(truth.vectors), truth.points, atol=0.05)


def test_heads_turn_about_their_origin(factory: FaceFactory) -> None:
    turn = scenes._actors(factory, "fast turn", scenes.SEED, 30, SIZE)[0].poses
    assert np.abs(turn[:, 1]).max() == pytest.approx(0.6, abs=0.01) and np.ptp(turn[:, 3:], axis=0).max() < 1e-3
    slow = scenes._actors(factory, "slow turn", scenes.SEED, 90, SIZE)[0]
    assert (np.diff(slow.poses[:, 1]) > 0).all() and not slow.expressions.any()
    talking = scenes._actors(factory, "talking", scenes.SEED, 90, SIZE)[0]
    assert np.ptp(talking.poses, axis=0).max() < 1e-3 and np.ptp(talking.expressions, axis=0).max() > 0.3


def test_the_farther_face_is_hidden_while_the_other_one_passes(factory: FaceFactory) -> None:
    clip = scenes.draw(factory, "crossing", scenes.SEED, frames=5, size=SIZE)
    far, near = clip.truths
    assert far.hidden is not None and far.hidden.tolist() == [False, False, True, False, False] and near.hidden is None
    assert (np.diff(far.points[:, 30, 0]) > 0).all() and (np.diff(near.points[:, 30, 0]) < 0).all()
    with clip.frames() as frames:
        pixels = [frame.pixels for frame in frames]
    alone = scenes._actors(factory, "crossing", scenes.SEED, 5, SIZE)[1]
    x, y = near.points[2, 30].astype(int)
    drawn = alone.draw(2).pixels
    assert np.abs(pixels[2][y - 2:y + 2, x - 2:x + 2].astype(int) - drawn[y - 2:y + 2, x - 2:x + 2]).mean() < 12


def test_seeds_are_kept_apart_from_those_of_training(factory: FaceFactory) -> None:
    drawn = list(scenes.clips(factory.model, scenes=("still",), people=2, frames=1, size=SIZE))
    assert [clip.name for clip in drawn] == ["still 900000", "still 900001"]
    assert all(clip.origin == "drawn" and clip.group == "still" for clip in drawn)
    a, b = (clip.truths[0].vectors for clip in drawn)
    assert a is not None and b is not None and np.abs(a - b).max() > 0.1


def test_a_face_counts_as_hidden_from_a_third_of_its_points_on() -> None:
    square = np.zeros((1, 68, 2), np.float32)
    square[0, :, 0], square[0, :, 1] = np.linspace(0, 67, 68), np.linspace(20, 60, 68)
    assert scenes.covered(square, square + [[[20, 0]]])[0] and not scenes.covered(square, square + [[[60, 0]]])[0]
