"""Ids, re-detection, loss and return of faces, on painted ellipses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from rtface.config import TrackerConfig
from rtface.errors import BackendError, ModelFileError
from rtface.inference import EngineSpec, FakeEngine, TensorSpec
from rtface.stages.detect import FaceDetector
from rtface.stages.track import FaceTracker, TrackedFaces
from rtface.types import Frame
from tests import blobs

Face = tuple[float, float, float, int]


class World:
    """A tracker over fake networks that counts their calls."""

    def __init__(self, **options: Any) -> None:
        self.engines = blobs.engines()
        self.tracker = FaceTracker(FaceDetector(self.engines["detector"]), self.engines["landmarks"],
                                   TrackerConfig(**options))
        self.index = -1

    def see(self, *faces: Face, step_s: float = 0.04, size: tuple[int, int] = (120, 160)) -> TrackedFaces:
        """The next frame."""
        self.index += 1
        pixels = blobs.paint(faces, *size)
        pixels.flags.writeable = False
        return self.tracker.track(Frame(pixels, self.index, self.index * step_s))


def ids(tracked: TrackedFaces) -> Sequence[int]:
    return tracked.tracks.ids.tolist()


LEFT, RIGHT = (45.0, 60.0, 40.0, 0), (115.0, 60.0, 30.0, 1)


def test_no_face_is_n_0_and_the_detector_looks_in_every_frame() -> None:
    world = World()
    for _ in range(3):
        tracked = world.see()
        assert len(tracked.tracks) == 0 and tracked.visibility.shape == (0, 68) and tracked.detected
    assert world.engines["detector"].calls == 3


def test_faces_keep_their_ids_while_they_move_and_the_detector_rests() -> None:
    world = World(faces=2, interval_frames=10)
    passes = []
    for k in range(9):
        before = world.engines["landmarks"].calls
        tracked = world.see((45 + 2 * k, 60, 40, 0), (115 - k, 60 - k, 30, 1))
        passes.append(world.engines["landmarks"].calls - before)
        assert ids(tracked) == [0, 1]
        boxes = tracked.tracks.boxes_xyxy
        np.testing.assert_allclose((boxes[:, :2] + boxes[:, 2:]) / 2, [[45 + 2 * k, 60], [115 - k, 60 - k]], atol=2)
        assert tracked.tracks.ages.tolist() == [k, k]
    assert passes == [2] + [1] * 8  # two passes on a fresh detection, one while following
    assert world.engines["detector"].calls == 1


def test_detector_runs_at_its_interval() -> None:
    world = World(faces=1, interval_frames=4)
    assert [world.see(LEFT).detected for _ in range(9)] == [True, False, False, False] * 2 + [True]


def test_detector_glances_while_others_may_come() -> None:
    world = World(faces=2, interval_frames=100, search_frames=50, glance_frames=3)
    assert [world.see(LEFT).detected for _ in range(7)] == [True, False, False, True, False, False, True]
    assert ids(world.see(LEFT, RIGHT)) == [0]
    assert [ids(world.see(LEFT, RIGHT)) for _ in range(3)] == [[0], [0, 1], [0, 1]]


def test_whole_frames_are_searched_while_somebody_is_missing() -> None:
    """The detector's calls in a frame: one tile or look while nobody is missing, both looks after a loss."""
    world = World(faces=2, interval_frames=100, search_frames=4, glance_frames=2, forget_s=0.4)
    left, right = (200.0, 200.0, 150.0, 0), (480.0, 200.0, 150.0, 1)
    calls = []
    for k in range(20):
        before = world.engines["detector"].calls
        seen = world.see(*((left, right) if k == 0 else (left,)), size=(480, 640))
        calls.append(world.engines["detector"].calls - before)
        assert ids(seen) == ([0, 1] if k == 0 else [0])
    lost = 0.4 / 0.04
    assert calls[:2] == [2, 2]  # the first frame, and the one in which the face is lost
    assert calls[2:int(lost) + 1] == [0, 0, 0, 2, 0, 0, 0, 2, 0]
    assert calls[int(lost) + 1:] == [1, 0, 1, 0, 1, 0, 1, 0, 1]


