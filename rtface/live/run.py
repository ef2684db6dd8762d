"""The job behind ``rtface live``: source, pipeline, streams, recorder and window joined, and told about at the end."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Final

from rtface.config import PipelineConfig
from rtface.errors import InputError, OutputError, RtfaceError
from rtface.exports import DEFAULT_FORMATS, Format
from rtface.io import write_atomic
from rtface.live.recorder import Recorder
from rtface.live.session import LiveSession
from rtface.live.sources import LiveSource, open_live_source
from rtface.live.streams import StreamFacts, open_streams
from rtface.live.summary import LiveSummary
from rtface.morphable import MorphableModel
from rtface.pipeline import Pipeline
from rtface.stream import one_blas_thread

Say = Callable[[str], None]
WAIT_S: Final = 0.1
"""How long the main thread waits for a result before it looks at the clock again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """What ``rtface live`` was asked for."""

    source: str = "0"
    """``demo``, a camera's index or name, /dev/videoN, an address, or a file."""
    size: tuple[int, int] | None = None
    """Wanted of a camera, (width, height) px; None: 640 × 480."""
    fps: float | None = None
    """Wanted of a camera; None: 30."""
    realtime: bool = False
    """A file is played at its own pace."""
    window: bool = True
    mirror: bool = False
    """The window begins mirrored."""
    duration_s: float | None = None
    frames: int | None = None
    """End after so many seconds or results; None: at the source's end, when the window is closed, or on Ctrl-C."""
    record: bool = False
    """A take begins with the first result."""
    out: Path = Path("rtface-live")
    """Folder of the takes."""
    formats: tuple[Format, ...] = DEFAULT_FORMATS
    """Made of a take when it ends."""
    streams: tuple[str, ...] = ()
    """NAME or NAME=ADDRESS, see :mod:`rtface.live.streams`."""
    json: Path | None = None
    """File for the summary."""

    def __post_init__(self) -> None:
        if self.duration_s is not None and not self.duration_s > 0:
            raise InputError(f"--duration: got {self.duration_s!r}, expected seconds above 0")
        if self.frames is not None and self.frames < 1:
            raise InputError(f"--frames: got {self.frames}, expected at least 1")


def run_live(options: LiveOptions, config: PipelineConfig | None = None, *, say: Say = lambda line: None,
             tell: Say = lambda line: None) -> LiveSummary:
    """Run until the end that ``options`` name; Ctrl-C, a closed window and SIGTERM are ends like any other.

    say: told what is worth knowing at once. tell: a line per second of a run without window. Raises any RtfaceError;
    of one that ends a run that had begun (a lost camera, a full disk) the summary is told to ``say`` and written first.
    """
    config = config or PipelineConfig()
    with ExitStack() as stack:
        stack.enter_context(one_blas_thread())
        stack.enter_context(_terminated_as_interrupted())
        opened = open_live_source(options.source, size=options.size, fps=options.fps, realtime=options.realtime,
                                  say=say)
        stack.enter_context(opened.source)
        say(opened.description)
        model = MorphableModel.load()
        streams = open_streams(options.streams, StreamFacts(opened.source.info, model, options.mirror))
        for sink in streams.values():
            stack.callback(sink.abort)  # after finish there is nothing left to give up
        recorder = Recorder(options.out, model, opened.source.info, formats=options.formats,
                            config={"pipeline": config.to_dict(), "source": opened.source.info.name}, say=say)
        stack.callback(recorder.close)
        needs_mesh = options.window or any(sink.needs_mesh for sink in streams.values())
        pipeline = stack.enter_context(Pipeline(replace(config, meshes=needs_mesh), model=model))
        screen = None
        if options.window:
            from rtface.live.screen import Screen  # OpenGL is loaded only when it is needed
            screen = stack.enter_context(Screen(opened.source.info, model, pipeline, recorder, mirror=options.mirror,
                                                say=say))
        if options.record:
            say(f"recording to {recorder.start()}")
        session = stack.enter_context(LiveSession(pipeline, opened.source, sinks=streams, recorder=recorder,
                                                  live=opened.live, frames=options.frames, say=say))
        failure: RtfaceError | None = None
        try:
            if screen is not None:
                screen.show(session, options.duration_s)
            else:
                _print(session, recorder, options.duration_s, tell)
        except KeyboardInterrupt:
            pass  # the usual end
        except RtfaceError as exc:
            failure = exc
        session.close()
        recorder.stop()
        if recorder.folders:
            say("finishing the recording")
        recorder.close()
        summary = _summary(session, recorder, opened, pipeline, windowed=screen is not None)
        if options.json is not None:
            write_atomic(options.json, (json.dumps(summary.document(), indent=1, allow_nan=False) + "\n").encode())
        if failure is None and recorder.problems:
            failure = OutputError("; ".join(recorder.problems))
        if failure is not None:
            for line in summary.lines():
                say(line)
            raise failure
        return summary


def _print(session: LiveSession, recorder: Recorder, duration_s: float | None, tell: Say) -> None:
    """Wait for the end and tell a line per second."""
    due, faces = 1.0, 0
    while not session.ended and (duration_s is None or session.seconds < duration_s):
        result = session.newest(WAIT_S)
        if result is not None:
            faces = len(result.tracks)
        if session.seconds >= due:
            due = int(session.seconds) + 1.0
            tell(status_line(session, recorder, faces))


def status_line(session: LiveSession, recorder: Recorder, faces: int) -> str:
    """What a run is like now, in a line."""
    now = session.meter.reading(time.monotonic_ns())
    lost = {name: count for name, count in {**session.drops, "encoder busy": recorder.dropped}.items() if count}
    parts = [f"{session.seconds:7.1f} s", f"{now.fps:5.1f} fps"]
    if now.p50_ms == now.p50_ms:
        parts.append(f"latency p50 {now.p50_ms:.0f} p99 {now.p99_ms:.0f} ms")
    parts.append(f"{faces} face{'s' * (faces != 1)}")
    if lost:
        parts.append("dropped " + ", ".join(f"{count} {name}" for name, count in lost.items()))
    if recorder.take is not None:
        parts.append(f"recording {recorder.take} {recorder.seconds:.0f} s")
    return "  ".join(parts)


def _summary(session: LiveSession, recorder: Recorder, opened: LiveSource, pipeline: Pipeline, *,
             windowed: bool) -> LiveSummary:
    tally, times = session.tally, dict(session.times())
    if opened.live and "source" in times:  # no work: the time until the next frame came
        times = {"wait": times.pop("source"), **times}
    run = tally.summary(seconds=session.seconds, computed=tally.frames, times=times, backends=pipeline.backends,
                        problems=(), files=())
    notes = [*run.notes, *opened.source.problems, *session.notes, *recorder.problems]
    drops = {**session.drops, "encoder busy": recorder.dropped}
    if windowed:
        drops["window busy"] = session.undrawn
    return LiveSummary(run=replace(run, notes=notes), source=opened.source.info, latency_ms=session.meter.totals(),
                       drops=drops, takes=[str(folder) for folder in recorder.folders])


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does; only the main thread may ask for that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
