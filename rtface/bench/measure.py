"""One stretch of one case: pipelines over simulated cameras, and when every frame was where."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from rtface.bench.conditions import Usage, UsageMeter
from rtface.bench.options import SETTLE_FRAMES
from rtface.bench.watched_engine import PREFIX, WatchedEngine, with_frames
from rtface.config import PipelineConfig
from rtface.inference import Engine, open_engine
from rtface.io import Source
from rtface.morphable import MorphableModel
from rtface.pipeline import NETWORKS, Pipeline
from rtface.render import MeshRenderer, Style, faces_from_mesh, headless_context
from rtface.stages.deocclude import NETWORKS as DEOCCLUSION
from rtface.stream import Observers, Span, SpanRecorder, StageObserver
from rtface.types import FrameResult

SOURCE: Final = "source"
Show = Callable[[FrameResult], None]
"""Draws a result."""


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """When one frame was where, ``time.monotonic_ns``; everything from capture to the picture adds up."""

    index: int
    captured_ns: int
    ready_ns: int
    """The source handed it over: arrived, decoded."""
    started_ns: int
    """The first stage began with it."""
    finished_ns: int
    """The last stage was done."""
    delivered_ns: int
    """The result reached the thread that asked for it."""
    shown_ns: int
    """It was drawn; ``delivered_ns`` when nothing draws."""
    stages: Mapping[str, float]
    """ms of each stage, without those inside it."""
    faces: int
    networks: Mapping[str, float] = field(default_factory=dict)
    """ms in each network, which its stages' times include."""

    @property
    def end_to_end_ms(self) -> float:
        """From the capture clock to the result, drawn if it is drawn."""
        return (self.shown_ns - self.captured_ns) / 1e6

    def parts_ms(self) -> dict[str, float]:
        """What the time went to, in order; the sum is :attr:`end_to_end_ms`."""
        inside = sum(self.stages.values())
        parts = {SOURCE: (self.ready_ns - self.captured_ns) / 1e6, "queue": (self.started_ns - self.ready_ns) / 1e6,
                 **self.stages, "rest": (self.finished_ns - self.started_ns) / 1e6 - inside,
                 "handover": (self.delivered_ns - self.finished_ns) / 1e6}
        if self.shown_ns != self.delivered_ns:
            parts["render"] = (self.shown_ns - self.delivered_ns) / 1e6
        return parts


@dataclass(frozen=True, slots=True)
class Block:
    """One stretch of a case: what its streams gave, without the first frames of each."""

    frames: Sequence[Sequence[FrameTimes]]
    """Per stream."""
    expected: int
    """Frames that the cameras delivered and that count."""
    dropped: int
    """Of them, those that were never worked on."""
    usage: Usage
    spans: Sequence[Sequence[Span]] = field(default=(), repr=False)
    """Per stream, of all frames; for traces."""
    device_ms: Mapping[str, float] = field(default_factory=dict)
    """Mean ms per result that engines spent in copies and on a device of their own, by the names they tell: upload
    ``h2d``, ``compute``, ``d2h``. Empty where engines do not tell, as on a CPU."""

    @property
    def fps(self) -> float | None:
        """Results per second, of all streams together; None with fewer than two in a stream."""
        rates = [(len(stream) - 1) * 1e9 / (stream[-1].delivered_ns - stream[0].delivered_ns)
                 for stream in self.frames if len(stream) > 1]
        return sum(rates) if len(rates) == len(self.frames) else None

    @property
    def all_frames(self) -> list[FrameTimes]:
        """Of all streams."""
        return [one for stream in self.frames for one in stream]


