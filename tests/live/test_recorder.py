"""Takes: complete, in time, whole after a kill, and replayed into every format."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from rtface.errors import InputError, OutputError
from rtface.io import ArraySource, VideoSource, read_journal
from rtface.io.journal import JournalWriter
from rtface.live.recorder import Recorder
from rtface.morphable import MorphableModel
from rtface.pipeline import Pipeline
from rtface.replay import find_log
from tests.live.conftest import numbers, picture

REPOSITORY = Path(__file__).resolve().parents[2]
Command = Callable[..., Result]


def record(chain: Pipeline, recorder: Recorder, frames: range, *, step_s: float = 0.0) -> None:
    source = ArraySource([picture(k) for k in range(frames.stop)], fps=25)
    for result in chain.run(source):
        if result.frame.index in frames:
            recorder.write(result)
            time.sleep(step_s)
    recorder.stop()


@pytest.fixture
def recorder(tmp_path: Path, model: MorphableModel) -> Recorder:
    info = ArraySource([picture(0)], fps=25).info
    return Recorder(tmp_path / "takes", model, info, formats=("npz", "glb", "csv"), config={"test": 1})


def test_a_take_is_a_clip_of_its_own(chain: Pipeline, recorder: Recorder) -> None:
    root = recorder.start()
    assert recorder.start() == root and recorder.take == "take-001"
    record(chain, recorder, range(20, 50), step_s=0.01)
    recorder.close()
    assert recorder.take is None and recorder.problems == [] and recorder.dropped == 0
    assert sorted(p.name for p in root.iterdir()) == [".rtface", "coefficients.csv", "coefficients.npz", "face.glb",
                                                      "summary.json", "video.mp4"]
    log = read_journal(root / ".rtface" / "journal.bin")
    assert [f.index for f in log.frames] == list(range(30))  # on its own clock, without gaps
    np.testing.assert_allclose([f.pts_s for f in log.frames], np.arange(30) / 25, atol=1e-6)
    shown = list(VideoSource(root / "video.mp4"))
    np.testing.assert_allclose([f.pts_s for f in shown], np.arange(30) / 25, atol=1e-4)
    assert np.abs(shown[0].pixels.astype(int) - picture(20)).mean() < 6
    summary = json.loads((root / "summary.json").read_text())
    assert summary["frames"] == 30 and summary["faces"] == 2 and summary["config"] == {"test": 1}
    assert len(numbers(root / "coefficients.npz")["pts_s"]) == 30


def test_takes_follow_one_another_and_empty_ones_leave_nothing(chain: Pipeline, recorder: Recorder) -> None:
    recorder.toggle()
    recorder.toggle()
    second = recorder.start()
    record(chain, recorder, range(5))
    recorder.close()
    assert second.name == "take-002" and recorder.folders == [second] and recorder.problems == []
    assert [path.name for path in second.parent.iterdir()] == ["take-002"]
    with pytest.raises(InputError, match="got fbx"):
        Recorder(second, recorder._model, recorder._source, formats=("fbx",), config={})  # type: ignore[arg-type]


def test_results_are_never_waited_for_and_what_is_too_much_is_counted(chain: Pipeline, recorder: Recorder,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    append = JournalWriter.append

    def slow(self: JournalWriter, result: Any) -> None:
        time.sleep(0.15)
        append(self, result)

    monkeypatch.setattr(JournalWriter, "append", slow)
    results = list(chain.run(ArraySource([picture(k) for k in range(40)], fps=25)))
    root = recorder.start()
    began = time.monotonic()
    for result in results:
        recorder.write(result)
    assert time.monotonic() - began < 2
    recorder.close()
    frames = read_journal(root / ".rtface" / "journal.bin").frames
    assert recorder.dropped > 0 and len(frames) + recorder.dropped == 40
    assert sum(f.dropped_before for f in frames) == recorder.dropped
    assert "because the encoder was busy" in (root / "summary.json").read_text()


def test_a_full_disk_ends_the_take_and_nothing_else(chain: Pipeline, recorder: Recorder,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    append, said = JournalWriter.append, []

    def full(self: JournalWriter, result: Any) -> None:
        if result.frame.index == 10:
            raise OutputError("the disk is full")
        append(self, result)

    monkeypatch.setattr(JournalWriter, "append", full)
    recorder._say = said.append
    root = recorder.start()
    record(chain, recorder, range(30), step_s=0.02)
    recorder.close()
    assert recorder.take is None
    assert recorder.problems == ["take-001 ended early: the disk is full"] == said
    assert len(read_journal(root / ".rtface" / "journal.bin").frames) == 10
    assert 5 <= len(list(VideoSource(root / "video.mp4"))) <= 11
    monkeypatch.undo()
    assert recorder.start().name == "take-002" and recorder.take == "take-002"  # another try, on a disk with room
    recorder.close()


LIVE = """
import sys
sys.path.insert(0, sys.argv[1])
import rtface.pipeline
from tests import blobs
rtface.pipeline.open_engine = blobs.open_fake
from rtface.live import sources
from rtface.io import SyntheticSource
from tests.live.conftest import picture
sources.demo_source = lambda size, fps: SyntheticSource(picture, None, 25.0, realtime=True)
from rtface.cli import main
sys.argv = ["rtface", *sys.argv[2:]]
main()
"""


@pytest.mark.parametrize("by", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_a_kill_costs_at_most_the_last_second(tmp_path: Path, rtface: Command, by: str) -> None:
    command = [sys.executable, "-c", LIVE, str(REPOSITORY), "live", "--source", "demo", "--no-window", "--record",
               "--out", str(tmp_path / "takes"), "--format", "npz", "--recipe", "off"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "OMP_NUM_THREADS": "1"},
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    take, deadline = tmp_path / "takes" / "take-001", time.monotonic() + 120
    log = take / ".rtface" / "journal.bin"
    while not (log.exists() and len(read_journal(log).frames) >= 60):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.02)
    process.send_signal(getattr(signal, by))
    assert process.wait(60) == (-signal.SIGKILL if by == "SIGKILL" else 0), process.communicate()[1]
    assert process.stderr is not None
    process.stderr.close()
    if by != "SIGKILL":
        assert (take / "summary.json").exists() and (take / "coefficients.npz").exists()
        return
    frames = read_journal(log).frames
    assert len(frames) >= 60 and not (take / "summary.json").exists()
    shown = list(VideoSource(take / "video.mp4"))
    assert frames[-1].pts_s - shown[-1].pts_s <= 1.0
    np.testing.assert_allclose([f.pts_s for f in shown], [f.pts_s for f in frames[:len(shown)]], atol=1e-3)
    out = tmp_path / "out"
    done = rtface("convert", take, out, "--format", "npz", "--format", "csv", "--format", "glb", "--format", "obj",
                  "--format", "ply", "--overlay", out / "overlay.mp4")
    assert done.exit_code == 0, done.stderr
    assert len(numbers(out / "coefficients.npz")["pts_s"]) == len(frames)
    assert len(list(out.glob("meshes/face0/*.obj"))) == len(frames) == len(list(out.glob("meshes/face0/*.ply")))
    assert len(list(VideoSource(out / "overlay.mp4"))) == len(shown)
    missing = len(frames) - len(shown)
    assert not missing or f"{missing} frames of the log have no picture" in done.stdout


def test_a_replay_is_what_the_run_itself_would_have_written(tmp_path: Path, rtface: Command, video: Path) -> None:
    """Any converted folder is a recording; the networks must not be asked."""
    whole = rtface("convert", video, tmp_path / "a", "--format", "npz", "--format", "obj", "--recipe", "off")
    assert whole.exit_code == 0, whole.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rtface.pipeline.open_engine", lambda *_, **__: pytest.fail("a network was opened"))
        for source, out in ((tmp_path / "a", "b"), (tmp_path / "a" / ".rtface" / "journal.bin", "c")):
            again = rtface("convert", source, tmp_path / out, "--format", "npz", "--format", "obj")
            assert again.exit_code == 0, again.stderr
    want = numbers(tmp_path / "a" / "coefficients.npz")
    for out in ("b", "c"):
        got = numbers(tmp_path / out / "coefficients.npz")
        assert got.keys() == want.keys()
        for name in want:
            np.testing.assert_array_equal(got[name], want[name], err_msg=name)
    name = Path("meshes") / "face0" / "frame_000030.obj"
    assert (tmp_path / "b" / name).read_text() == (tmp_path / "a" / name).read_text()
    part = rtface("convert", tmp_path / "a", tmp_path / "d", "--start", "0.4", "--end", "1.2", "--every", "2")
    assert part.exit_code == 0 and json.loads((tmp_path / "d" / "summary.json").read_text())["frames"] == 10


def test_what_a_replay_cannot_do_is_told(tmp_path: Path, rtface: Command, video: Path) -> None:
    done = rtface("convert", video, tmp_path / "a", "--format", "npz", "--recipe", "off")
    assert done.exit_code == 0 and find_log(tmp_path / "a") is not None
    assert find_log(video) is None and find_log(tmp_path) is None and find_log(tmp_path / "nothing") is None
    for options, message in (
            (["--stages", tmp_path / "s.mp4"], "which holds no masks"), (["--resume"], "a replay is quick"),
            (["--overlay", tmp_path / "o.mp4"], "without video.mp4"), (["--faces", "1"], "replayed without networks"),
            (["--start", "99"], "got no frame in the recording"), (["--format", "fbx"], "got fbx")):
        got = rtface("convert", tmp_path / "a", tmp_path / "b", *options)
        assert got.exit_code == 1 and message in got.stderr and len(got.stderr.splitlines()) == 1
    got = rtface("convert", tmp_path / "a", tmp_path / "a", "--force")
    assert got.exit_code == 1 and "is the recording itself" in got.stderr
    log = tmp_path / "a" / ".rtface" / "journal.bin"
    log.write_bytes(log.read_bytes()[:9])
    got = rtface("convert", tmp_path / "a", tmp_path / "b")
    assert got.exit_code == 1 and "not a journal" in got.stderr
