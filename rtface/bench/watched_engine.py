"""Networks whose runs are spans of their own, inside the stages that call them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from rtface.inference import Engine, EngineSpec
from rtface.inference.timing import TellsTimes
from rtface.stream import Span, StageObserver
from rtface.types import Array

PREFIX: Final = "network "
"""Of the names of these spans: ``network landmarks``."""
UNKNOWN_FRAME: Final = -2
"""An engine does not know for which frame it works; see :func:`with_frames`."""


class WatchedEngine:
    """Another engine, told of to an observer; closing it closes the other one."""

    def __init__(self, engine: Engine, observer: StageObserver) -> None:
        self._engine, self._observer = engine, observer
        self._name = PREFIX + engine.spec.name
        self.device_ms: list[Mapping[str, float]] = []
        """What the engine told of each run, where it tells (:class:`rtface.inference.timing.TellsTimes`)."""

    @property
    def spec(self) -> EngineSpec:
        """Of the other engine."""
        return self._engine.spec

    @property
    def backend(self) -> str:
        """Of the other engine."""
        return self._engine.backend

    def run(self, **inputs: Array) -> dict[str, Array]:
        """See :meth:`rtface.inference.Engine.run`."""
        self._observer.begin(self._name)
        try:
            return self._engine.run(**inputs)
        finally:
            self._observer.end(self._name, UNKNOWN_FRAME)
            if isinstance(self._engine, TellsTimes):
                self.device_ms.append(self._engine.times_ms())

    def close(self) -> None:
        """See :meth:`rtface.inference.Engine.close`."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def with_frames(spans: Sequence[Span]) -> list[Span]:
    """Spans, in the order in which they ended, with the frame of the stage around them where it was not known."""
    out = list(spans)
    waiting: dict[str, list[int]] = {}
    for k, span in enumerate(out):
        inside = waiting.setdefault(span.thread, [])
        if span.frame == UNKNOWN_FRAME:
            inside.append(k)
            continue
        while inside and out[inside[-1]].start_ns >= span.start_ns:
            number = inside.pop()
            out[number] = out[number]._replace(frame=span.frame)
    return out
