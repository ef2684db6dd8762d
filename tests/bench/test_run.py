"""The benchmark over fake networks: what is measured adds up, and what fails is told."""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from rtface.bench import tables
from rtface.bench.clips import Clips, tile_faces
from rtface.bench.document import SCHEMA_FILE, build_document, read_document
from rtface.bench.measure import Block, Lane, measure_block
from rtface.bench.options import SETTLE_FRAMES, BenchOptions, Case
from rtface.bench.run import Bench, BenchResult
from rtface.bench.watched_engine import UNKNOWN_FRAME, with_frames
from rtface.cli import app
from rtface.config import PipelineConfig
from rtface.errors import BackendError, InputError, OutputError, RenderError
from rtface.inference import FakeEngine
from rtface.io import SimulatedCamera
from rtface.morphable import MorphableModel
from rtface.stream import Span
from tests import blobs
from tests.bench.benchmarks import QUICK, document, painted_clips


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return MorphableModel.load(level=0)


def validate(found: dict[str, Any]) -> None:
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(found, schema)


def slow(name: str, seconds: float) -> FakeEngine:
    """A fake network that takes its time."""
    def function(**inputs: np.ndarray) -> dict[str, np.ndarray]:
        time.sleep(seconds)
        return blobs.FUNCTIONS[name](**inputs)

    return FakeEngine(blobs.SPECS[name], function)


def paced_block(model: MorphableModel, *, streams: int = 1, seconds: float = 1.0, settle: int = SETTLE_FRAMES,
                **engines: FakeEngine) -> Block:
    lanes = [Lane(PipelineConfig(meshes=False), model, engines={**blobs.engines(), **engines}) for _ in range(streams)]
    clips = painted_clips()
    sources = [SimulatedCamera(clips.open(1), fps=30, seconds=seconds, phase_s=k / 30 / streams)
               for k in range(streams)]
    try:
        return measure_block(lanes, sources, live=True, settle=settle)
    finally:
        for lane in lanes:
            lane.close()


def test_the_parts_of_a_frame_add_up_to_its_latency(model: MorphableModel) -> None:
    block = paced_block(model)
    assert block.expected == 20 and block.dropped == block.expected - len(block.all_frames)
    assert [f.index for f in block.all_frames] == sorted({f.index for f in block.all_frames})
    for frame in block.all_frames:
        parts = frame.parts_ms()
        assert sum(parts.values()) == pytest.approx(frame.end_to_end_ms, abs=1e-6)
        assert list(parts)[:2] == ["source", "queue"] and list(parts)[-2:] == ["rest", "handover"]
        assert all(value >= 0 for name, value in parts.items()), parts
        assert frame.captured_ns <= frame.ready_ns <= frame.started_ns <= frame.finished_ns <= frame.delivered_ns
        assert frame.faces == 1


def test_time_in_networks_is_told_apart_from_the_rest_of_their_stages(model: MorphableModel) -> None:
    block = paced_block(model, landmarks=slow("landmarks", 0.008), segment=slow("segment", 0.005))
    for frame in block.all_frames:
        assert set(frame.networks) - {"detector"} == {"landmarks", "segment", "regressor"}
        assert frame.networks["landmarks"] >= 8 and frame.networks["segment"] >= 5
        assert frame.stages["track"] > frame.networks["landmarks"]
        assert sum(frame.networks.values()) < sum(frame.stages.values())
    assert block.device_ms == {}


def test_what_engines_tell_of_their_device_is_summed_per_frame(model: MorphableModel) -> None:
    class Device(FakeEngine):
        def times_ms(self) -> dict[str, float]:
            return {"h2d": 0.5, "compute": 2.0}

    engines = {name: Device(blobs.SPECS[name], blobs.FUNCTIONS[name]) for name in ("segment", "regressor")}
    block = paced_block(model, seconds=0.5, **engines)
    assert block.device_ms == pytest.approx({"h2d": 1.0, "compute": 4.0}, rel=1e-6)  # face and mirror image at once


