"""The sources that ship as fakes."""

from __future__ import annotations

import time

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.io import ArraySource, SyntheticSource


def test_arrays_become_frames_in_order(media) -> None:
    pictures = np.stack([media.number_picture(i) for i in range(5)])
    with ArraySource(pictures, fps=10) as source:
        frames = list(source)
        assert [(f.index, round(f.pts_s, 6), media.read_number(f.pixels)) for f in frames] == [
            (i, round(i / 10, 6), i) for i in range(5)]
        assert list(source)[0].captured_ns >= frames[-1].captured_ns
        assert source.problems == [] and source.expected_frames == 5
        info = source.info
    assert (info.kind, info.width, info.height, info.frame_count) == ("array", 64, 48, 5)
    assert info.fps == pytest.approx(10) and info.duration_s == pytest.approx(0.5)
    assert ArraySource(pictures, fps=10).info.fingerprint == info.fingerprint
    assert ArraySource(pictures[::-1], fps=10).info.fingerprint != info.fingerprint


def test_arrays_may_have_their_own_times_and_sizes(media) -> None:
    source = ArraySource([media.number_picture(1), media.number_picture(2, 80, 60)], pts_s=[0.5, 2.0])
    assert [(f.pts_s, f.pixels.shape) for f in source] == [(0.5, (48, 64, 3)), (2.0, (60, 80, 3))]


@pytest.mark.parametrize(("frames", "options", "message"), [
    ([], {}, "got no frames"), ([np.zeros((4, 4, 3), np.uint8)] * 2, {"pts_s": [0.0]}, "got 1 times for 2 frames"),
    ([np.zeros((4, 4, 3), np.uint8)] * 2, {"pts_s": [1.0, 1.0]}, "strictly increasing"),
    ([np.zeros((4, 4, 3), np.uint8)], {"fps": 0}, "got fps 0"), ([np.zeros((4, 4), np.uint8)], {}, "got shape")])
def test_wrong_arrays_are_errors(frames: list, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ArraySource(frames, **options)


def test_a_synthetic_source_draws_what_it_is_told(media) -> None:
    source = SyntheticSource(media.number_picture, 6, fps=30)
    start = time.monotonic()
    assert [(f.index, media.read_number(f.pixels)) for f in source] == [(i, i) for i in range(6)]
    assert time.monotonic() - start < 0.15  # not in real time
    assert source.info.duration_s == pytest.approx(0.2) and source.expected_frames == 6
    for options in ({"count": 0}, {"count": 5, "fps": -1.0}):
        with pytest.raises(InputError, match="expected"):
            SyntheticSource(media.number_picture, **options)


def test_a_realtime_source_never_delivers_early_and_does_not_drift(media) -> None:
    source = SyntheticSource(media.number_picture, 20, fps=100, realtime=True)
    frames, arrivals = [], []
    for frame in source:
        arrivals.append(time.monotonic_ns())
        frames.append(frame)
        if frame.index == 5:
            time.sleep(0.045)  # a slow consumer: the waiting frames come at once, later ones on time again
    due = np.array([f.captured_ns for f in frames])
    np.testing.assert_array_equal(np.diff(due), np.full(19, 10_000_000))
    late_ms = (np.array(arrivals) - due) / 1e6
    assert late_ms.min() >= 0
    assert late_ms[6] > 25 and np.median(late_ms[11:]) < 8
