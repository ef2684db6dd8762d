"""Live runs without a window: order, latency, drops, sinks that fail, prompt ends."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from rtface.errors import InputError, MediaError, OutputError
from rtface.io import ArraySource, CameraSource, NullSink, SyntheticSource
from rtface.io.camera_source import Patience
from rtface.io.cameras import CameraAddress
from rtface.live.meter import Meter
from rtface.live.session import LiveSession
from rtface.live.streams import STREAMS, StreamFacts, open_streams, uses_stdout
from rtface.morphable import MorphableModel
from rtface.pipeline import Pipeline
from rtface.types import Coefficients, FaceTracks, Frame, FrameResult
from tests.io.test_camera_source import FakeCamera
from tests.live.conftest import picture


def result(captured_ns: int) -> FrameResult:
    nobody = Coefficients.from_vector(np.zeros((0, 239), np.float32), "b")
    return FrameResult(Frame(np.zeros((4, 4, 3), np.uint8), 0, 0.0, captured_ns), FaceTracks.empty(), None, nobody,
                       None, np.zeros((0, 6), np.float32), np.zeros(0, np.float32), ())


def test_the_meter_counts_from_the_capture_clock() -> None:
    meter, second = Meter(), 1_000_000_000
    assert np.isnan(meter.reading(0).p50_ms) and meter.totals() == {}
    for k in range(101):  # 50 per second, latencies 0 to 100 ms
        now = 10 * second + k * second // 50
        meter.result(result(now - k * 1_000_000), now)
    now_reading = meter.reading(now)
    assert now_reading.fps == pytest.approx(50) and now_reading.p50_ms == pytest.approx(50)
    assert now_reading.p99_ms == pytest.approx(99)
    late = meter.reading(now + second)  # only the last second of results is still recent
    assert late.fps == pytest.approx(25, rel=0.05) and late.p50_ms == pytest.approx(75, abs=1)
    assert np.isnan(meter.reading(now + 10 * second).p50_ms)
    meter.drawn(result(now), now + 7_000_000)
    assert meter.totals() == {
        "result": {"count": 101, "p50_ms": 50, "p90_ms": 90, "p99_ms": 99, "max_ms": 100},
        "drawn": {"count": 1, "p50_ms": 7, "p90_ms": 7, "p99_ms": 7, "max_ms": 7}}


class Listing(NullSink):
    """Notes what it gets; fails at a frame."""

    def __init__(self, fail_at: int = -1) -> None:
        super().__init__()
        self.indices: list[int] = []
        self.fail_at, self.ended = fail_at, ""

    def write(self, result: FrameResult) -> None:
        if len(self.indices) == self.fail_at:
            raise OutputError("network is unreachable")
        self.indices.append(result.frame.index)

    def finish(self) -> list[Path]:
        self.ended = "finished"
        return []

    def abort(self) -> None:
        self.ended = "aborted"


def drain(session: LiveSession, within_s: float = 60.0) -> list[int]:
    began, seen = time.monotonic(), []
    while not session.ended:
        assert time.monotonic() - began < within_s
        newest = session.newest(0.05)
        if newest is not None:
            seen.append(newest.frame.index)
    return seen


def test_every_sink_gets_every_result_and_one_that_fails_ends_alone(chain: Pipeline) -> None:
    good, bad, said = Listing(), Listing(fail_at=5), []
    source = ArraySource([picture(k) for k in range(30)])
    with LiveSession(chain, source, sinks={"good": good, "bad": bad}, live=False, say=said.append) as session:
        seen = drain(session)
    assert good.indices == list(range(30)) and good.ended == "finished"
    assert bad.indices == list(range(5)) and bad.ended == "aborted"
    assert said == ["stream bad has ended: network is unreachable"] == session.notes
    assert seen == sorted(seen) and seen[-1] == 29 and session.undrawn == 30 - len(seen)
    assert session.tally.frames == 30 and session.drops == {"camera": 0, "stages busy": 0}
    assert session.meter.totals()["result"]["count"] == 30 and "track" in session.times()


def test_frames_that_are_too_many_are_dropped_and_counted(chain: Pipeline) -> None:
    counted = Listing()
    source = SyntheticSource(picture, 150, 500.0, realtime=True)
    with LiveSession(chain, source, sinks={"s": counted}) as session:
        drain(session)
    lost = session.drops["stages busy"]
    assert lost > 0 and len(counted.indices) + lost == 150
    assert session.meter.totals()["result"]["p50_ms"] < 1000


def test_the_number_of_frames_may_be_limited(chain: Pipeline) -> None:
    counted = Listing()
    with LiveSession(chain, SyntheticSource(picture, None, 200.0), sinks={"s": counted}, live=False,
                     frames=12) as session:
        drain(session)
    assert counted.indices == list(range(12))


def test_closing_a_run_whose_camera_hangs_is_prompt(chain: Pipeline) -> None:
    camera = FakeCamera([1, 2, "stall"])
    with CameraSource(CameraAddress("fake", "v4l2", "Fake"), grab=camera, patience=Patience(stall_s=60)) as source:
        session = LiveSession(chain, source)
        assert session.newest(10) is not None
        assert session.newest(0.3) is None and not session.ended
        began = time.monotonic()
        session.close()
        session.close()
        assert time.monotonic() - began < 4
    assert session.seconds < 15 and chain.recipe == "off"
    camera.hang.set()


def test_a_camera_that_is_lost_ends_the_run_with_its_error(chain: Pipeline) -> None:
    camera = FakeCamera([1, 2, 3, "break"])
    address = CameraAddress("fake", "v4l2", "Fake")
    with CameraSource(address, grab=camera, patience=Patience(stall_s=0.2, reconnect_s=0.4)) as source, \
            LiveSession(chain, source) as session, pytest.raises(MediaError, match="camera Fake: got lost"):
        drain(session)
    assert session.tally.frames >= 1


def test_streams_are_opened_by_name_and_given_up_together(model: MorphableModel) -> None:
    opened: list[tuple[str | None, Listing]] = []

    facts = StreamFacts(ArraySource([picture(0)]).info, model)

    def open_listing(address: str | None, given: StreamFacts) -> Listing:
        assert given is facts
        if address == "bad":
            raise InputError("no such host")
        opened.append((address, Listing()))
        return opened[-1][1]

    streams = {"list": open_listing, **STREAMS}
    sinks = open_streams(["list", "list=host:9000", "null"], facts, streams)
    assert list(sinks) == ["list", "list=host:9000", "null"] and [a for a, _ in opened] == [None, "host:9000"]
    for wanted, message in ((["list", "nose=1"], "got 'nose', expected one of list, null"), (["list"] * 2, "twice"),
                            (["list", "null=x"], "got the address 'x'"), (["list=", "list=bad"], "no such host")):
        opened.clear()
        with pytest.raises(InputError, match=message):
            open_streams(wanted, facts, streams)
        assert [sink.ended for _, sink in opened] == ["aborted"]


def test_other_programs_get_what_the_run_finds(chain: Pipeline, model: MorphableModel, tmp_path: Path) -> None:
    facts = StreamFacts(ArraySource([picture(0)]).info, model, mirror=True)
    assert uses_stdout(["null", "jsonl"]) and uses_stdout(["jsonl=-"]) and not uses_stdout(["jsonl=x", "vmc"])
    sinks = open_streams([f"jsonl={tmp_path / 'lines.jsonl'}", "null"], facts)
    with LiveSession(chain, ArraySource([picture(k) for k in range(6)]), sinks=sinks, live=False) as session:
        drain(session)
    lines = [json.loads(line) for line in (tmp_path / "lines.jsonl").read_text().splitlines()]
    assert len(lines) == 6 and all(len(line["faces"]) == 2 for line in lines)
