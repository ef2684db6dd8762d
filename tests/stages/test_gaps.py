"""Held and interpolated faces."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from rtface.config import GapConfig
from rtface.stages.gaps import GapFiller
from rtface.types import VECTOR_SIZE, Coefficients, FaceStatus, FaceTracks, Frame, FrameResult
from tests import blobs

STEP_S = 0.1
PIXELS = np.zeros((48, 64, 3), np.uint8)


def seen(index: int, *faces: tuple[int, float], pts_s: float | None = None, roll: float = 0.0) -> FrameResult:
    """A measured frame with faces (id, x of the centre); faces of other ids are 1000 px apart."""
    count = len(faces)
    ids = np.array([i for i, _ in faces], np.int32)
    x = np.array([1000 * i + x for i, x in faces], np.float32)
    boxes = np.stack([x - 10, x * 0, x + 10, x * 0 + 20], axis=1).astype(np.float32).reshape(count, 4)
    landmarks = (boxes[:, None, :2] + 20 * blobs.POINTS).astype(np.float32).reshape(count, 68, 2)
    vectors = np.zeros((count, VECTOR_SIZE), np.float32)
    vectors[:, -2], vectors[:, -4] = x, roll
    for array in (ids, boxes, landmarks, vectors):
        array.flags.writeable = False
    tracks = FaceTracks(ids, boxes, np.ones(count, np.float32), landmarks, np.full(count, index, np.int32))
    return FrameResult(Frame(PIXELS, index, index * STEP_S if pts_s is None else pts_s), tracks, None,
                       Coefficients.from_vector(vectors, "b"), None, np.ones((count, 6), np.float32),
                       np.full(count, 0.8, np.float32), (FaceStatus.TRACKED,) * count, {"track": 1.0})


def summary(results: Sequence[FrameResult]) -> list[tuple[int, list[tuple[int, str, float]]]]:
    """Per frame its index and faces (id, first letter of the status, x)."""
    return [(r.frame.index, [(int(i), s[0], round(float(x) - 1000 * int(i), 3)) for i, s, x in
                             zip(r.tracks.ids, r.status, r.coefficients.translation[:, 0], strict=True)])
            for r in results]


def run(filler: GapFiller, frames: Sequence[FrameResult]) -> list[FrameResult]:
    out = [result for frame in frames for result in filler.push(frame)]
    return out + filler.flush()


CONFIG = GapConfig(hold_s=0.2, max_gap_s=0.4)


def test_measured_frames_pass_at_once_and_unchanged() -> None:
    filler = GapFiller(CONFIG, lookahead=True)
    for k in range(4):
        frame = seen(k, (0, k), (1, k))
        assert filler.push(frame) == [frame]
    assert filler.waiting == 0
    assert filler.push(seen(4))[0:] == []  # both may come back


def test_a_face_found_again_in_time_is_interpolated() -> None:
    frames = [seen(0, (0, 0)), seen(1, (0, 1)), seen(2), seen(3), seen(4, (0, 4)), seen(5, (0, 5))]
    filler = GapFiller(CONFIG, lookahead=True)
    assert [len(filler.push(f)) for f in frames] == [1, 1, 0, 0, 3, 1]
    out = run(GapFiller(CONFIG, lookahead=True), frames)
    assert summary(out) == [(0, [(0, "t", 0)]), (1, [(0, "t", 1)]), (2, [(0, "i", 2)]), (3, [(0, "i", 3)]),
                            (4, [(0, "t", 4)]), (5, [(0, "t", 5)])]
    filled = out[2]
    assert filled.regions.tolist() == [[0] * 6] and filled.confidence[0] == pytest.approx(0.4)
    assert filled.tracks.ages.tolist() == [2] and filled.timings_ms == {"track": 1.0}
    np.testing.assert_allclose(filled.tracks.boxes_xyxy, [[-8, 0, 12, 20]], atol=1e-4)


def test_interpolation_goes_by_time_not_by_frame() -> None:
    frames = [seen(0, (0, 0), pts_s=0.0), seen(1, pts_s=0.03), seen(2, (0, 10), pts_s=0.1)]
    assert summary(run(GapFiller(CONFIG, lookahead=True), frames))[1] == (1, [(0, "i", 3)])


def test_angles_are_interpolated_the_short_way_round() -> None:
    frames = [seen(0, (0, 0), roll=math.pi - 0.1), seen(1), seen(2, (0, 0), roll=-math.pi + 0.3)]
    roll = run(GapFiller(CONFIG, lookahead=True), frames)[1].coefficients.rotation[0, 2]
    assert roll == pytest.approx(-math.pi + 0.1, abs=1e-5)


def test_a_face_that_stays_away_is_held_and_then_absent() -> None:
    frames = [seen(k, (0, 7)) for k in range(4)] + [seen(k) for k in range(4, 12)]
    filler = GapFiller(CONFIG, lookahead=True)
    assert [len(filler.push(f)) for f in frames] == [1, 1, 1, 1, 0, 0, 0, 0, 5, 1, 1, 1]
    out = run(GapFiller(CONFIG, lookahead=True), frames)
    assert [faces for _, faces in summary(out)][3:] == [[(0, "t", 7)], [(0, "h", 7)], [(0, "h", 7)]] + [[]] * 6
    assert out[4].confidence[0] == pytest.approx(0.4) and out[4].regions.tolist() == [[0] * 6]


def test_no_face_is_held_longer_than_it_was_followed() -> None:
    frames = [seen(0, (0, 0)), seen(1), seen(2, (1, 0)), seen(3, (1, 0)), seen(4), seen(5)]
    out = run(GapFiller(CONFIG, lookahead=False), frames)
    assert [faces for _, faces in summary(out)] == [[(0, "t", 0)], [], [(1, "t", 0)], [(1, "t", 0)], [(1, "h", 0)], []]


def test_the_end_of_the_source_gives_waiting_frames_as_held() -> None:
    out = run(GapFiller(CONFIG, lookahead=True), [seen(0, (0, 1)), seen(1, (0, 1)), seen(2)])
    assert summary(out)[1:] == [(1, [(0, "t", 1)]), (2, [(0, "h", 1)])]


def test_live_gives_every_frame_at_once_and_holds() -> None:
    filler = GapFiller(CONFIG, lookahead=False)
    frames = [*(seen(k, (0, 0)) for k in range(3)), seen(3), seen(4), seen(5), seen(6, (0, 4))]
    out = [filler.push(f) for f in frames]
    assert [len(ready) for ready in out] == [1] * 7
    assert [faces for _, faces in summary([ready[0] for ready in out])][2:] == [
        [(0, "t", 0)], [(0, "h", 0)], [(0, "h", 0)], [], [(0, "t", 4)]]


def test_other_faces_go_on_while_one_is_missing() -> None:
    frames = [seen(0, (0, 0), (1, 0)), seen(1, (1, 1)), seen(2, (0, 2), (1, 2))]
    assert summary(run(GapFiller(CONFIG, lookahead=True), frames))[1] == (1, [(0, "i", 1), (1, "t", 1)])


def test_gaps_of_two_faces_that_overlap_in_time_are_both_filled() -> None:
    frames = [seen(0, (0, 0), (1, 0)), seen(1, (1, 1)), seen(2), seen(3, (0, 3)), seen(4, (0, 4), (1, 4))]
    out = summary(run(GapFiller(CONFIG, lookahead=True), frames))
    assert [faces for _, faces in out[1:4]] == [[(0, "i", 1), (1, "t", 1)], [(0, "i", 2), (1, "i", 2)],
                                               [(0, "t", 3), (1, "i", 3)]]


def test_the_buffer_is_bounded() -> None:
    filler = GapFiller(GapConfig(hold_s=0.1, max_gap_s=100, max_buffered=3), lookahead=True)
    filler.push(seen(0, (0, 0)))
    assert [len(filler.push(seen(k))) for k in range(1, 7)] == [0, 0, 0, 1, 1, 1]
    back = filler.push(seen(7, (0, 7)))
    assert summary(back) == [(4, [(0, "i", 4)]), (5, [(0, "i", 5)]), (6, [(0, "i", 6)]), (7, [(0, "t", 7)])]


def test_no_ghost_is_held_where_a_measured_face_is() -> None:
    # the face came back under a new id at the same place
    frames = [seen(0, (0, 500)), seen(1, (0, 500)), seen(2, (1, -500))]
    assert summary(run(GapFiller(CONFIG, lookahead=False), frames))[2] == (2, [(1, "t", -500)])


def test_held_faces_take_no_place_of_measured_ones() -> None:
    frames = [seen(0, (0, 0)), seen(1, (0, 0)), seen(2, (1, 0))]
    assert summary(run(GapFiller(CONFIG, lookahead=False, faces=1), frames))[2] == (2, [(1, "t", 0)])


def test_a_resumed_run_remembers_the_faces_of_the_results_before() -> None:
    frames = [seen(0, (0, 0)), seen(1, (0, 1)), seen(2), seen(3, (0, 3))]
    whole = run(GapFiller(CONFIG, lookahead=True), frames)
    resumed = GapFiller(CONFIG, lookahead=True)
    resumed.recall(whole[:2])
    assert summary(run(resumed, frames[2:])) == summary(whole[2:])
    resumed.recall(whole[:3])  # the interpolated face does not count as measured
    assert summary(run(resumed, frames[3:])) == summary(whole[3:])


def test_no_hold_and_no_gap_pass_everything() -> None:
    frames = [seen(0, (0, 0)), seen(1), seen(2, (0, 2))]
    out = run(GapFiller(GapConfig(hold_s=0, max_gap_s=0), lookahead=True), frames)
    assert [len(r.tracks) for r in out] == [1, 0, 1]
