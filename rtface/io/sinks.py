"""What takes results: the protocol of a sink, and one that takes them and does nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

from rtface.types import FrameResult


class Sink(Protocol):
    """Takes the results of a run in order; every method raises OutputError when the disk refuses.

    After an error of ``write`` or ``finish`` call ``abort``. Results may be views of memory that is used again: a sink
    copies what it keeps.
    """

    @property
    def needs_mesh(self) -> bool:
        """Whether ``write`` needs :attr:`FrameResult.mesh`."""

    def write(self, result: FrameResult) -> None:
        """Take one frame."""

    def finish(self) -> list[Path]:
        """Give the files their final names; returns them."""

    def abort(self) -> None:
        """Remove temporary files; nothing half-written stays. Final files of earlier frames stay."""


class NullSink:
    """Counts frames and faces and writes nothing: for benchmarks and tests."""

    needs_mesh: Final = False

    def __init__(self) -> None:
        self.frames = 0
        self.faces = 0

    def write(self, result: FrameResult) -> None:
        self.frames += 1
        self.faces += len(result.tracks)

    def finish(self) -> list[Path]:
        """No files."""
        return []

    def abort(self) -> None:
        """Nothing to remove."""
