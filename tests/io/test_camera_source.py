"""A camera that works, stalls, breaks, comes back and never does; FFmpeg's test picture stands in for a real one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from rtface.errors import InputError, MediaError
from rtface.io import ArraySource, CameraSource, PacedSource, SyntheticSource
from rtface.io.camera_source import Grabbed, Patience
from rtface.io.cameras import CameraAddress, find_camera
from rtface.types import Frame

FAKE = CameraAddress("fake", "v4l2", "Fake Camera")
QUICK = Patience(open_s=1.0, stall_s=0.6, reconnect_s=2.0)


def picture(value: int) -> Grabbed:
    return Grabbed(np.full((48, 64, 3), value, np.uint8), time.monotonic_ns(), 30.0, "yuyv422")


class FakeCamera:
    """Every opening plays the next scene: numbers are pictures, ``"stall"`` hangs, ``"break"`` fails."""

    def __init__(self, *scenes: list[int | str], step_s: float = 0.03) -> None:
        self.scenes, self.step_s, self.opened, self.closed, self.given = list(scenes), step_s, 0, 0, 0
        self.hang = threading.Event()

    def __call__(self, address: CameraAddress, size: tuple[int, int], fps: float) -> Iterator[Grabbed]:
        self.opened += 1
        scene = self.scenes.pop(0) if self.scenes else ["break"]
        try:
            for act in scene:
                if act == "stall":
                    self.hang.wait(30)
                elif act == "break":
                    raise MediaError("no such device")
                else:
                    self.given += 1
                    yield picture(int(act))
                    time.sleep(self.step_s)
        finally:
            self.closed += 1

    def wait_for(self, pictures: int) -> None:
        """Until so many have been taken, on however busy a machine."""
        limit = time.monotonic() + 20
        while self.given < pictures:
            assert time.monotonic() < limit, f"{self.given} of {pictures} pictures were taken"
            time.sleep(0.005)


def values(frames: list[Frame]) -> list[int]:
    return [int(f.pixels[0, 0, 0]) for f in frames]


def test_ffmpegs_test_picture_comes_at_its_own_rate_with_its_capture_clock() -> None:
    address = find_camera("lavfi:testsrc=size=320x240:rate=20,realtime", [])
    with CameraSource(address) as source:
        assert (source.info.kind, source.info.width, source.info.height) == ("camera", 320, 240)
        assert "320 × 240 px, 20 fps" in source.description()
        frames = []
        for frame in source:
            assert 0 <= time.monotonic_ns() - frame.captured_ns < 5e8
            frames.append(frame)
            if len(frames) == 12:
                break
    assert [f.index for f in frames] == list(range(12)) and frames[0].pts_s == 0
    steps = np.diff([f.captured_ns for f in frames]) / 1e9
    assert np.median(steps) == pytest.approx(0.05, abs=0.02)
    np.testing.assert_allclose(np.diff([f.pts_s for f in frames]), steps, atol=1e-6)
    assert len({f.pixels.tobytes() for f in frames}) == 12


def test_the_newest_picture_counts_and_the_others_are_dropped() -> None:
    camera = FakeCamera(list(range(200)), step_s=0.02)
    with CameraSource(FAKE, grab=camera, patience=QUICK) as source:
        camera.wait_for(8)  # as if networks were loaded
        frames = iter(source)
        first = values([next(frames)])[0]
        assert first >= 3 and source.dropped <= 1
        camera.wait_for(first + 10)
        second = values([next(frames)])[0]
        assert second >= first + 4 and source.dropped == pytest.approx(second - first - 1, abs=1)


def test_a_camera_that_stalls_or_breaks_is_opened_again() -> None:
    camera = FakeCamera([1, 2, 3, "stall"], [4, 5, "break"], [6, 7, 8], step_s=0.06)
    began, frames = time.monotonic(), []
    with CameraSource(FAKE, grab=camera, patience=QUICK) as source:
        for frame in source:
            frames.append(frame)
            if values(frames)[-1] == 8:
                break
        assert values(frames) == [2, 3, 4, 5, 6, 7, 8]  # the first one told the size
        assert [f.index for f in frames] == list(range(7))
        assert frames[2].pts_s - frames[1].pts_s > 0.2  # the gap is in the times
        first, second = source.problems
        assert "no picture for 0.6 s" in first and "back after" in first and "no such device" in second
    assert time.monotonic() - began < 10
    camera.hang.set()


def test_one_that_does_not_come_back_is_an_error_that_says_what_was_tried() -> None:
    camera = FakeCamera([1, 2, 3, "break"])
    with CameraSource(FAKE, grab=camera, patience=QUICK) as source, \
            pytest.raises(MediaError, match=r"Fake Camera: got lost \(no such device\).*for 2 s did not help"):
        list(source)
    assert camera.opened >= 3
    with CameraSource(FAKE, grab=FakeCamera([1, 2, "break"]), patience=Patience(reconnect_s=0)) as source, \
            pytest.raises(MediaError, match=r"got lost \(no such device\); check its cable"):
        list(source)


@pytest.mark.parametrize(("scene", "message"), [
    (["break"], "no such device; check that no other program uses it, or try without one: rtface live --source demo"),
    (["stall"], "no picture for 1 s"), ([], "it ended")])
def test_one_that_sends_nothing_is_an_error(scene: list[int | str], message: str) -> None:
    camera = FakeCamera(scene)
    with pytest.raises(MediaError, match=message):
        CameraSource(FAKE, grab=camera, patience=QUICK)
    camera.hang.set()


def test_closing_never_hangs_and_ends_a_waiting_reader() -> None:
    camera = FakeCamera([1, 2, "stall"])
    source = CameraSource(FAKE, grab=camera, patience=Patience(stall_s=60))
    frames: list[Frame] = []
    reader = threading.Thread(target=lambda: frames.extend(source), daemon=True)
    reader.start()
    time.sleep(0.3)
    began = time.monotonic()
    source.close()
    reader.join(5)
    assert time.monotonic() - began < 3 and not reader.is_alive() and values(frames) == [2]
    camera.hang.set()
    for _ in range(100):  # the reader left behind releases the device as soon as it can
        if camera.closed:
            break
        time.sleep(0.02)
    assert camera.closed == 1


def test_a_device_that_cannot_be_opened_is_told_once() -> None:
    address = CameraAddress("/dev/video99", "v4l2", "ghost")
    with pytest.raises(MediaError, match=r"camera ghost: it cannot be opened \(.*no such file"):
        CameraSource(address, patience=QUICK)
    address = CameraAddress("rtsp://127.0.0.1:9/nothing", None, "stream")
    with pytest.raises(MediaError, match="camera stream: it cannot be opened"):
        CameraSource(address, patience=QUICK)


@pytest.mark.parametrize(("options", "message"), [({"size": (0, 480)}, "--size: got 0x480"),
                                                  ({"fps": 0}, "--fps: got 0"), ({"fps": 5000.0}, "--fps")])
def test_wrong_wishes_are_errors(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        CameraSource(FAKE, grab=FakeCamera([1]), **options)


def test_a_file_is_played_at_its_own_pace() -> None:
    pictures = [np.full((8, 8, 3), k, np.uint8) for k in range(6)]
    with PacedSource(ArraySource(pictures, pts_s=[0.5, 0.55, 0.6, 0.8, 0.85, 0.9])) as source:
        began, late = time.monotonic_ns(), []
        for frame in source:
            due = frame.pts_s - 0.5
            late.append((time.monotonic_ns() - began) / 1e9 - due)
            assert (frame.captured_ns - began) / 1e9 == pytest.approx(due, abs=0.05)
        assert len(late) == 6 and min(late) > -1e-3 and np.median(late) < 0.05
        assert source.problems == []


def test_decoding_that_is_too_slow_stops_the_clock() -> None:
    def draw(index: int) -> np.ndarray:
        time.sleep(0.3 if index else 0)
        return np.zeros((8, 8, 3), np.uint8)

    with PacedSource(SyntheticSource(draw, 6, 100.0)) as source:
        ages = [(time.monotonic_ns() - frame.captured_ns) / 1e9 for frame in source]
        assert max(ages) < 0.7
        assert source.problems == ["decoding is slower than the video's own pace; its clock was set back 2 times"]


def test_a_paced_source_does_not_wait_when_it_is_closed() -> None:
    source = PacedSource(ArraySource([np.zeros((8, 8, 3), np.uint8)] * 2, pts_s=[0, 60]))
    threading.Timer(0.2, source.close).start()
    began = time.monotonic()
    assert len(list(source)) == 1 and time.monotonic() - began < 5


def test_a_synthetic_source_may_have_no_end() -> None:
    source = SyntheticSource(lambda k: np.full((8, 8, 3), k % 7, np.uint8), None, 1000.0)
    assert source.info.frame_count is None and source.expected_frames is None
    assert [f.index for f, _ in zip(source, range(50), strict=False)] == list(range(50))
