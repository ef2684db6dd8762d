"""The command line, end to end over fake networks that see painted ellipses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from rtface import __version__
from rtface.cli import app
from rtface.errors import RenderError
from rtface.inference import FakeEngine
from tests import blobs

REPOSITORY = Path(__file__).resolve().parents[1]


def write_video(path: Path, frames: int = 40, *, face: bool = True) -> Path:
    """A lossless-like H.264 clip at 25 fps: a face that moves, and one that is away in frames 12 to 15."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv444p"
        stream.options = {"crf": "5", "preset": "ultrafast"}
        for k in range(frames):
            faces = [(45 + 0.5 * k, 60, 40, 0)] + ([] if 12 <= k < 16 else [(120, 60, 30, 1)])
            picture = av.VideoFrame.from_ndarray(blobs.paint(faces if face else []), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4")


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Painted-ellipse networks instead of the shipped ones; the runs do not change OpenCV's threads for good."""
    import cv2

    threads = cv2.getNumThreads()
    monkeypatch.setattr("rtface.pipeline.open_engine", blobs.open_fake)
    yield
    cv2.setNumThreads(threads)


def rtface(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def numbers(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "coefficients.npz", allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


@pytest.mark.usefixtures("fakes")
def test_convert_writes_every_format_and_accounts_for_every_frame(tmp_path: Path, video: Path) -> None:
    out = tmp_path / "out"
    formats = [a for name in ("obj", "ply", "glb", "npz", "csv") for a in ("--format", name)]
    result = rtface("convert", video, out, "--faces", 2, "--end", 0.7, *formats)
    assert result.exit_code == 0, result.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["frames"] == summary["computed"] == 18 and summary["faces"] == 2
    assert summary["tracked"] + summary["held"] + summary["interpolated"] + summary["absent"] == 36
    assert summary["interpolated"] >= 4 and summary["held"] == 0 and summary["notes"] == []
    assert summary["stages"]["track"]["count"] == 18 and summary["stages"]["write"]["p95_ms"] > 0
    assert summary["backends"]["regressor"] == "fake" and summary["config"]["pipeline"]["tracker"]["faces"] == 2
    assert len(list(out.glob("meshes/face*/frame_*.obj"))) == len(list(out.glob("meshes/face*/frame_*.ply"))) == 36
    assert (out / "face.glb").read_bytes()[:4] == b"glTF"
    data = numbers(out)
    assert data["status"].shape == (18, 2) and data["frame_index"].tolist() == list(range(18))
    np.testing.assert_allclose(data["pts_s"], np.arange(18) / 25, atol=1e-6)
    pose = dict(zip(data["pose_names"].tolist(), np.moveaxis(data["pose"], -1, 0), strict=True))
    np.testing.assert_allclose(pose["x_px"][:, 0], 45 + 0.5 * np.arange(18), atol=2)
    assert len((out / "coefficients.csv").read_text().splitlines()) == 1 + 36
    for text in ("frames   18", "faces    2", "regress", "coefficients.npz", "summary.json"):
        assert text in result.stdout
    assert result.stderr == ""  # no bar where stderr is no terminal


@pytest.mark.usefixtures("fakes")
def test_the_default_is_npz_and_glb_and_quiet_says_nothing(tmp_path: Path, video: Path) -> None:
    result = rtface("convert", video, tmp_path / "out", "--start", 1, "--every", 3, "--quiet", "--no-smooth")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    written = sorted(p.name for p in (tmp_path / "out").iterdir() if not p.name.startswith("."))
    assert written == ["coefficients.npz", "face.glb", "summary.json"]
    assert numbers(tmp_path / "out")["frame_index"].tolist() == [25, 28, 31, 34, 37]


@pytest.mark.usefixtures("fakes")
def test_a_clip_without_a_face_is_a_success_that_says_so(tmp_path: Path) -> None:
    result = rtface("convert", write_video(tmp_path / "empty.mp4", 10, face=False), tmp_path / "out", "-f", "npz",
                    "-f", "csv", "-f", "glb")
    assert result.exit_code == 0, result.stderr
    assert "no face was found in any frame" in result.stdout
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["frames"], summary["faces"], summary["mean_confidence"]) == (10, 0, None)


@pytest.mark.usefixtures("fakes")
def test_frames_before_damage_are_kept_and_the_summary_tells(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", 60).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[:len(whole) * 2 // 3])
    result = rtface("convert", tmp_path / "cut.mkv", tmp_path / "out", "-f", "npz")
    assert result.exit_code == 0, result.stderr
    assert "note: the source is damaged" in result.stdout
    assert 5 < len(numbers(tmp_path / "out")["frame_index"]) < 60


@pytest.mark.usefixtures("fakes")
def test_finished_runs_are_replaced_only_by_force(tmp_path: Path, video: Path) -> None:
    out = tmp_path / "out"
    assert rtface("convert", video, out, "-f", "npz").exit_code == 0
    again = rtface("convert", video, out, "-f", "csv")
    assert again.exit_code == 1 and "use --force" in again.stderr and (out / "coefficients.npz").exists()
    forced = rtface("convert", video, out, "-f", "csv", "--force")
    assert forced.exit_code == 0
    assert (out / "coefficients.csv").exists() and not (out / "coefficients.npz").exists()


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize(("arguments", "message"), [
    (["missing.mp4", "out"], "no such file"),
    (["notes.txt", "out"], "notes.txt"),
    (["clip.mp4", "out", "-f", "stl"], "got stl, expected some of obj, ply, glb, npz, csv"),
    (["clip.mp4", "out", "--every", "0"], "every: got 0"),
    (["clip.mp4", "out", "--start", "9"], "start"),
    (["clip.mp4", "out", "--faces", "0"], "faces: got 0"),
    (["clip.mp4", "out", "--threads", "0"], "threads: got 0"),
    (["clip.mp4", "out", "--profile", "huge"], "profile: got 'huge', expected one of compact, paper"),
    (["clip.mp4", "out", "--resume", "--force"], "both --resume and --force"),
    (["clip.mp4", "clip.mp4"], "expected a folder"),
    (["clip.mp4", "out", "--overlay", "film.xyz"], "film.xyz"),
])
def test_bad_input_is_one_line_and_exit_code_1(tmp_path: Path, video: Path, arguments: list[str],
                                               message: str) -> None:
    (tmp_path / "notes.txt").write_text("not a video")
    result = rtface("convert", *arguments)
    assert result.exit_code == 1
    assert message in result.stderr and result.stderr.startswith("rtface: ") and result.stderr.count("\n") == 1
    assert result.stdout == "" and "Traceback" not in result.stderr
    assert not (tmp_path / "out" / "coefficients.npz").exists()


def test_wrong_usage_is_exit_code_2() -> None:
    assert rtface("convert").exit_code == 2
    assert rtface("convert", "a.mp4", "out", "--speed", "3").exit_code == 2
    assert rtface("convert", "a.mp4", "out", "--every", "often").exit_code == 2


def test_backends_that_do_not_exist_are_told(tmp_path: Path, video: Path) -> None:
    result = rtface("convert", video, tmp_path / "out", "--backend", "cuda")
    assert result.exit_code == 1 and "expected auto or one of onnx, openvino" in result.stderr
    assert not (tmp_path / "out").exists()  # nothing is begun before everything is there


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = rtface("convert", tmp_path / "missing.mp4", tmp_path / "out", "--debug")
    assert result.exit_code == 1 and "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("rtface: ")


def test_commands_of_the_factory_and_the_protocols_are_there(tmp_path: Path) -> None:
    assert "preview" in rtface("synth", "--help").stdout
    result = rtface("evaluate", "landmarks", "--data", tmp_path / "nowhere")
    assert result.exit_code == 1 and "nowhere" in result.stderr and result.stderr.count("\n") == 1


def test_version_and_info(video: Path) -> None:
    assert rtface("--version").stdout == f"rtface {__version__}\n"
    result = rtface("info", video)
    assert result.exit_code == 0
    for text in ("clip.mp4: video, h264", "160 × 120 px", "25.000 fps", "about 40 frames"):
        assert text in result.stdout
    assert rtface("info", "missing.mp4").exit_code == 1


def test_ctrl_c_keeps_the_frames_and_resume_goes_on(tmp_path: Path, video: Path, fakes: None,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(crops: np.ndarray) -> dict[str, np.ndarray]:
        if engine.calls == 20:
            raise KeyboardInterrupt
        return blobs.regress(crops)

    assert rtface("convert", video, tmp_path / "whole", "-f", "npz").exit_code == 0
    engine = FakeEngine(blobs.SPECS["regressor"], interrupt)
    with monkeypatch.context() as patch:
        patch.setattr("rtface.pipeline.open_engine",
                      lambda name, *a, **k: engine if name == "regressor" else blobs.open_fake(name))
        result = rtface("convert", video, tmp_path / "out", "-f", "npz")
    assert result.exit_code == 130 and "--resume" in result.stderr and result.stderr.count("\n") == 1
    assert not (tmp_path / "out" / "coefficients.npz").exists()
    refused = rtface("convert", video, tmp_path / "out", "-f", "npz")
    assert refused.exit_code == 1 and "use --resume" in refused.stderr
    assert rtface("convert", video, tmp_path / "out", "-f", "npz", "--resume").exit_code == 0
    same_numbers(tmp_path / "out", tmp_path / "whole")


def same_numbers(got: Path, want: Path) -> None:
    a, b = numbers(got), numbers(want)
    assert a.keys() == b.keys()
    for name in a.keys() - {"source"}:
        if a[name].dtype.kind == "f":
            np.testing.assert_allclose(a[name], b[name], atol=1e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


SLOW = """
import sys, time
sys.path.append(sys.argv[1])
from tests import blobs
import rtface.convert, rtface.pipeline
from rtface.cli import main
from rtface.inference import FakeEngine

def slow(crops):
    time.sleep(0.1)
    return blobs.regress(crops)

def open_slow(name, *arguments, **options):
    return FakeEngine(blobs.SPECS[name], slow) if name == "regressor" else blobs.open_fake(name)

rtface.pipeline.open_engine = open_slow
rtface.convert.STATE_EVERY_S = 0.1
del sys.argv[1]
main()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
@pytest.mark.parametrize(("by", "frames"), [("SIGKILL", 8), ("SIGKILL", 30), ("SIGINT", 20)])
def test_a_killed_run_is_resumed_to_the_same_result(tmp_path: Path, fakes: None, by: str, frames: int) -> None:
    video, out = write_video(tmp_path / "clip.mp4", 50), tmp_path / "out"
    options = ["--format", "npz", "--format", "csv", "--format", "glb", "--format", "ply", "--faces", "2"]
    command = [sys.executable, "-c", SLOW, str(REPOSITORY), "convert", str(video), str(out), *options]
    # shells start background jobs with SIGINT ignored, and children inherit that
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env={**os.environ, "OMP_NUM_THREADS": "1"},
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    journal = out / ".rtface" / "journal.bin"
    deadline = time.monotonic() + 120
    while not (journal.exists() and len(list(out.glob("meshes/face0/*.ply"))) >= frames):
        assert process.poll() is None and time.monotonic() < deadline, "the run ended before it could be killed"
        time.sleep(0.005)
    process.send_signal(getattr(signal, by))
    process.wait(60)
    assert process.returncode == (130 if by == "SIGINT" else -signal.SIGKILL)
    assert not list(out.glob("*.npz")) and not (out / "summary.json").exists()

    resumed = rtface("convert", video, out, *options, "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["frames"] == 50 and 0 < summary["computed"] <= 50 - frames + 1
    assert "from the interrupted run" in resumed.stdout
    whole = rtface("convert", video, tmp_path / "whole", *options)
    assert whole.exit_code == 0, whole.stderr
    same_numbers(out, tmp_path / "whole")
    assert (out / "coefficients.csv").read_text().splitlines()[:3] == \
        (tmp_path / "whole" / "coefficients.csv").read_text().splitlines()[:3]
    assert len(list(out.glob("meshes/face*/*.ply"))) == len(list((tmp_path / "whole").glob("meshes/face*/*.ply")))
    left = [p.name for p in out.rglob("*") if p.is_file() and p.suffix == ".rtface-tmp" or p.name == "state.npz"]
    assert left == []


@pytest.mark.usefixtures("fakes")
def test_a_lost_or_damaged_state_only_costs_time(tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(crops: np.ndarray) -> dict[str, np.ndarray]:
        if engine.calls == 25:
            raise KeyboardInterrupt
        return blobs.regress(crops)

    engine = FakeEngine(blobs.SPECS["regressor"], fail)
    with monkeypatch.context() as patch:
        patch.setattr("rtface.convert.STATE_EVERY_S", 0.0)
        patch.setattr("rtface.pipeline.open_engine",
                      lambda name, *a, **k: engine if name == "regressor" else blobs.open_fake(name))
        assert rtface("convert", video, tmp_path / "out", "-f", "npz").exit_code == 130
    state = tmp_path / "out" / ".rtface" / "state.npz"
    assert state.is_file()
    state.write_bytes(state.read_bytes()[:100])
    assert rtface("convert", video, tmp_path / "out", "-f", "npz", "--resume").exit_code == 0
    assert rtface("convert", video, tmp_path / "whole", "-f", "npz").exit_code == 0
    same_numbers(tmp_path / "out", tmp_path / "whole")


@pytest.mark.usefixtures("fakes")
def test_an_overlay_that_is_there_is_replaced_only_by_force(tmp_path: Path, video: Path) -> None:
    (tmp_path / "mine.mp4").write_bytes(b"a film of somebody else's")
    result = rtface("convert", video, tmp_path / "out", "--overlay", tmp_path / "mine.mp4")
    assert result.exit_code == 1 and "mine.mp4 is there already; use --force" in result.stderr
    assert (tmp_path / "mine.mp4").read_bytes() == b"a film of somebody else's"


@pytest.mark.usefixtures("fakes")
def test_overlay_is_a_video_with_the_frames_times(tmp_path: Path, video: Path) -> None:
    result = rtface("convert", video, tmp_path / "out", "-f", "npz", "--end", 0.4, "--overlay", tmp_path / "over.mp4")
    if "OpenGL" in result.stderr:
        pytest.skip(result.stderr)
    assert result.exit_code == 0, result.stderr
    with av.open(str(tmp_path / "over.mp4")) as container:
        frames = list(container.decode(video=0))
    assert [round(f.time, 3) for f in frames] == [round(k / 25, 3) for k in range(10)]
    picture = frames[5].to_ndarray(format="rgb24").astype(int)
    assert (picture.shape[0], picture.shape[1]) == (120, 160)
    assert np.abs(picture[60, 47] - [255, 0, 0]).max() > 40  # skin over the red ellipse


def test_an_overlay_is_drawn_anew_from_the_journal_on_resume(tmp_path: Path, video: Path, fakes: None,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[int, bool, int]] = []

    class Recorder:
        """Stands for the overlay where there is no OpenGL."""

        needs_mesh = True

        def __init__(self, path: Path, model: Any, **options: Any) -> None:
            self.path = Path(path)

        def write(self, result: Any) -> None:
            drawn.append((result.frame.index, bool(result.frame.pixels.any()), len(result.mesh)))
            if len(drawn) == 10:
                raise KeyboardInterrupt

        def finish(self) -> list[Path]:
            return []

        def abort(self) -> None:
            pass

    monkeypatch.setattr(pytest.importorskip("rtface.overlay"), "OverlaySink", Recorder)
    options = ["-f", "npz", "--end", 0.8, "--overlay", tmp_path / "over.mp4"]
    assert rtface("convert", video, tmp_path / "out", *options).exit_code == 130
    assert [index for index, _, _ in drawn] == list(range(10))
    drawn[:] = [(-1, True, 2)] * 10
    result = rtface("convert", video, tmp_path / "out", *options, "--resume")
    assert result.exit_code == 0, result.stderr
    assert drawn[10:] == [(k, True, 2) for k in range(20)]


@pytest.mark.usefixtures("fakes")
def test_demo_converts_its_own_clip_and_copes_without_opengl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = pytest.importorskip("rtface.synth.clip")
    monkeypatch.setattr(clip, "demo_clip", lambda seed, frames: (blobs.paint([(60 + k, 60, 40, 0)]) for k in range(6)))

    def no_opengl(*arguments: Any, **options: Any) -> None:
        raise RenderError("OpenGL: no headless context")

    overlay = pytest.importorskip("rtface.overlay")
    monkeypatch.setattr(overlay, "OverlaySink", no_opengl)
    result = rtface("demo", tmp_path / "demo")
    assert result.exit_code == 0, result.stderr
    assert "no overlay video" in result.stderr
    for name in ("coefficients.npz", "coefficients.csv", "face.glb", "summary.json"):
        assert (tmp_path / "demo" / name).is_file() and name in result.stdout
