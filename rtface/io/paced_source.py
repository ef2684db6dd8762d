"""A file played at its own pace, as if it were a camera."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from rtface.io.source import Source, SourceInfo
from rtface.types import Frame

LATE_S: Final = 0.5
"""A frame that comes this much late stops the clock: what follows is counted from it."""


class PacedSource:
    """Delivers another source's frames when they are due: the first one at once, the others by their own times.

    ``captured_ns`` is the moment at which a frame was due, so that latency counts decoding too. A file that cannot be
    decoded at its own pace runs late; when it is more than :data:`LATE_S` behind, its clock is set back, which is
    noted in ``problems``. Owns the source: closing this closes it.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._closed = threading.Event()
        self._held_up = 0

    @property
    def info(self) -> SourceInfo:
        return self._source.info

    @property
    def problems(self) -> list[str]:
        late = f"decoding is slower than the video's own pace; its clock was set back {self._held_up} times"
        return self._source.problems + ([late] if self._held_up else [])

    @property
    def expected_frames(self) -> int | None:
        return self._source.expected_frames

    def __iter__(self) -> Iterator[Frame]:
        self._held_up = 0
        start_ns: int | None = None
        for frame in self._source:
            now_ns, pts_ns = time.monotonic_ns(), round(frame.pts_s * 1e9)
            if start_ns is None:
                start_ns = now_ns - pts_ns
            due_ns = start_ns + pts_ns
            if now_ns - due_ns > LATE_S * 1e9:
                self._held_up += 1
                start_ns, due_ns = now_ns - pts_ns, now_ns
            if self._closed.wait(max(0.0, (due_ns - now_ns) / 1e9)):
                return
            yield Frame(frame.pixels, frame.index, frame.pts_s, due_ns)

    def close(self) -> None:
        """Stop waiting and release the file."""
        self._closed.set()
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()
