"""Cuts between shots: what is one, and that no face is held, followed or interpolated across it."""

from __future__ import annotations

import numpy as np

from rtface.config import PipelineConfig, TrackerConfig
from rtface.pipeline import Pipeline
from rtface.stages.cut import CutFinder
from rtface.types import Frame
from tests import blobs


def picture(seed: int, shift: int = 0) -> np.ndarray:
    """A street-like picture of blocks, moved to the right by some px."""
    rng = np.random.default_rng(seed)
    blocks = np.kron(rng.integers(0, 255, (12, 16, 3)), np.ones((10, 10, 1))).astype(np.uint8)
    return np.roll(blocks, shift, axis=1)


def cuts(frames: list[np.ndarray], change: float = 24.0) -> list[int]:
    finder = CutFinder(change)
    return [k for k, pixels in enumerate(frames) if finder.is_cut(Frame(pixels, k, k / 25))]


def test_another_picture_is_a_cut_and_a_moved_one_is_not() -> None:
    still = [picture(0)] * 5 + [picture(1)] * 5 + [picture(0)] * 3
    assert cuts(still) == [5, 10]
    assert cuts([picture(0, k) for k in range(12)]) == []  # a slow pan
    assert cuts(still, change=0) == []


def test_fades_are_no_cuts() -> None:
    a, b = picture(0).astype(float), picture(1).astype(float)
    assert cuts([(a + (b - a) * k / 10).astype(np.uint8) for k in range(11)]) == []


def test_restless_pictures_need_a_larger_change() -> None:
    """Frames that jump by 20 levels all the time: one of 40 is part of it."""
    base = picture(0) // 2 + 60
    frames = [np.clip(base + (20 if k % 2 else 0), 0, 255).astype(np.uint8) for k in range(30)]
    frames[20] = np.clip(base + 45, 0, 255).astype(np.uint8)
    assert cuts(frames) == []


def test_a_restored_finder_goes_on_alike() -> None:
    frames = [picture(0, k) for k in range(6)] + [picture(1)]
    first = CutFinder(24.0)
    for k, pixels in enumerate(frames[:-1]):
        first.is_cut(Frame(pixels, k, k / 25))
    second = CutFinder(24.0)
    second.restore(first.snapshot())
    last = Frame(frames[-1], 6, 0.24)
    assert first.is_cut(last) and second.is_cut(last)
    third = CutFinder(24.0)
    third.restore(CutFinder(24.0).snapshot())
    assert not third.is_cut(last)


def shots() -> list[Frame]:
    """A red face on dark ground; then bright ground, at first nobody, then a green face at the same place."""
    frames = [blobs.paint([(80, 60, 60, 0)]) for _ in range(10)]
    bright = [np.where(blobs.paint(faces) == 60, 200, blobs.paint(faces)).astype(np.uint8)
              for faces in [[]] * 4 + [[(80, 60, 60, 1)]] * 10]
    return [Frame(pixels, k, k / 25) for k, pixels in enumerate([*frames, *bright])]


def run(change: float) -> list[tuple[bool, list[int]]]:
    config = PipelineConfig(meshes=False, tracker=TrackerConfig(faces=2, search_frames=1, cut_change=change))
    with Pipeline(config, engines=blobs.engines()) as chain:
        return [(result.cut, result.tracks.ids.tolist()) for result in chain.run(shots())]


def test_no_face_crosses_a_cut() -> None:
    got = run(24.0)
    assert [k for k, (cut, _) in enumerate(got) if cut] == [10]
    assert all(ids == [0] for _, ids in got[:10]) and all(ids == [] for _, ids in got[10:14])
    assert all(ids == [1] for _, ids in got[14:])


def test_without_cuts_the_lost_face_is_bridged() -> None:
    got = run(0.0)
    assert all(ids == [0] for _, ids in got)  # the other face takes its id, and the gap is interpolated
