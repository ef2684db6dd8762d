"""The crash-safe log of a run: one record per finished frame, so that an interrupted run can be resumed.

File layout, all numbers little-endian::

    8 bytes   magic b"RTFJRNL" and the version, 0x01
    u32, u32  length and CRC-32 of the metadata
    …         metadata: JSON object in UTF-8
    then per frame
    u32, u32  length and CRC-32 of the payload
    …         payload: frame header, N face records, JSON object of timings in ms

Every record reaches the operating system before :meth:`JournalWriter.append` returns, so that nothing is lost when
the process is killed; closing waits until the disk holds everything (fsync). A record that is incomplete or damaged
ends the journal: what lies before it is good, what lies behind is not looked at.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.io.atomic import output_errors, write_all, write_atomic
from rtface.types import (
    LANDMARKS,
    REGIONS,
    VECTOR_SIZE,
    Coefficients,
    FaceStatus,
    FaceTracks,
    Frame,
    FrameResult,
)

MAGIC: Final = b"RTFJRNL\x01"
_SIZES: Final = struct.Struct("<II")  # length, CRC-32
_FRAME: Final = struct.Struct("<qdIIIIH")  # index, pts_s, height, width, dropped_before, bytes of timings, N
_FACE: Final = np.dtype([
    ("id", "<i4"), ("age", "<i4"), ("status", "<i4"), ("score", "<f4"), ("confidence", "<f4"),
    ("box", "<f4", (4,)), ("landmarks", "<f4", (LANDMARKS, 2)), ("coefficients", "<f4", (VECTOR_SIZE,)),
    ("regions", "<f4", (len(REGIONS),)),
])
_STATUSES: Final = tuple(FaceStatus)
_STATUS_CODES: Final = {status: code for code, status in enumerate(_STATUSES)}
_PAYLOAD_LIMIT: Final = 1 << 28


@dataclass(frozen=True, slots=True, eq=False)
class JournalFrame:
    """One frame of a journal. Arrays are read-only views of the journal's bytes."""

    index: int
    """Index of the frame in its source."""
    pts_s: float
    height: int
    """px of the frame."""
    width: int
    """px of the frame."""
    dropped_before: int
    faces: NDArray[Any]
    """(N,) structured array, one record per face."""
    timings_ms: Mapping[str, float]
    basis: str

    @property
    def count(self) -> int:
        """Number of faces N."""
        return int(self.faces.shape[0])

    @property
    def tracks(self) -> FaceTracks:
        f = self.faces
        return FaceTracks(np.ascontiguousarray(f["id"], np.int32), np.ascontiguousarray(f["box"], np.float32),
                          np.ascontiguousarray(f["score"], np.float32),
                          np.ascontiguousarray(f["landmarks"], np.float32), np.ascontiguousarray(f["age"], np.int32))

    @property
    def coefficients(self) -> Coefficients:
        return Coefficients.from_vector(np.ascontiguousarray(self.faces["coefficients"], np.float32), self.basis)

    @property
    def regions(self) -> NDArray[np.float32]:
        """(N, 6) float32 visible share per region."""
        return np.ascontiguousarray(self.faces["regions"], np.float32)

    @property
    def confidence(self) -> NDArray[np.float32]:
        """(N,) float32 0..1."""
        return np.ascontiguousarray(self.faces["confidence"], np.float32)

    @property
    def status(self) -> tuple[FaceStatus, ...]:
        """One per face."""
        return tuple(_STATUSES[code] for code in self.faces["status"].tolist())

    def to_result(self) -> FrameResult:
        """The frame as a result without occlusion, mesh and picture, to replay it into sinks.

        ``frame.pixels`` has the right size but is black (one byte of memory, read-only).
        """
        pixels = np.broadcast_to(np.zeros((), np.uint8), (self.height, self.width, 3))
        return FrameResult(Frame(pixels, self.index, self.pts_s), self.tracks, None, self.coefficients, None,
                           self.regions, self.confidence, self.status, self.timings_ms, self.dropped_before)


@dataclass(frozen=True, slots=True, eq=False)
class Journal:
    """What :func:`read_journal` found."""

    metadata: dict[str, Any]
    basis: str
    """Identifier of the morphable model that the coefficients belong to."""
    frames: list[JournalFrame]
    discarded_bytes: int
    """Bytes at the end of the file that belong to no whole record."""

    @property
    def last_index(self) -> int:
        """Source index of the last frame; −1 when there is none."""
        return self.frames[-1].index if self.frames else -1


def read_journal(path: str | os.PathLike[str]) -> Journal:
    """Read all whole records of a journal (the file is held in memory: about 1.6 kB per face and frame).

    Raises :class:`InputError` when the file is missing, is not a journal, or its metadata are damaged.
    """
    return _read(Path(path))[0]


def _read(path: Path) -> tuple[Journal, int]:
    """The journal and the length in bytes of its good part."""
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise InputError(f"{path}: cannot be read ({exc.strerror or exc}); start the run anew with --force") from exc
    if data[:7] == MAGIC[:7] and data[:8] != MAGIC:
        raise InputError(f"{path}: got a journal of version {data[7:8].hex() or 'none'}, expected {MAGIC[7]:02x} of "
                         "this version of rtface; start the run anew with --force")
    start = len(MAGIC) + _SIZES.size
    if data[:8] != MAGIC or len(data) < start:
        raise InputError(f"{path}: got a file that is not a journal of rtface; start the run anew with --force")
    length, crc = _SIZES.unpack_from(data, len(MAGIC))
    raw = data[start:start + length]
    if len(raw) != length or zlib.crc32(raw) != crc:
        raise InputError(f"{path}: got a journal with damaged metadata; start the run anew with --force")
    metadata = json.loads(raw)
    offset = start + length
    frames: list[JournalFrame] = []
    basis = str(metadata["basis"])
    while (found := _next_record(data, offset, basis)) is not None:
        frame, offset = found
        frames.append(frame)
    return Journal(metadata["user"], basis, frames, len(data) - offset), offset