def test_networks_outside_of_any_stage_keep_no_frame() -> None:
    network = Span("network a", UNKNOWN_FRAME, 12, 13, "t")
    spans = [network._replace(start_ns=5, end_ns=6), network, network._replace(thread="other"),
             Span("inner", 3, 11, 14, "t"), Span("outer", 3, 10, 15, "t")]
    assert [s.frame for s in with_frames(spans)] == [UNKNOWN_FRAME, 3, UNKNOWN_FRAME, 3, 3]


def test_a_stage_that_takes_longer_shows_in_its_own_row(model: MorphableModel) -> None:
    block = paced_block(model, regressor=slow("regressor", 0.015))
    regress = [frame.stages["regress"] for frame in block.all_frames]
    assert min(regress) >= 15 and np.median([f.end_to_end_ms for f in block.all_frames]) >= 15


def test_a_pipeline_that_is_too_slow_drops_frames_and_says_so(model: MorphableModel) -> None:
    block = paced_block(model, seconds=1.2, settle=0, regressor=slow("regressor", 0.1))
    assert block.expected == 36 and block.dropped >= 20  # at most 10 a second are done
    assert np.median([f.parts_ms()["queue"] for f in block.all_frames]) < 70  # the newest frame is taken


def test_streams_run_side_by_side(model: MorphableModel) -> None:
    block = paced_block(model, streams=3, seconds=0.6, settle=2)
    assert len(block.frames) == 3 and block.expected == 3 * 16
    first = [stream[0].captured_ns for stream in block.frames]
    assert max(first) - min(first) < 2e9 and len({round(t / 1e6, 3) for t in first}) == 3


