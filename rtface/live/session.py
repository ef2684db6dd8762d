"""A live run behind whatever shows it: results go to streams and the recorder in a thread of their own, and the
newest one waits for the main thread, which draws or prints it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Final, Protocol, Self

from rtface.errors import OutputError
from rtface.io import Sink, Source
from rtface.live.meter import Meter
from rtface.pipeline import Pipeline
from rtface.report import Tally
from rtface.stream import BoundedChannel, ChannelClosed, StageTimes, Worker
from rtface.types import FrameResult

CLOSE_S: Final = 5.0


class Records(Protocol):
    """Takes results without ever waiting."""

    def write(self, result: FrameResult) -> None: ...


class LiveSession:
    """One run of a pipeline over a source; a context manager. Leave it before the source is closed.

    A sink that fails is given up and named in ``notes``; the run goes on. What fails in the run is raised by
    :meth:`newest`.
    """

    def __init__(self, pipeline: Pipeline, source: Source, *, sinks: Mapping[str, Sink] | None = None,
                 recorder: Records | None = None, live: bool = True, frames: int | None = None,
                 say: Callable[[str], None] = lambda line: None) -> None:
        """sinks: streams by name, finished at the end. live: old frames are dropped (:meth:`Pipeline.run`).
        frames: end after so many results. say: told at once what goes wrong on the way.
        """
        self.meter, self.tally = Meter(), Tally()
        self.notes: list[str] = []
        self.ended = False
        """No more results will come."""
        self._source, self._sinks, self._recorder, self._frames = source, dict(sinks or {}), recorder, frames
        self._say = say
        self._started_ns = time.monotonic_ns()
        self._seconds: float | None = None
        self._run = pipeline.run(source, live=live)
        self._newest: BoundedChannel[FrameResult] = BoundedChannel(1, "drop_oldest")
        self._worker = Worker("results", self._results(), self._newest).start()

    def _results(self) -> Iterator[FrameResult]:
        for result in self._run:
            self.meter.result(result, time.monotonic_ns())
            self.tally.add(result)
            for name, sink in list(self._sinks.items()):
                try:
                    sink.write(result)
                except OutputError as exc:
                    self._give_up(name, exc)
            if self._recorder is not None:
                self._recorder.write(result)
            yield result
            if self._frames is not None and self.tally.frames >= self._frames:
                return

    def _give_up(self, name: str, cause: OutputError) -> None:
        sink = self._sinks.pop(name)
        sink.abort()
        self.note(f"stream {name} has ended: {cause}")

    def note(self, line: str) -> None:
        """Keep a line for the summary and tell it at once."""
        self.notes.append(line)
        self._say(line)

    def newest(self, timeout_s: float) -> FrameResult | None:
        """The newest result that was not given out yet; None when there is none within the time, or at the end."""
        try:
            return self._newest.receive(timeout_s)
        except TimeoutError:
            return None
        except ChannelClosed:
            self.ended = True
            return None

    @property
    def seconds(self) -> float:
        """Wall time since the start; stands still after the end."""
        return self._seconds if self._seconds is not None else (time.monotonic_ns() - self._started_ns) / 1e9

    @property
    def drops(self) -> dict[str, int]:
        """Frames that were lost so far, by reason."""
        return {"camera": int(getattr(self._source, "dropped", 0)), "stages busy": self._run.dropped}

    @property
    def undrawn(self) -> int:
        """Results that nobody fetched before the next one came."""
        return self._newest.dropped

    def times(self) -> dict[str, StageTimes]:
        """Milliseconds per stage; call it after the end."""
        return self._run.times()

    def close(self) -> None:
        """End the run and the streams. A second call does nothing."""
        if self._seconds is not None:
            return
        self._seconds = self.seconds
        self._run.close()  # ends the iteration in the other thread
        self._worker.stop()
        for name, sink in list(self._sinks.items()):
            try:
                sink.finish()
            except OutputError as exc:
                self._give_up(name, exc)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()
