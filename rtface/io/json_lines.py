"""JSON lines: one object per frame (:mod:`rtface.io.frame_message`) to standard output, a pipe or a file."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rtface.errors import InputError, OutputError
from rtface.io.atomic import output_errors, write_all
from rtface.io.frame_message import frame_line
from rtface.io.stream_sink import StreamSink
from rtface.types import FrameResult

BUFFER_BYTES: Final = 1 << 20
"""How much waits for a slow reader before whole lines are dropped."""
CLOSING_S: Final = 1.0
_PIPE_BUF: Final = getattr(select, "PIPE_BUF", 512)


class JsonLinesSink(StreamSink):
    """Writes a line per frame.

    Files are made anew and hold every line; OutputError when the disk refuses. Standard output and pipes never make
    the run wait (on POSIX): what a slow reader does not take waits in a buffer of 1 MiB, then whole lines are dropped,
    and all of them when the reader has gone.
    """

    def __init__(self, target: str, names: Sequence[str], *, handle: int | None = None) -> None:
        """target: ``-`` for standard output, or a name. names: of the model's expressions.
        handle: an open file or pipe to use as standard output instead.

        OutputError when the file is there already or cannot be made.
        """
        super().__init__(f"jsonl {target}")
        self._names = tuple(names)
        self._path = None if target == "-" else Path(target)
        self._handle: int | None = _opened(self._path, handle)
        self._waits = hasattr(select, "poll") and not stat.S_ISREG(os.fstat(self._handle).st_mode)
        self._pending = bytearray()
        self.lines, self.dropped, self._gone = 0, 0, False

    def write(self, result: FrameResult) -> None:
        """Write one line."""
        if self._handle is None:
            raise InputError(f"{self.name}: got a frame after the stream was closed, expected none")
        line = frame_line(result, self._names).encode() + b"\n"
        if not self._waits:
            with output_errors(self._path or "standard output"):
                write_all(self._handle, line)
        elif self._gone or len(self._pending) + len(line) > BUFFER_BYTES:
            self._push(0.0)
            self.dropped += 1
            return
        else:
            self._pending += line
            self._push(0.0)
        self.lines += 1

    def _push(self, seconds: float) -> None:
        """Write as much as the reader takes within so many seconds; in pieces that never wait (POSIX, PIPE_BUF)."""
        if not self._pending or self._handle is None:
            return
        until, room = time.monotonic() + seconds, select.poll()
        room.register(self._handle, select.POLLOUT)
        while self._pending and not self._gone:
            try:
                if not room.poll(max(0.0, until - time.monotonic()) * 1e3):
                    return
                del self._pending[:os.write(self._handle, self._pending[:_PIPE_BUF])]
            except BlockingIOError:
                return
            except OSError:  # broken pipe, terminal gone
                self._gone = True
                lost = self._pending.count(b"\n")
                self.lines, self.dropped = self.lines - lost, self.dropped + lost
                self._pending.clear()

    def close(self) -> None:
        """Give a slow reader one more second, then let go."""
        if self._handle is None:
            return
        self._push(CLOSING_S)
        handle, self._handle = self._handle, None
        lost = self._pending.count(b"\n")
        self.lines, self.dropped = self.lines - lost, self.dropped + lost
        with contextlib.suppress(OSError):
            os.close(handle)

    def finish(self) -> list[Path]:
        """Close; the file, if it is one."""
        self.close()
        return [self._path] if self._path is not None and not self._waits else []

    def report(self) -> str:
        reason = "reader gone" if self._gone else "reader too slow"
        return f"{self.name}: {self.lines} lines" + (f", {self.dropped} dropped ({reason})" if self.dropped else "")


def _opened(path: Path | None, handle: int | None) -> int:
    """A handle of our own."""
    if path is None:
        return os.dup(sys.stdout.fileno() if handle is None else handle)
    try:
        special = path.exists() and not path.is_file()
        flags = getattr(os, "O_NONBLOCK", 0) if special else os.O_CREAT | os.O_EXCL
        with output_errors(path):
            return os.open(path, os.O_WRONLY | flags, 0o666)
    except OutputError as exc:
        if exc.errno == errno.EEXIST:
            raise OutputError(f"jsonl: {path} is there already; move it away or choose another name") from exc
        if exc.errno == errno.ENXIO:
            raise OutputError(f"jsonl: got the pipe {path}, which nobody reads; start its reader first") from exc
        raise
