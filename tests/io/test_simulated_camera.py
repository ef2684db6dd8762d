"""Simulated cameras and decoders: exact times, nothing early, no drift."""

from __future__ import annotations

import time

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.io import ArraySource, SimulatedCamera, SyntheticSource


class Clock:
    """Time that only passes when somebody sleeps or works."""

    def __init__(self) -> None:
        self.now_ns = 5_000_000_000
        self.slept: list[float] = []

    def __call__(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_ns += round(seconds * 1e9)

    def work(self, ms: float) -> None:
        self.now_ns += round(ms * 1e6)


def paced(media, clock: Clock, *, draw_ms: float = 0.0, **options) -> SimulatedCamera:
    """Frames that take ``draw_ms`` to get."""
    def draw(index: int) -> np.ndarray:
        clock.work(draw_ms)
        return media.number_picture(index)

    source = SyntheticSource(draw, 4)
    return SimulatedCamera(source, **{"fps": 25.0, "seconds": 0.4, **options}, clock_ns=clock, sleep=clock.sleep)


def test_a_camera_hands_over_every_frame_exactly_when_it_is_due(media) -> None:
    clock = Clock()
    source = paced(media, clock, draw_ms=7, phase_s=0.01)
    start = clock.now_ns
    arrivals, frames = [], []
    for frame in source:
        arrivals.append(clock.now_ns)
        frames.append(frame)
        clock.work(3)
    due = [start + 10_000_000 + k * 40_000_000 for k in range(10)]
    assert [f.captured_ns for f in frames] == due == arrivals
    assert [f.index for f in frames] == list(range(10)) and frames[5].pts_s == pytest.approx(0.2)
    assert [media.read_number(f.pixels) for f in frames] == [k % 4 for k in range(10)]  # again and again


def test_a_decoder_begins_when_the_picture_is_due(media) -> None:
    clock = Clock()
    late = []
    for frame in paced(media, clock, draw_ms=7, pace="decoder"):
        late.append((clock.now_ns - frame.captured_ns) / 1e6)
    assert late == pytest.approx([0] + [7] * 3 + [0] + [7] * 3 + [0] + [7])  # SyntheticSource keeps its first picture


def test_a_late_consumer_gets_what_waits_at_once_and_then_frames_on_time(media) -> None:
    clock = Clock()
    late = []
    for frame in paced(media, clock):
        late.append((clock.now_ns - frame.captured_ns) / 1e6)
        clock.work(100 if frame.index == 2 else 0)
    assert late == pytest.approx([0, 0, 0, 60, 20, 0, 0, 0, 0, 0])


def test_without_pace_frames_come_until_time_is_over(media) -> None:
    clock = Clock()
    source = paced(media, clock, pace="off", seconds=0.1)
    got = []
    for frame in source:
        got.append(frame.captured_ns)
        clock.work(9)
    assert len(got) == 12 and not clock.slept and source.expected_frames is None
    assert np.diff(got).tolist() == [9_000_000] * 11


def test_on_the_real_clock_nothing_is_early_and_nothing_drifts(media) -> None:
    source = SimulatedCamera(ArraySource([media.number_picture(0)]), fps=100, seconds=0.5)
    assert source.expected_frames == 50 and source.info.fps == 100 and source.info.kind == "synthetic"
    arrivals, due = [], []
    with source:
        for frame in source:
            arrivals.append(time.monotonic_ns())
            due.append(frame.captured_ns)
    np.testing.assert_array_equal(np.diff(due), np.full(49, 10_000_000))
    late_ms = (np.array(arrivals) - due) / 1e6
    assert late_ms.min() >= 0
    assert np.percentile(late_ms, 25) < 5  # a busy machine may wake the thread late now and then, never all the time


@pytest.mark.parametrize("options", [{"fps": 0.0}, {"seconds": 0.0}, {"seconds": float("inf")}, {"pace": "fast"},
                                     {"phase_s": -1.0}])
def test_wrong_options_are_errors(options, media) -> None:
    with pytest.raises(InputError, match="SimulatedCamera: got"):
        paced(media, Clock(), **options)


def test_a_source_without_frames_is_an_error(media) -> None:
    class Empty(ArraySource):
        def __iter__(self):
            return iter(())

    with pytest.raises(InputError, match="no frame"):
        list(SimulatedCamera(Empty([media.number_picture(0)]), fps=10, seconds=1))
