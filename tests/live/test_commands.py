"""``rtface live`` without a window and ``rtface cameras``, as typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from rtface.io import SyntheticSource
from rtface.io.cameras import CameraDevice
from rtface.io.v4l2 import CameraFormat
from rtface.live import sources
from tests.live.conftest import picture

REPOSITORY = Path(__file__).resolve().parents[2]
Command = Callable[..., Result]


def test_a_file_is_processed_frame_by_frame(rtface: Command, video: Path, tmp_path: Path) -> None:
    done = rtface("live", "--source", video, "--no-window", "--json", tmp_path / "s.json", "--stream", "null")
    assert done.exit_code == 0, done.stderr
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["frames"] == 50 and summary["faces"] == 2 and summary["takes"] == []
    assert summary["drops"] == {"camera": 0, "stages busy": 0, "encoder busy": 0}
    latency = summary["latency_ms"]["result"]
    quantiles = [latency[name] for name in ("p50_ms", "p90_ms", "p99_ms", "max_ms")]
    assert latency["count"] == 50 and 0 < quantiles[0] and quantiles == sorted(quantiles)
    assert summary["source"]["name"] == "clip.mp4" and {"track", "regress"} <= summary["stages"].keys()
    assert "every frame, as fast as it goes" in done.stderr and "160 × 120 px, 25 fps" in done.stderr
    assert "capture to result" in done.stdout and "dropped" in done.stdout


def test_a_file_is_played_at_its_own_pace(rtface: Command, video: Path, tmp_path: Path) -> None:
    done = rtface("live", "-s", video, "--realtime", "--no-window", "--json", tmp_path / "s.json")
    assert done.exit_code == 0, done.stderr
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["seconds"] >= 1.9 and summary["frames"] + summary["drops"]["stages busy"] == 50
    lines = [line for line in done.stdout.splitlines() if " fps  latency p50 " in line]
    assert len(lines) >= 1 and "2 faces" in lines[0]


def test_the_test_picture_runs_for_a_while_and_is_recorded(rtface: Command, tmp_path: Path) -> None:
    done = rtface("live", "--source", "lavfi:testsrc=size=320x240:rate=25,realtime", "--no-window", "--duration", "1.5",
                  "--record", "--out", tmp_path / "takes", "--format", "csv")
    assert done.exit_code == 0, done.stderr
    assert "camera test picture: 320 × 240 px, 25 fps" in done.stderr
    take = tmp_path / "takes" / "take-001"
    assert f"recorded {take}" in done.stdout and (take / "coefficients.csv").exists()
    assert json.loads((take / "summary.json").read_text())["source"]["kind"] == "camera"


def test_the_demo_clip_goes_back_and_forth(monkeypatch: pytest.MonkeyPatch, rtface: Command) -> None:
    monkeypatch.setattr("rtface.synth.clip.demo_clip", lambda seed, *, frames, height, width: (
        np.full((height, width, 3), k, np.uint8) for k in range(frames)))
    source = sources.demo_source((64, 48), 500.0)
    assert isinstance(source, SyntheticSource) and (source.info.width, source.info.height) == (64, 48)
    seen = [int(f.pixels[0, 0, 0]) for f, _ in zip(source, range(360), strict=False)]
    assert seen[:3] == [0, 1, 2] and set(np.abs(np.diff(seen)).tolist()) == {1} and max(seen) == 89
    assert seen[178:182] == [0, 1, 2, 3]
    monkeypatch.setattr(sources, "demo_source", lambda size, fps: SyntheticSource(picture, None, fps, realtime=True))
    done = rtface("live", "--source", "demo", "--fps", "60", "--no-window", "--frames", "20", "--quiet")
    assert done.exit_code == 0 and done.stdout == "" and done.stderr == ""


@pytest.mark.parametrize(("options", "message"), [
    (["--source", "0"], "this machine has no camera"), (["--source", "0"], "rtface live --source demo"),
    (["--source", "nowhere.mp4"], "this machine has no camera"), (["--size", "640"], "expected WIDTHxHEIGHT"),
    (["--source", "0", "--realtime"], "which is no file"), (["--duration", "0"], "--duration: got 0"),
    (["--frames", "0"], "--frames: got 0"), (["--source", "rtp://x"], "got an address of kind rtp"),
    (["--recipe", "best"], "expected one of contour, mask, off"), (["--source", "demo", "--size", "1x1"], "1×1")])
def test_bad_options_are_one_line_on_stderr(rtface: Command, options: list[str], message: str,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtface.io.cameras.list_cameras", lambda: [])
    got = rtface("live", "--no-window", *options)
    assert got.exit_code == 1 and message in got.stderr, got.stderr
    assert len([line for line in got.stderr.splitlines() if "drawing" not in line]) == 1


def test_bad_options_beside_a_good_source(rtface: Command, video: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for options, message in ((["--size", "640x480"], "a file has its own"), (["--stream", "x"], "expected one of null"),
                             (["--format", "fbx"], "got fbx"), (["--record", "--out", tmp_path / "file"], "file")):
        got = rtface("live", "--source", video, "--no-window", *options)
        assert got.exit_code == 1 and message in got.stderr.splitlines()[-1], got.stderr
    got = rtface("live", "--source", tmp_path / "file", "--no-window")
    assert got.exit_code == 1 and "empty file" in got.stderr


def test_without_a_display_the_window_says_what_to_do(rtface: Command, video: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-m", "rtface", "live", "--source", str(video)]  # pyglet keeps its display for good
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=REPOSITORY,
                          env={**os.environ, "DISPLAY": ":77"})
    assert done.returncode == 1 and "use --no-window" in done.stderr.splitlines()[-1], done.stderr
    monkeypatch.setitem(__import__("sys").modules, "moderngl_window", None)
    got = rtface("live", "--source", video)
    assert got.exit_code == 1 and "pip install 'rtface[live]'" in got.stderr.splitlines()[-1]


CAMERA = CameraDevice(2, "/dev/video2", "HD Webcam", (CameraFormat(640, 480, 30.0, "yuyv422"),))


def test_cameras_are_listed(rtface: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtface.io.list_cameras", lambda: [CAMERA])
    got = rtface("cameras")
    assert got.exit_code == 0
    assert got.stdout.splitlines() == ["2: HD Webcam (/dev/video2)", "   640x480 30 fps yuyv422"]
    listed = json.loads(rtface("cameras", "--json").stdout)
    assert listed == [{"index": 2, "address": "/dev/video2", "name": "HD Webcam", "formats": [
        {"width": 640, "height": 480, "fps": 30.0, "encoding": "yuyv422"}]}]


def test_no_camera_is_an_error_that_names_the_demo(rtface: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtface.io.list_cameras", lambda: [])
    got = rtface("cameras")
    assert got.exit_code == 1 and "rtface live --source demo" in got.stderr and got.stdout == ""
    got = rtface("cameras", "--json")
    assert got.exit_code == 1 and json.loads(got.stdout) == []
