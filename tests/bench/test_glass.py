"""Clocks that are drawn are read again, also as a camera sees them, and their difference is the latency."""

from __future__ import annotations

import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from rtface.bench.glass import clock_picture, measure_recording, read_clocks, write_clock
from rtface.cli import app
from rtface.config import PipelineConfig
from rtface.errors import InputError
from rtface.io import SimulatedCamera, SyntheticSource, VideoSink, open_source
from rtface.pipeline import Pipeline
from rtface.types import Frame
from tests import blobs


def screen(now_ms: int, shown_ms: int, rng: np.random.Generator) -> np.ndarray:
    """A recording's picture: the clock, and beside it the camera's slanted, blurred, noisy picture of an older one."""
    picture = np.full((540, 960, 3), 90, np.uint8)
    picture[20:420, 20:420] = clock_picture(now_ms, 400, 400)
    seen = clock_picture(shown_ms, 400, 400)
    corners = np.float32([[0, 0], [400, 0], [400, 400], [0, 400]])
    placed = corners * 0.8 + np.float32([560, 150]) + rng.uniform(-8, 8, (4, 2)).astype(np.float32)
    there = cv2.getPerspectiveTransform(corners, placed)
    mask = cv2.warpPerspective(np.full((400, 400), 255, np.uint8), there, (960, 540))
    warped = cv2.GaussianBlur(cv2.warpPerspective(seen, there, (960, 540)), (0, 0), 0.8)
    picture = np.where(mask[..., None] > 128, warped, picture)
    return np.clip(picture * 0.8 + 20 + rng.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("ms", [0, 17, 123_456, 9_999_999_999])
@pytest.mark.parametrize("shape", [(240, 240), (480, 640), (720, 720)])
def test_a_clock_is_read_again(ms: int, shape: tuple[int, int]) -> None:
    assert read_clocks(clock_picture(ms, *shape)) == [ms]


def test_nothing_is_read_where_there_is_no_clock_of_ours() -> None:
    assert read_clocks(np.full((200, 200, 3), 128, np.uint8)) == []
    other = cv2.QRCodeEncoder.create().encode("https://example.org")
    other = np.repeat(np.repeat(cv2.copyMakeBorder(other, 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=255), 8, 0), 8, 1)
    assert read_clocks(np.repeat(other[..., None], 3, axis=2)) == []


def test_the_difference_of_two_clocks_is_the_latency() -> None:
    rng = np.random.default_rng(0)
    delays = [83, 100, 117, 83, 50, 83, 100, 67]
    frames = [Frame(screen(10_000 + 33 * k, 10_000 + 33 * k - delay, rng), k, k / 30) for k, delay in enumerate(delays)]
    frames.append(Frame(np.zeros((200, 200, 3), np.uint8), len(delays), 1.0))
    report = measure_recording(frames)
    assert report.clocks == {0: 1, 2: 8} and report.pictures == 9
    assert report.latencies_ms.samples.tolist() == delays
    assert "83.00" in str(report.table())  # p50


def test_a_recording_is_measured_by_the_command(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    sink = VideoSink(tmp_path / "recording.mp4", fps=30)
    for k in range(4):
        sink.write(screen(5000 + 33 * k, 5000 + 33 * k - 50, rng), k / 30)
    sink.finish()
    result = CliRunner().invoke(app, ["bench", "glass", "recording.mp4", "--every", "2", "--json", "glass.json"])
    assert result.exit_code == 0, result.output
    last = json.loads(result.stdout.splitlines()[-1])
    assert last == json.loads((tmp_path / "glass.json").read_text())
    assert last["latency_ms"]["p50"] == 50 and last["pictures"] == 2


def test_the_clock_s_video_shows_its_own_time(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["bench", "clock", "clock.mp4", "--seconds", "0.1"]).exit_code == 0
    with open_source(tmp_path / "clock.mp4") as source:
        frames = list(source)
    assert len(frames) == 6
    assert [read_clocks(f.pixels) for f in frames] == [[round(1000 * f.pts_s)] for f in frames]


def test_through_a_pipeline_the_clock_agrees_with_the_capture_clock() -> None:
    """A simulated camera looks at the clock; what a screen would show beside it is read back."""
    camera = SyntheticSource(lambda k: clock_picture(round(1000 * k / 10), 240, 240), 8)
    measured, counted = [], []
    with Pipeline(PipelineConfig(meshes=False), engines=blobs.engines()) as chain:
        source = SimulatedCamera(camera, fps=10, seconds=0.8)
        start_ns = None
        for result in chain.run(source, live=True):
            now_ns = time.monotonic_ns()
            if start_ns is None:
                start_ns = result.frame.captured_ns - round(1e9 * result.frame.pts_s)
            measured.append((round((now_ns - start_ns) / 1e6), result.frame.pixels))
            counted.append((now_ns - result.frame.captured_ns) / 1e6)
    shown = [now_ms - read_clocks(pixels)[0] for now_ms, pixels in measured]
    assert shown == pytest.approx(counted, abs=2) and len(shown) >= 3


@pytest.mark.parametrize("arguments", [(-1,), (10**10,), (5, 50, 50)])
def test_times_that_a_clock_cannot_show_are_errors(arguments: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="clock: got"):
        clock_picture(*arguments)


def test_recordings_without_two_clocks_and_wrong_lengths_are_errors(tmp_path: Path) -> None:
    one = Frame(clock_picture(5), 0, 0.0)
    with pytest.raises(InputError, match="1 with 1"):
        measure_recording([one])
    with pytest.raises(InputError, match="0 s at 60"):
        write_clock(tmp_path / "clock.mp4", 0, 60)
    assert not list(tmp_path.iterdir())
