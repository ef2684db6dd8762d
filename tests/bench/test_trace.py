"""Traces, NVTX ranges and GPU sensors: what stages tell to other tools."""

from __future__ import annotations

import json
import sys
import threading
import time
import types
from collections import Counter
from pathlib import Path

import pytest

from rtface.bench.gpu_sensors import GpuSensors, open_gpu_sensors
from rtface.bench.nvtx_ranges import NvtxRanges
from rtface.bench.options import BenchOptions
from rtface.bench.run import watching_cost_us
from rtface.bench.trace import write_trace
from rtface.config import PipelineConfig
from rtface.errors import BackendError
from rtface.pipeline import Pipeline
from rtface.stream import Observers, SpanRecorder, StageTimer
from rtface.types import Frame
from tests import blobs
from tests.bench.benchmarks import invented


def test_a_trace_has_the_form_that_perfetto_reads(tmp_path: Path) -> None:
    result = invented(rounds=3, frames=4, options=BenchOptions(streams=(1, 2)))
    write_trace(tmp_path / "trace.json", result)
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    kinds = Counter(e["ph"] for e in events)
    assert kinds["X"] == kinds["b"] == kinds["e"] == 3 * 3 * 4  # streams, rounds, frames
    names = {e["args"]["name"] for e in events if e["name"] == "process_name"}
    assert names == {"auto auto compact mask, 1 face, 1 stream", "auto auto compact mask, 1 face, 2 streams, stream 1",
                     "auto auto compact mask, 1 face, 2 streams, stream 2"}
    threads = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"}
    for e in events:
        assert isinstance(e["pid"], int) and isinstance(e["tid"], int)
        if e["ph"] == "X":
            assert e["ts"] >= 0 and e["dur"] >= 0 and (e["pid"], e["tid"]) in threads
    begun = {(e["pid"], e["id"]): e["ts"] for e in events if e["ph"] == "b"}
    ended = {(e["pid"], e["id"]): e["ts"] for e in events if e["ph"] == "e"}
    assert begun.keys() == ended.keys() and all(ended[k] > begun[k] for k in begun)


def test_spans_nest_and_name_their_frames_and_threads() -> None:
    recorder = SpanRecorder()
    frames = [Frame(blobs.paint([(60 + k, 60, 40, 0)]), k, k / 30) for k in range(3)]
    with Pipeline(PipelineConfig(meshes=False), engines=blobs.engines(), observer=recorder) as chain:
        results = list(chain.run(frames))
    by_name = Counter(span.name for span in recorder.spans)
    assert by_name["track"] == by_name["regress"] == 3 and by_name["detect"] == 2  # the last one a glance
    assert by_name["source"] == 4 and [s.frame for s in recorder.spans if s.name == "source"] == [0, 1, 2, -1]
    for span in recorder.spans:
        assert span.start_ns <= span.end_ns
        assert span.thread == ("rtface-source" if span.name == "source" else "rtface-stages")
    detect, glance = [s for s in recorder.spans if s.name == "detect"]
    (track,) = [s for s in recorder.spans if s.name == "track" and s.frame == 0]
    assert track.start_ns <= detect.start_ns and detect.end_ns <= track.end_ns
    for result in results:  # what the timer says is what the spans say, without what lies inside
        (regress,) = [s for s in recorder.spans if s.name == "regress" and s.frame == result.frame.index]
        assert (regress.end_ns - regress.start_ns) / 1e6 == pytest.approx(result.timings_ms["regress"], abs=2)


def test_a_stage_that_fails_still_ends() -> None:
    recorder = SpanRecorder()
    timer = StageTimer(recorder)
    with pytest.raises(KeyError), timer.stage("outer"), timer.stage("inner"):
        raise KeyError
    assert [span.name for span in recorder.spans] == ["inner", "outer"]


def test_watching_costs_microseconds_and_nothing_when_it_is_off() -> None:
    """A frame has about ten stages; what watching adds must not matter beside its milliseconds."""
    assert min(watching_cost_us() for _ in range(3)) < 50


class FakeNvtx(types.ModuleType):
    """Counts what is pushed and popped, per thread."""

    def __init__(self) -> None:
        super().__init__("nvtx")
        self.log: list[tuple[str, str, str]] = []

    def get_domain(self, name: str) -> FakeNvtx:
        self.domain = name
        return self

    def get_event_attributes(self, message: str) -> str:
        return message

    def push_range(self, attributes: str) -> None:
        self.log.append(("push", attributes, threading.current_thread().name))

    def pop_range(self) -> None:
        self.log.append(("pop", "", threading.current_thread().name))


def test_nvtx_ranges_have_the_stages_names_and_balance(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNvtx()
    monkeypatch.setitem(sys.modules, "nvtx", fake)
    frames = [Frame(blobs.paint([(60, 60, 40, 0)]), k, k / 30) for k in range(2)]
    with Pipeline(PipelineConfig(meshes=False), engines=blobs.engines(),
                  observer=Observers(NvtxRanges(), SpanRecorder())) as chain:
        list(chain.run(frames))
    assert fake.domain == "rtface"
    for thread in ("rtface-source", "rtface-stages"):
        depth = 0
        for kind, _, where in fake.log:
            depth += (kind == "push") - (kind == "pop") if where == thread else 0
            assert depth >= 0
        assert depth == 0
    pushed = {name for kind, name, _ in fake.log if kind == "push"}
    assert pushed == {"source", "detect", "track", "crop", "occlude", "regress", "fit", "smooth"}


def test_the_real_nvtx_takes_ranges_without_a_profiler() -> None:
    ranges = NvtxRanges()
    for _ in range(3):
        ranges.begin("stage")
        ranges.end("stage", 0)


def test_without_nvtx_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nvtx", None)
    with pytest.raises(BackendError, match=r"rtface\[bench\]"):
        NvtxRanges()


class FakeNvml(types.ModuleType):
    """A GPU that tells everything but its clock."""

    NVML_CLOCK_SM = 1

    class NVMLError(Exception):
        pass

    def __init__(self, works: bool = True) -> None:
        super().__init__("pynvml")
        self.works, self.ended = works, 0

    def nvmlInit(self) -> None:  # noqa: N802
        if not self.works:
            raise self.NVMLError("no driver")

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.ended += 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetName(self, handle: int) -> bytes:  # noqa: N802
        return b"Fake GPU"

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> types.SimpleNamespace:  # noqa: N802
        return types.SimpleNamespace(gpu=40)

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> types.SimpleNamespace:  # noqa: N802
        return types.SimpleNamespace(used=2_000_000_000)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        return 72_500

    def nvmlDeviceGetClockInfo(self, handle: int, kind: int) -> int:  # noqa: N802
        raise self.NVMLError("not supported")


def test_gpu_sensors_give_means_and_none_for_what_is_not_told() -> None:
    nvml = FakeNvml()
    with GpuSensors(nvml, period_s=0.005) as sensors:
        deadline = time.monotonic() + 10
        while sensors.reading() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        assert sensors.reading() == {"name": "Fake GPU", "utilisation_percent": 40.0, "memory_mb": 2000.0,
                                     "watts": 72.5, "sm_mhz": None}
        sensors.close()
        sensors.reset()
        assert sensors.reading() is None
    assert nvml.ended == 1


def test_without_a_gpu_or_package_there_are_no_sensors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert open_gpu_sensors() is None
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(works=False))
    assert open_gpu_sensors() is None
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    sensors = open_gpu_sensors()
    assert sensors is not None
    sensors.close()