def _next_record(data: bytes, offset: int, basis: str) -> tuple[JournalFrame, int] | None:
    """The record at ``offset`` and the offset behind it; None at the end or at damage."""
    start = offset + _SIZES.size
    if start > len(data):
        return None
    length, crc = _SIZES.unpack_from(data, offset)
    end = start + length
    if length < _FRAME.size or length > _PAYLOAD_LIMIT or end > len(data):
        return None
    if zlib.crc32(memoryview(data)[start:end]) != crc:
        return None
    index, pts_s, height, width, dropped, timing_bytes, count = _FRAME.unpack_from(data, start)
    faces_at = start + _FRAME.size
    timings_at = faces_at + count * _FACE.itemsize
    if timings_at + timing_bytes != end:
        return None
    faces = np.frombuffer(data, _FACE, count, faces_at)
    timings = json.loads(data[timings_at:end]) if timing_bytes else {}
    return JournalFrame(index, pts_s, height, width, dropped, faces, timings, basis), end


class JournalWriter:
    """Appends results to a journal; a context manager.

    metadata: a JSON object that describes the run (configuration, fingerprint of the source, …). basis: identifier of
    the morphable model; all coefficients must belong to it. An existing file is replaced. Raises
    :class:`rtface.errors.OutputError` when the disk refuses.
    """

    def __init__(self, path: str | os.PathLike[str], metadata: Mapping[str, Any], *, basis: str) -> None:
        raw = json.dumps({"basis": basis, "user": dict(metadata)}, ensure_ascii=False).encode()
        write_atomic(path, MAGIC, _SIZES.pack(len(raw), zlib.crc32(raw)), raw, durable=True)
        self._open(Path(path), basis, last_index=-1)

    def _open(self, path: Path, basis: str, last_index: int) -> None:
        self._path, self._basis, self._last_index = path, basis, last_index
        with output_errors(path):
            self._handle: int | None = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
            self._length = os.fstat(self._handle).st_size

    @classmethod
    def resume(cls, path: str | os.PathLike[str]) -> tuple[JournalWriter, Journal]:
        """Continue a journal: its whole records, and a writer that appends to them; the damaged tail is cut off.

        Raises :class:`InputError` as :func:`read_journal` does.
        """
        path = Path(path)
        journal, length = _read(path)
        with output_errors(path):
            os.truncate(path, length)
        basis = json.loads(_metadata_bytes(path))["basis"]
        writer = cls.__new__(cls)
        writer._open(path, basis, journal.last_index)
        return writer, journal

    @property
    def path(self) -> Path:
        return self._path

    def append(self, result: FrameResult) -> None:
        """Add one frame; indices must increase. Call it when the frame's files are written.

        Raises :class:`InputError` for a foreign basis, an index out of order or a closed journal, and
        :class:`rtface.errors.OutputError` when the disk refuses (the journal then ends with the frame before).
        """
        if self._handle is None:
            raise InputError(f"{self._path}: got a frame for a closed journal")
        index = result.frame.index
        if index <= self._last_index:
            raise InputError(f"{self._path}: got frame {index} after frame {self._last_index}, expected a later one")
        payload = self._pack(result)
        record = _SIZES.pack(len(payload), zlib.crc32(payload)) + payload
        with output_errors(self._path):
            try:
                write_all(self._handle, record)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._handle, self._length)
                raise
        self._length += len(record)
        self._last_index = index

    def _pack(self, result: FrameResult) -> bytes:
        count = len(result.tracks)
        frame, tracks = result.frame, result.tracks
        timings = json.dumps({k: round(v, 3) for k, v in result.timings_ms.items()}).encode() if result.timings_ms \
            else b""
        head = _FRAME.pack(frame.index, frame.pts_s, frame.height, frame.width, result.dropped_before, len(timings),
                           count)
        if not count:
            return head + timings
        if result.coefficients.basis != self._basis:
            raise InputError(f"{self._path}: got coefficients of basis {result.coefficients.basis!r}, expected "
                             f"{self._basis!r}; one run uses one basis")
        faces = np.empty(count, _FACE)
        faces["id"], faces["age"], faces["score"] = tracks.ids, tracks.ages, tracks.scores
        faces["status"] = [_STATUS_CODES[status] for status in result.status]
        faces["confidence"], faces["regions"] = result.confidence, result.regions
        faces["box"], faces["landmarks"] = tracks.boxes_xyxy, tracks.landmarks
        faces["coefficients"] = result.coefficients.to_vector()
        return head + faces.tobytes() + timings

    def close(self) -> None:
        """Wait until the disk holds everything, and close. Raises :class:`rtface.errors.OutputError`."""
        handle, self._handle = self._handle, None
        if handle is None:
            return
        with output_errors(self._path):
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def _metadata_bytes(path: Path) -> bytes:
    with open(path, "rb") as file:
        file.seek(len(MAGIC))
        length, _ = _SIZES.unpack(file.read(_SIZES.size))
        return file.read(length)
