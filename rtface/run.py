"""The threads of a run: source → (faces →) stages → whoever iterates over the results."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from rtface.errors import InputError
from rtface.stages.gaps import GapFiller
from rtface.stages.track import TrackedFaces
from rtface.stream import (
    BoundedChannel,
    ChannelClosed,
    StageObserver,
    StageTimer,
    StageTimes,
    Worker,
    one_blas_thread,
    timed,
)
from rtface.types import Array, Frame, FrameResult

SOURCE_PATIENCE_S: Final = 2.0
"""How long a run that is closed waits for its source's thread."""


@dataclass(frozen=True, slots=True)
class PipelineState:
    """What the stages remember after a frame; small arrays, for a run that is resumed."""

    after_index: int
    """The source index of that frame."""
    arrays: Mapping[str, Array]


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """A frame whose faces are found and not yet measured."""

    frame: Frame
    faces: TrackedFaces
    timings_ms: Mapping[str, float]
    """By stage, the source's among them."""
    dropped: int
    """Frames dropped before this one."""
    memory: Mapping[str, Array]
    """What the tracker remembers after this frame; empty outside of a run."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The two halves of the work on a frame, and what follows when lost faces are settled.

    Frames come to each in order; one half may work on a frame while the other is at the one before.
    """

    look: Callable[[Frame, Mapping[str, float], int], Looked]
    """A frame, milliseconds of the source, frames dropped before it → its faces."""
    measure: Callable[[Looked], tuple[FrameResult, PipelineState]]
    finish: Callable[[FrameResult], FrameResult]


class Run(Iterator[FrameResult]):
    """Results of one run, in order; a context manager. Whatever fails in any thread is raised here."""

    def __init__(self, steps: Steps, source: Iterable[Frame], gaps: GapFiller, *, live: bool, stage_threads: int,
                 timer: StageTimer, observer: StageObserver | None, ended: Callable[[], None]) -> None:
        """Made by :meth:`rtface.pipeline.Pipeline.run`. ended: called when no thread is left at the stages."""
        self._timer, self._ended, self._open = timer, ended, True
        self._frames: BoundedChannel[tuple[Frame, float]] = BoundedChannel(1 if live else 2,
                                                                           "drop_oldest" if live else "block")
        self._results: BoundedChannel[tuple[FrameResult, PipelineState]] = BoundedChannel(2)
        self.state: PipelineState | None = None
        """What the stages remembered after the result last given out; None before the first one."""
        self._source = Worker("source", timed(source, observer), self._frames).start()
        looked: Iterable[Looked] = _look(steps, self._frames)
        self._faces: Worker[Looked] | None = None
        if stage_threads > 1:
            looked = channel = BoundedChannel[Looked](1)
            # live, no picture grows old between the two: the newest one is only fetched when the last was handed on
            self._faces = Worker("faces", _look(steps, self._frames, channel if live else None), channel).start()
        self._stages = Worker("stages", _measure(steps, looked, gaps), self._results).start()

    @property
    def dropped(self) -> int:
        """Frames that the source delivered and that were dropped so far (live only)."""
        return self._frames.dropped

    def times(self) -> dict[str, StageTimes]:
        """Milliseconds per stage so far; call it after the end for the whole run."""
        return self._timer.summary()

    def __next__(self) -> FrameResult:
        if not self._open:
            raise StopIteration
        try:
            result, self.state = self._results.receive()
        except ChannelClosed:
            self.close()
            raise StopIteration from None
        except BaseException:
            self.close()
            raise
        return result

    def close(self) -> None:
        """Stop all threads and wait for them; what was not given out is lost. A second call does nothing.

        A source that hangs is left behind after two seconds; its thread ends with its next frame.
        """
        if not self._open:
            return
        self._open = False
        self._frames.cancel()
        if self._faces is not None:
            self._faces.channel.cancel()
        stopped = self._stages.stop()
        if self._faces is not None:
            stopped = self._faces.stop() and stopped
        if stopped:
            self._ended()
        self._source.stop(SOURCE_PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_stages") and not sys.is_finalizing():
            self.close()


def _look(steps: Steps, frames: BoundedChannel[tuple[Frame, float]],
          waiting: BoundedChannel[Looked] | None = None) -> Iterator[Looked]:
    """The faces of all frames. waiting: fetch no frame before this is empty."""
    last_s = -math.inf
    for frame, decode_ms in frames:
        if frame.pts_s < last_s:
            raise InputError(f"source: got frame {frame.index} at {frame.pts_s:.3f} s after {last_s:.3f} s, "
                             f"expected times that do not go back; sort the frames")
        last_s = frame.pts_s
        yield steps.look(frame, {"source": decode_ms}, frames.dropped_before)
        if waiting is not None:
            waiting.wait_until_empty()


def _measure(steps: Steps, looked: Iterable[Looked], gaps: GapFiller) -> Iterator[tuple[FrameResult, PipelineState]]:
    """The results of all frames. What fails before ends the run after the frames that came through."""
    states: dict[int, PipelineState] = {}
    failure: Exception | None = None
    with one_blas_thread():
        try:
            for one in looked:
                measured, states[one.frame.index] = steps.measure(one)
                for result in gaps.push(measured):
                    yield steps.finish(result), states.pop(result.frame.index)
        except Exception as exc:  # noqa: BLE001  raised below, after the frames that still wait
            failure = exc
        for result in gaps.flush():
            yield steps.finish(result), states.pop(result.frame.index)
    if failure is not None:
        raise failure