def test_what_fails_in_any_stream_is_raised_and_no_thread_stays(model: MorphableModel) -> None:
    def broken(**inputs: np.ndarray) -> dict[str, np.ndarray]:
        raise BackendError("the device is gone")

    before = threading.active_count()
    with pytest.raises(BackendError, match="the device is gone"):
        paced_block(model, streams=2, seconds=0.4, regressor=FakeEngine(blobs.SPECS["regressor"], broken))
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_an_interruption_ends_all_threads(model: MorphableModel) -> None:
    def interrupt(result: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt

    before = threading.active_count()
    with Lane(PipelineConfig(meshes=False), model, engines=blobs.engines()) as lane, \
            Lane(PipelineConfig(meshes=False), model, engines=blobs.engines()) as other:
        start = time.monotonic()
        sources = [SimulatedCamera(painted_clips().open(1), fps=30, seconds=60) for _ in range(2)]
        with pytest.raises(KeyboardInterrupt):
            measure_block([lane, other], sources, live=True, show=interrupt)
        assert time.monotonic() - start < 30
    while threading.active_count() > before and time.monotonic() < start + 30:
        time.sleep(0.01)
    assert threading.active_count() <= before


@pytest.fixture(scope="module")
def measured(model: MorphableModel) -> BenchResult:
    """Two variants, two loads; fake networks behind both."""
    import rtface.bench.measure

    options = BenchOptions(backends=("onnx", "openvino"), streams=(1, 2), **QUICK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rtface.bench.measure, "open_engine", blobs.open_fake)
        with Bench(options, clips=painted_clips(), model=model) as bench:
            return bench.run()


def test_a_benchmark_measures_every_case_in_every_round(measured: BenchResult) -> None:
    assert [r.case.label for r in measured.cases] == [
        "onnx auto compact mask, 1 face, 1 stream", "onnx auto compact mask, 1 face, 2 streams",
        "openvino auto compact mask, 1 face, 1 stream", "openvino auto compact mask, 1 face, 2 streams"]
    for result in measured.cases:
        assert len(result.paced) == 3 and len(result.free) == (3 if result.case.streams == 1 else 0)
        assert all(block.expected == result.case.streams * 20 for block in result.paced)
        assert result.engine == "fake" and result.warm_up.medians_ms


def test_rounds_are_interleaved(measured: BenchResult) -> None:
    starts = sorted((block.frames[0][0].captured_ns, number) for number, result in enumerate(measured.cases)
                    for block in result.paced if block.frames[0])
    assert [number for _, number in starts] == [0, 1, 2, 3, 3, 2, 1, 0, 0, 1, 2, 3]


def test_the_document_keeps_its_schema(measured: BenchResult) -> None:
    for samples in (False, True):
        found = build_document(measured, samples=samples)
        json.dumps(found, allow_nan=False)
        validate(found)
        validate(document(samples=samples))
    case = found["cases"][0]
    assert case["paced"]["frames"] == 60
    assert sum(t["share"] for t in case["paced"]["parts_ms"].values()) == pytest.approx(1, abs=1e-3)
    assert 1 < case["paced"]["fps"] < 31 and case["free"]["fps"] > 1
    assert case["free"]["stages_ms"]["regress"]["count"] == case["free"]["frames"]
    assert {r["figure"] for r in found["ratios"]} == {"end_to_end_ms", "work_ms"}
    assert all(r["low"] <= r["ratio"] <= r["high"] for r in found["ratios"])
    assert [one["tried"] for one in found["streams_served"]] == [[1, 2], [1, 2]]
    with pytest.raises(jsonschema.ValidationError):
        validate({**found, "cases": []})


def test_tables_show_what_the_document_holds() -> None:
    found = document(options=BenchOptions(streams=(1, 2), backends=("onnx", "openvino")))
    text = tables.text(found)
    for word in ("end to end", "queue", "onnx auto compact mask", "p99", "served without drops", "a <processor>",
                 "95 % interval", "fps"):
        assert word in text
    markdown = tables.markdown(found)
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert rows and all(line.count("|") == rows[0].count("|") for line in rows[:4])
    few = document(frames=5, rounds=3)
    assert any("few for a p99" in line for line in tables.notes(few))


def test_cases_follow_from_options() -> None:
    both = BenchOptions(faces=(1, 2), streams=(1, 4), backends=("onnx", "openvino"))
    assert [(c.backend, c.faces, c.streams) for c in both.cases()] == [
        (b, *load) for b in ("onnx", "openvino") for load in ((1, 1), (2, 1), (1, 4))]
    assert [(c.faces, c.streams) for c in BenchOptions(streams=(4, 16)).cases()] == [(1, 4), (1, 16)]
    assert Case("onnx", "auto", "compact", "mask", 2, 1).key == "onnx/auto/compact/mask/2/1"
    assert both.config(both.cases()[1]).tracker.faces == 2


@pytest.mark.parametrize(("options", "message"), [
    ({"faces": (0,)}, "faces"), ({"faces": ()}, "faces"), ({"streams": (1, 100)}, "streams"),
    ({"backends": ("cuda",)}, "cuda"), ({"precisions": ()}, "none"), ({"recipes": ("all",)}, "all"),
    ({"profiles": ("tiny",)}, "tiny"), ({"duration_s": 0.0}, "duration_s"), ({"fps": math.inf}, "fps"),
    ({"rounds": 2}, "2 rounds"), ({"duration_s": 1.0}, "make --duration longer"), ({"threads": 0}, "0 threads"),
    ({"warm_up_s": -1.0}, "warm_up_s")])
def test_wrong_options_are_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BenchOptions(**options)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8, 16])
def test_faces_are_tiled_into_one_picture(count: int) -> None:
    frames = [np.full((120, 160, 3), 200 + k, np.uint8) for k in range(4)]
    for frame in frames:
        frame[40:80, 60:100] = 255
    tiled = tile_faces(frames, count)
    assert len(tiled) == 4 and all(picture.shape == (120, 160, 3) for picture in tiled)
    import cv2

    bright = (tiled[0][..., 0] > 240).astype(np.uint8)
    assert cv2.connectedComponents(bright)[0] - 1 == count


def test_clips_draw_each_number_of_faces_once() -> None:
    clips = painted_clips()
    with clips.open(2) as first, clips.open(2) as second:
        assert next(iter(first)).pixels is next(iter(second)).pixels
    assert clips.shape == (120, 160) and first.info.frame_count == 22
    with pytest.raises(InputError, match="no such file"):
        Clips(Path("missing.mp4"), 0)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch, model: MorphableModel) -> Iterator[None]:
    monkeypatch.setattr("rtface.bench.measure.open_engine", blobs.open_fake)
    monkeypatch.setattr("rtface.bench.run.Clips", lambda video, seed: painted_clips())
    monkeypatch.setattr("rtface.bench.run.MorphableModel.load", lambda: model)
    yield


