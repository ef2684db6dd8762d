"""What a source of frames is: the protocol and the facts it states about itself."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Protocol, Self

from rtface.types import Frame

SourceKind = Literal["video", "images", "image", "array", "synthetic", "camera"]


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known about a source before its frames are read."""

    name: str
    """File or folder name, without the path."""
    kind: SourceKind
    width: int
    """px of the first frame, upright."""
    height: int
    """px of the first frame, upright."""
    fps: float | None
    """Average frames per second; frames may still come at irregular times."""
    frame_count: int | None
    """Estimated number of frames in the whole source; None when the file does not say."""
    duration_s: float | None
    """Estimated duration in s of the whole source."""
    rotation_deg: int
    """Clockwise turn in degrees (0, 90, 180, 270) that was applied to the stored pictures to make them upright."""
    codec: str
    """Name of the codec, or the picture formats."""
    fingerprint: str
    """Changes when the file changes: its size, its modification time and a hash of its first bytes."""


class Source(Protocol):
    """A context manager that delivers frames; leaving it (or ``close``) releases files."""

    @property
    def info(self) -> SourceInfo: ...

    @property
    def problems(self) -> list[str]:
        """Damage found so far in the current (or last) iteration, one line each."""

    @property
    def expected_frames(self) -> int | None:
        """About how many frames an iteration delivers (start, end and step considered)."""

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None: ...


_HEAD_BYTES: Final = 65536


def fingerprint(paths: Sequence[str | os.PathLike[str]]) -> str:
    """A short text that changes when one of the files changes: sizes, modification times, first 64 KiB of the first.

    One file: ``SIZE-MTIME_NS-HASH``; several: the same with the sum of sizes, the latest time and a hash over all
    names, sizes and times. Raises :class:`OSError` when a file cannot be read.
    """
    digest = hashlib.sha256()
    with open(paths[0], "rb") as file:
        digest.update(file.read(_HEAD_BYTES))
    size, changed_ns = 0, 0
    for path in paths:
        stat = os.stat(path)
        size += stat.st_size
        changed_ns = max(changed_ns, stat.st_mtime_ns)
        if len(paths) > 1:
            digest.update(f"{Path(path).name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return f"{size}-{changed_ns}-{digest.hexdigest()[:16]}"