class Decoys(World):
    """Green things look like faces to the detector; the landmark network is as sure of them as ``sure`` says."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.sure = 0.0
        self.looks = 0
        """Crops of green things that the landmark network got."""

        def points(crops: np.ndarray) -> dict[str, np.ndarray]:
            out = blobs.find_landmarks(crops)
            green = (np.abs(crops - blobs.COLORS[1][:, None, None] / 255).max(axis=1) < 0.3).mean(axis=(1, 2)) > 0.1
            self.looks += int(green.sum())
            return {**out, "presence": np.where(green, np.float32(self.sure), out["presence"])}

        self.engines["landmarks"] = FakeEngine(blobs.SPECS["landmarks"], points)
        self.tracker = FaceTracker(FaceDetector(self.engines["detector"]), self.engines["landmarks"],
                                   TrackerConfig(**options))

    def looks_at(self, *faces: Face) -> int:
        """In the next frame."""
        before = self.looks
        self.see(*faces)
        return self.looks - before


def test_what_is_clearly_no_face_is_left_alone_for_a_while() -> None:
    world = Decoys(faces=2, interval_frames=100, glance_frames=1, retry_s=0.19)
    world.sure = 0.1
    assert world.looks_at(LEFT) == 0
    assert [world.looks_at(LEFT, RIGHT) for _ in range(11)] == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]  # 25 frames a second
    world.sure = 1.0  # it turns round and is a face
    assert [len(world.see(LEFT, RIGHT).tracks) for _ in range(5)] == [1, 1, 1, 1, 2]


def test_what_may_be_a_face_is_looked_at_again_at_once() -> None:
    """In crowds many faces are accepted at the second or third try."""
    world = Decoys(faces=2, interval_frames=100, glance_frames=1)
    world.sure = 0.9
    world.see(LEFT)
    assert [world.looks_at(LEFT, RIGHT) for _ in range(4)] == [2, 2, 2, 2]
    world.sure = 1.0
    assert len(world.see(LEFT, RIGHT).tracks) == 2


def test_elsewhere_and_while_somebody_is_missing_everything_is_looked_at() -> None:
    world = Decoys(faces=3, interval_frames=100, glance_frames=1, search_frames=1)
    assert [world.looks_at(LEFT, (115.0, 60.0 + y, 30.0, 1)) for y in (0, 40, 1, 41)] == [1, 1, 0, 0]
    assert world.looks_at((200.0, 60.0, 40.0, 0), RIGHT) == 1  # the followed face is gone
    assert world.looks_at((200.0, 60.0, 40.0, 0), RIGHT) == 1


def test_loss_is_searched_for_at_once_and_the_old_id_comes_back() -> None:
    world = World(faces=1)
    world.see(LEFT)
    lost = world.see()
    assert lost.detected and len(lost.tracks) == 0
    for _ in range(5):
        world.see()
    back = world.see((50, 62, 40, 0))
    assert ids(back) == [0] and back.tracks.ages.tolist() == [7]


def test_a_face_that_moved_on_without_the_crop_is_found_in_the_same_frame() -> None:
    world = World(faces=1)
    world.see((40, 60, 30, 0))
    tracked = world.see((90, 60, 30, 0))
    assert tracked.detected and ids(tracked) == [0]


def test_far_or_late_or_different_faces_get_new_ids() -> None:
    large = (60.0, 60.0, 60.0, 0)
    for face, wait in (((150, 60, 18, 0), 1), (large, 90), ((60, 60, 18, 0), 1)):
        world = World(faces=1, forget_s=3.0)
        world.see(large)
        for _ in range(wait):
            world.see()
        assert ids(world.see(face)) == [1]


def test_the_largest_faces_are_kept_and_followed_ones_come_first() -> None:
    world = World(faces=1, interval_frames=2)
    assert world.see(RIGHT, LEFT).tracks.boxes_xyxy[0, 0] == pytest.approx(25, abs=2)
    world = World(faces=1, interval_frames=2)
    world.see(RIGHT)
    for _ in range(4):  # LEFT is larger, but not by enough to take the place
        assert ids(world.see(RIGHT, (45, 60, 34, 0))) == [0]
    for _ in range(2):
        tracked = world.see(RIGHT, (45, 60, 60, 0))
    assert ids(tracked) == [1]


def test_duplicates_are_merged_into_the_older_face() -> None:
    world = World(faces=2, interval_frames=3)
    world.see((60, 60, 40, 0), (110, 60, 40, 1))
    for x in (100, 90, 80, 75, 70, 66):
        tracked = world.see((x, 60, 40, 0), (110, 60, 40, 1))
    state = world.tracker.snapshot()  # both follow the same blob now, as if the second were lost in the first
    state["landmarks"][1] = state["landmarks"][0] + 1
    world.tracker.restore(state)
    tracked = world.see((66, 60, 40, 0))
    assert ids(tracked) == [0]


def test_a_face_that_drifted_is_set_right_by_its_detection() -> None:
    def stubborn(crops: np.ndarray) -> dict[str, np.ndarray]:
        """Finds a face in the middle of any crop, and is as sure as its middle is filled."""
        points = np.repeat((blobs.POINTS * [94.8, 114.1] + [16.6, -9.9])[None], len(crops), 0).astype(np.float32)
        share = np.array([(crop[0, 32:96, 32:96] > 0.9).mean() for crop in crops], np.float32)
        return {"landmarks": points, "presence": 0.4 + share, "visibility": np.ones((len(crops), 68), np.float32)}

    world = World(faces=1, interval_frames=5, min_presence_new=0.4)
    engine = FakeEngine(blobs.SPECS["landmarks"], stubborn)
    world.tracker = FaceTracker(FaceDetector(world.engines["detector"]), engine,
                                TrackerConfig(faces=1, interval_frames=5, min_presence_new=0.4))
    x = [float(world.see((60 + 3 * k, 60, 40, 0)).tracks.boxes_xyxy[0, [0, 2]].mean()) for k in range(6)]
    np.testing.assert_allclose(x[:5], 60, atol=2)  # it stays where the face was
    assert x[5] == pytest.approx(75, abs=2)
    assert ids(world.see((78, 60, 40, 0))) == [0]


def test_points_that_slip_off_a_face_are_a_loss() -> None:
    world = World(faces=1)
    world.see((60, 60, 60, 0))
    tracked = world.see((60, 60, 30, 0))
    assert tracked.detected and ids(tracked) == [0]  # found again by the detector
    assert not world.see((60, 60, 32, 0)).detected


def test_faces_that_leave_the_frame_are_lost() -> None:
    world = World(faces=1)
    for x in (20, 10, 0):
        tracked = world.see((x, 60, 30, 0))
    for x in (-8, -14, -20):
        tracked = world.see((x, 60, 30, 0))
    assert len(tracked.tracks) == 0


def test_a_snapshot_goes_on_exactly_where_it_was_taken() -> None:
    frames: list[list[Face]] = [[(45 + k, 60, 40, 0)] + ([(120, 50, 30, 1)] if k < 8 or k > 12 else [])
                                for k in range(24)]
    whole = World(faces=2, interval_frames=7)
    expected = [whole.see(*faces) for faces in frames]
    first, second = World(faces=2, interval_frames=7), World(faces=2, interval_frames=7)
    for faces in frames[:11]:
        first.see(*faces)
    second.tracker.restore(first.tracker.snapshot())
    second.index = first.index
    for faces, want in zip(frames[11:], expected[11:], strict=True):
        got = second.see(*faces)
        assert ids(got) == ids(want) and got.detected == want.detected
        np.testing.assert_array_equal(got.tracks.landmarks, want.tracks.landmarks)
        np.testing.assert_array_equal(got.tracks.ages, want.tracks.ages)


def test_a_snapshot_knows_what_was_no_face() -> None:
    first, second = Decoys(faces=2, interval_frames=100, glance_frames=1), Decoys(
        faces=2, interval_frames=100, glance_frames=1)
    first.see(LEFT)
    assert first.looks_at(LEFT, RIGHT) == 1
    second.tracker.restore(first.tracker.snapshot())
    second.index = first.index
    assert second.looks_at(LEFT, RIGHT) == 0


def test_points_that_are_not_finite_are_an_error() -> None:
    engine = FakeEngine(blobs.SPECS["landmarks"], lambda crops: {
        "landmarks": np.full((len(crops), 68, 2), np.nan, np.float32),
        "presence": np.ones(len(crops), np.float32), "visibility": np.ones((len(crops), 68), np.float32)})
    tracker = FaceTracker(FaceDetector(blobs.engines()["detector"]), engine)
    with pytest.raises(BackendError, match="not finite"):
        tracker.track(Frame(blobs.paint([LEFT]), 0, 0.0))


def test_crops_need_a_fixed_size() -> None:
    spec = EngineSpec("landmarks", "compact", (TensorSpec("crops", ("N", 3, "S", "S")),), ())
    with pytest.raises(ModelFileError, match="free size"):
        FaceTracker(FaceDetector(blobs.engines()["detector"]), FakeEngine(spec, blobs.find_landmarks))