def rtface(*arguments: Any) -> Result:
    return CliRunner().invoke(app, ["bench", *(str(a) for a in arguments)])


SHORT = ("--duration", "3", "--rounds", "3", "--warm-up", "0.2")


def test_the_command_prints_tables_and_json_as_the_last_line(fakes: None, tmp_path: Path) -> None:
    result = rtface(*SHORT, "--json", "out.json", "--html", "out.html", "--markdown", "out.md", "--trace", "t.json")
    assert result.exit_code == 0, result.output
    last = json.loads(result.stdout.splitlines()[-1])
    validate(last)
    assert "Latency at 30 fps" in result.stdout and "warming up" in result.stderr
    whole = read_document(tmp_path / "out.json")
    validate(whole)
    samples = whole["cases"][0]["paced"]["end_to_end_ms"].pop("samples")
    assert sum(map(len, samples)) == last["cases"][0]["paced"]["end_to_end_ms"]["count"]
    assert "<svg" in (tmp_path / "out.html").read_text()
    assert "| part |" in (tmp_path / "out.md").read_text()
    assert json.loads((tmp_path / "t.json").read_text())["traceEvents"]


def test_what_a_gpu_says_is_in_the_document(fakes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    class Sensors(contextlib.nullcontext):
        resets = 0

        def reset(self) -> None:
            Sensors.resets += 1

        def reading(self) -> dict[str, Any]:
            return {"name": "Fake GPU", "utilisation_percent": 10.0 * Sensors.resets, "memory_mb": 500.0,
                    "watts": 70.0, "sm_mhz": None}

    monkeypatch.setattr("rtface.bench.gpu_sensors.open_gpu_sensors", Sensors)
    quiet = rtface("run", *SHORT, "--quiet")
    assert len(quiet.stdout.splitlines()) == 1 and not quiet.stderr
    found = json.loads(quiet.stdout)
    validate(found)
    assert found["cases"][0]["gpu"] == {"name": "Fake GPU", "utilisation_percent": 20.0, "memory_mb": 500.0,
                                        "watts": 70.0, "sm_mhz": None}
    assert "GPU W" in str(tables.overview(found)) and "GPU W" not in str(tables.overview(document()))


def test_rendering_is_a_part_of_its_own(fakes: None) -> None:
    pytest.importorskip("moderngl")
    try:
        from rtface.render import headless_context

        with headless_context():
            pass
    except RenderError as exc:
        pytest.skip(str(exc))
    result = rtface(*SHORT, "--render", "--quiet")
    assert result.exit_code == 0, result.output
    parts = json.loads(result.stdout)["cases"][0]["paced"]["parts_ms"]
    assert list(parts)[-1] == "render" and parts["render"]["min"] > 0


def test_files_that_cannot_be_written_are_told_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for option in ("--json", "--html", "--markdown", "--trace"):
        for path in (tmp_path, tmp_path / "file" / "out"):
            result = rtface(option, path)
            assert isinstance(result.exception, OutputError) and "cannot write" in str(result.exception)
            assert "warming up" not in result.stderr and "drawing" not in result.stderr


@pytest.mark.parametrize(("arguments", "message"), [
    (["--faces", "one"], "whole numbers"), (["--backend", "cuda"], "cuda"), (["missing.mp4"], "no such file"),
    (["--rounds", "1"], "rounds"), (["--duration", "0.1"], "duration")])
def test_wrong_arguments_say_what_was_expected(arguments: list[str], message: str) -> None:
    result = rtface(*arguments)
    assert isinstance(result.exception, InputError) and message in str(result.exception)


def test_help_names_the_commands_and_the_other_benchmarks() -> None:
    text = " ".join(rtface("--help").stdout.split())
    for word in ("run", "compare", "engines", "rtface.bench.ops", "rtface.bench.synth"):
        assert word in text