class Lane:
    """A pipeline whose stages and networks are watched; a context manager that closes it."""

    def __init__(self, config: PipelineConfig, model: MorphableModel | None, watch: StageObserver | None = None,
                 engines: Mapping[str, Engine] | None = None) -> None:
        """watch: one more observer; engines: instead of those that the configuration names, closed with the lane."""
        self.recorder = SpanRecorder()
        observer = self.recorder if watch is None else Observers(watch, self.recorder)
        with ExitStack() as stack:
            self.engines: list[WatchedEngine] = []
            for name in (*NETWORKS, *DEOCCLUSION[config.occlusion.recipe]):
                engine = (engines or {}).get(name) or open_engine(
                    name, config.profile, backend=config.backend, threads=config.threads, precision=config.precision)
                self.engines.append(stack.enter_context(WatchedEngine(engine, observer)))
            self.pipeline = stack.enter_context(Pipeline(
                config, model=model, observer=observer, engines={e.spec.name: e for e in self.engines}))
            self._stack = stack.pop_all()

    def device_ms(self) -> dict[str, float]:
        """Sums over all runs since the last call."""
        total: dict[str, float] = {}
        for engine in self.engines:
            told, engine.device_ms = engine.device_ms, []
            for name, value in (item for one in told for item in one.items()):
                total[name] = total.get(name, 0.0) + value
        return total

    def close(self) -> None:
        """Close the pipeline and its engines."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def measure_block(lanes: Sequence[Lane], sources: Sequence[Source], *, live: bool, show: Show | None = None,
                  settle: int = SETTLE_FRAMES) -> Block:
    """Run one pipeline per source at the same time, to the sources' ends, and take the times; sources are closed.

    live: frames that come while a pipeline is busy are dropped, oldest first. show: draws each result, one stream
    only. What fails in any stream ends all of them and is raised here.
    """
    outcomes: list[tuple[list[FrameTimes], int, int, list[Span]] | BaseException | None] = [None] * len(lanes)
    failed = threading.Event()

    def work(k: int) -> None:
        try:
            with sources[k]:
                outcomes[k] = _consume(lanes[k], sources[k], live, show, settle, failed)
        except BaseException as exc:  # noqa: BLE001  raised below, in the caller's thread
            failed.set()
            outcomes[k] = exc

    for lane in lanes:
        lane.device_ms()
    meter = UsageMeter()
    threads = [threading.Thread(target=work, args=(k,), name=f"rtface-stream-{k}") for k in range(1, len(lanes))]
    for thread in threads:
        thread.start()
    try:
        work(0)
        for thread in threads:
            thread.join()
    except BaseException:  # interrupted while waiting for the others
        failed.set()
        for thread in threads:
            thread.join()
        raise
    usage = meter.stop()
    done = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        assert outcome is not None
        done.append(outcome)
    results = max(sum(len({s.frame for s in d[3] if s.name != SOURCE and s.frame >= 0}) for d in done), 1)
    device: dict[str, float] = {}
    for name, total in (item for lane in lanes for item in lane.device_ms().items()):
        device[name] = device.get(name, 0.0) + total / results
    return Block([d[0] for d in done], sum(d[1] for d in done), sum(d[2] for d in done), usage, [d[3] for d in done],
                 device)


def _consume(lane: Lane, source: Source, live: bool, show: Show | None,
             settle: int, failed: threading.Event) -> tuple[list[FrameTimes], int, int, list[Span]]:
    """Times of the frames that count, how many should have come, how many of them were dropped, and all spans.

    Ends early when another stream has failed.
    """
    lane.recorder.spans = []
    taken: list[tuple[Any, ...]] = []  # fields of FrameTimes, without those that the spans tell
    with lane.pipeline.run(source, live=live) as run:
        for result in run:
            if failed.is_set():
                break
            delivered_ns = shown_ns = time.monotonic_ns()
            if show is not None:
                show(result)
                shown_ns = time.monotonic_ns()
            stages = {name: ms for name, ms in result.timings_ms.items() if name != SOURCE}
            taken.append((result.frame.index, result.frame.captured_ns, delivered_ns, shown_ns, stages,
                          len(result.tracks)))
    spans = with_frames(lane.recorder.spans)
    networks: dict[int, dict[str, float]] = {}
    for span in spans:
        if span.name.startswith(PREFIX):
            of_frame, name = networks.setdefault(span.frame, {}), span.name.removeprefix(PREFIX)
            of_frame[name] = of_frame.get(name, 0.0) + (span.end_ns - span.start_ns) / 1e6
    ready = {span.frame: span.end_ns for span in spans if span.name == SOURCE}
    started: dict[int, int] = {}
    finished: dict[int, int] = {}
    for span in spans:
        if span.name != SOURCE:
            started[span.frame] = min(started.get(span.frame, span.start_ns), span.start_ns)
            finished[span.frame] = max(finished.get(span.frame, 0), span.end_ns)
    frames = [FrameTimes(index, captured, ready[index], started[index], finished[index], delivered, shown, stages,
                         faces, networks.get(index, {}))
              for index, captured, delivered, shown, stages, faces in taken if index >= settle]
    expected = sum(1 for index in ready if index >= settle)
    return frames, expected, expected - len(frames), spans


@contextmanager
def drawing(height: int, width: int) -> Iterator[Show]:
    """Meshes over frames of this size, headless, read back as a picture; in this thread only.

    RenderError without OpenGL.
    """
    with ExitStack() as stack:
        context = stack.enter_context(headless_context())
        renderer = stack.enter_context(MeshRenderer(context, height, width))
        style = Style(opacity=0.85)

        def show(result: FrameResult) -> None:
            if result.mesh is not None and len(result.mesh):
                renderer.render_overlay(result.frame.pixels, faces_from_mesh(result.mesh, result.coefficients),
                                        style=style)

        yield show


__all__ = ["SOURCE", "Block", "FrameTimes", "Lane", "Show", "drawing", "measure_block"]
