"""Numbers of a run as one .npz or one .csv file."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.io.atomic import atomic_path, check_output_folder, output_errors, sync_file, temporary_path
from rtface.io.source import SourceInfo
from rtface.types import (
    ALBEDO_SIZE,
    EXPRESSION_SIZE,
    IDENTITY_SIZE,
    ILLUMINATION_SIZE,
    LANDMARKS,
    REGIONS,
    VECTOR_SIZE,
    FaceStatus,
    FrameResult,
)

Floats = NDArray[np.float32]

CURVES: Final = 52
"""The first 52 expression coefficients are ARKit's blendshapes."""
_POSE: Final = ("pitch_rad", "yaw_rad", "roll_rad", "scale_px_per_mm", "x_px", "y_px")
_STATUSES: Final = tuple(FaceStatus)
_BLOCK: Final = 256  # frames that are made dense at a time


def source_json(source: SourceInfo | None) -> str:
    """A source's facts as JSON text; ``{}`` without one."""
    return json.dumps(asdict(source) if source is not None else {}, ensure_ascii=False)


def _checked_names(names: Sequence[str]) -> tuple[str, ...]:
    if len(names) != EXPRESSION_SIZE or len(set(names)) != EXPRESSION_SIZE:
        raise InputError(f"expression_names: got {len(set(names))} different names, expected {EXPRESSION_SIZE}")
    return tuple(names)


@dataclass(slots=True)
class _Row:
    """Compact copy of one frame: arrays with one row per face."""

    index: int
    pts_s: float
    ids: NDArray[np.int32]
    status: NDArray[np.int8]
    ages: NDArray[np.int32]
    values: dict[str, Floats]


class NpzSink:
    """Collects results and writes one compressed .npz; T frames, K different faces (sorted by id).

    ``frame_index (T,) int64``, ``pts_s (T,) float64``, ``face_ids (K,) int32``, ``status (T, K) int8`` into
    ``status_names``; float32 with NaN where a face is absent: ``coefficients (T, K, 239)``, ``pose (T, K, 6)`` with
    ``pose_names`` (rad, px/mm, px), ``curves (T, K, 52)`` = the first 52 expression coefficients clipped to 0..1 with
    ``curve_names``, ``regions (T, K, 6)`` with ``region_names``, ``landmarks68 (T, K, 68, 2)`` px, ``boxes
    (T, K, 4)`` px, ``scores (T, K)``; ``confidence (T, K)`` is 0 where absent, ``ages (T, K) int32`` is −1;
    ``expression_names (64,)``, ``source`` (JSON text), ``basis`` (text). It loads with ``allow_pickle=False``.

    Raises :class:`rtface.errors.OutputError` when the disk refuses.
    """

    needs_mesh: Final = False

    def __init__(self, path: str | os.PathLike[str], *, expression_names: Sequence[str], basis: str,
                 source: SourceInfo | None = None) -> None:
        self._path = Path(path)
        check_output_folder(self._path.parent)
        self._names, self._basis, self._source = _checked_names(expression_names), basis, source
        self._rows: list[_Row] = []

    def write(self, result: FrameResult) -> None:
        """Note one frame."""
        keep = np.array([s is not FaceStatus.ABSENT for s in result.status], bool)
        tracks = result.tracks
        self._rows.append(_Row(
            result.frame.index, result.frame.pts_s, tracks.ids[keep],
            np.array([_STATUSES.index(s) for s in result.status if s is not FaceStatus.ABSENT], np.int8),
            tracks.ages[keep],
            {"coefficients": result.coefficients.to_vector()[keep], "regions": result.regions[keep],
             "landmarks68": tracks.landmarks[keep], "boxes": tracks.boxes_xyxy[keep], "scores": tracks.scores[keep],
             "confidence": result.confidence[keep]}))

    def finish(self) -> list[Path]:
        """Write the file."""
        rows = self._rows
        ids = np.unique(np.concatenate([r.ids for r in rows])) if rows else np.zeros(0, np.int32)
        with atomic_path(self._path, durable=True) as temporary, \
                zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, array in {
                    "frame_index": np.array([r.index for r in rows], np.int64),
                    "pts_s": np.array([r.pts_s for r in rows], np.float64), "face_ids": ids.astype(np.int32),
                    "status_names": np.array([str(s) for s in _STATUSES]), "pose_names": np.array(_POSE),
                    "curve_names": np.array(self._names[:CURVES]), "expression_names": np.array(self._names),
                    "region_names": np.array(REGIONS), "source": np.array(source_json(self._source)),
                    "basis": np.array(self._basis)}.items():
                _write_member(archive, name, array.shape, array.dtype, [array])
            nan = float("nan")
            for name, shape in (("coefficients", (VECTOR_SIZE,)), ("regions", (len(REGIONS),)),
                                ("landmarks68", (LANDMARKS, 2)), ("boxes", (4,)), ("scores", ()), ("pose", (6,)),
                                ("curves", (CURVES,))):
                self._write_dense(archive, name, ids, shape, np.dtype(np.float32), nan)
            self._write_dense(archive, "confidence", ids, (), np.dtype(np.float32), 0)
            self._write_dense(archive, "status", ids, (), np.dtype(np.int8), _STATUSES.index(FaceStatus.ABSENT))
            self._write_dense(archive, "ages", ids, (), np.dtype(np.int32), -1)
        return [self._path]

    def _write_dense(self, archive: zipfile.ZipFile, name: str, ids: NDArray[np.int32], shape: tuple[int, ...],
                     dtype: np.dtype[Any], fill: float) -> None:
        """One (T, K, …) array, made dense block by block (a crowd's dense arrays may not fit in memory)."""
        def blocks() -> Iterator[NDArray[Any]]:
            for start in range(0, len(self._rows), _BLOCK):
                part = self._rows[start:start + _BLOCK]
                block = np.full((len(part), len(ids), *shape), fill, dtype)
                for t, row in enumerate(part):
                    block[t, np.searchsorted(ids, row.ids)] = _column(row, name)
                yield block
        _write_member(archive, name, (len(self._rows), len(ids), *shape), dtype, blocks())

    def abort(self) -> None:
        """Forget what was collected; nothing is on disk."""
        self._rows = []


def _column(row: _Row, name: str) -> NDArray[Any]:
    """(N, …) values of one array of the file."""
    if name == "status":
        return row.status
    if name == "ages":
        return row.ages
    if name == "pose":
        return row.values["coefficients"][:, -6:]
    if name == "curves":
        vector = row.values["coefficients"]
        return np.clip(vector[:, IDENTITY_SIZE:IDENTITY_SIZE + CURVES], 0, 1)
    return row.values[name]


def _write_member(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: np.dtype[Any],
                  blocks: Iterator[NDArray[Any]] | Sequence[NDArray[Any]]) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": np.lib.format.dtype_to_descr(dtype),
                                                  "fortran_order": False, "shape": shape})
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        member.write(header.getvalue())
        for block in blocks:
            member.write(np.ascontiguousarray(block).tobytes())


def csv_columns(expression_names: Sequence[str]) -> list[str]:
    """Column names of :class:`CsvSink`.

    frame_index, pts_s (s), face_id, status, confidence, score, age_frames, box (px), pose (rad, px/mm, px), visible
    share of each region, the 52 ARKit curves clipped to 0..1 by name, then the coefficients as regressed: identity_NN,
    expression_NAME (64), albedo_NN, light_N.
    """
    names = _checked_names(expression_names)
    return ["frame_index", "pts_s", "face_id", "status", "confidence", "score", "age_frames", "box_x0", "box_y0",
            "box_x1", "box_y1", *_POSE, *(f"visible_{r}" for r in REGIONS), *names[:CURVES],
            *(f"identity_{i:02d}" for i in range(IDENTITY_SIZE)), *(f"expression_{n}" for n in names),
            *(f"albedo_{i:02d}" for i in range(ALBEDO_SIZE)), *(f"light_{i}" for i in range(ILLUMINATION_SIZE))]


class CsvSink:
    """Writes one .csv: a row per frame and face, and a row with status ``absent`` for a frame without faces.

    Columns: :func:`csv_columns`. Comma-separated, one header line, ``\\n`` line ends, UTF-8; times have microseconds,
    other numbers six significant digits; numbers of absent faces are empty. Rows go to a temporary file that gets its
    final name at the end. Raises :class:`rtface.errors.OutputError` when the disk refuses.
    """

    needs_mesh: Final = False

    def __init__(self, path: str | os.PathLike[str], *, expression_names: Sequence[str]) -> None:
        self._path = Path(path)
        check_output_folder(self._path.parent)
        columns = csv_columns(expression_names)
        self._numbers = len(columns) - 4
        self._pattern = ",".join(["%.6g"] * self._numbers)
        self._temporary = temporary_path(self._path)
        header = io.StringIO()
        csv.writer(header, lineterminator="\n").writerow(columns)
        with output_errors(self._path):
            file = open(self._temporary, "wb", buffering=1 << 18)
            self._file: BinaryIO | None = file
            file.write(header.getvalue().encode())

    def write(self, result: FrameResult) -> None:
        """Append the rows of one frame."""
        if self._file is None:
            raise InputError(f"{self._path}: got a frame after the file was finished")
        start = f"{result.frame.index},{result.frame.pts_s:.6f},"
        lines = []
        tracks = result.tracks
        if len(tracks):
            vector = result.coefficients.to_vector()
            after_light = IDENTITY_SIZE + EXPRESSION_SIZE + ALBEDO_SIZE + ILLUMINATION_SIZE
            table = np.concatenate([
                result.confidence[:, None], tracks.scores[:, None], tracks.ages[:, None].astype(np.float32),
                tracks.boxes_xyxy, vector[:, -6:], result.regions,
                np.clip(vector[:, IDENTITY_SIZE:IDENTITY_SIZE + CURVES], 0, 1), vector[:, :after_light]], axis=1)
            for face_id, status, row in zip(tracks.ids.tolist(), result.status, table.tolist(), strict=True):
                numbers = "," * (self._numbers - 1) if status is FaceStatus.ABSENT else self._pattern % tuple(row)
                lines.append(f"{start}{face_id},{status},{numbers}\n")
        else:
            lines.append(f"{start},{FaceStatus.ABSENT},{',' * (self._numbers - 1)}\n")
        with output_errors(self._path):
            self._file.write("".join(lines).encode())

    def finish(self) -> list[Path]:
        """Close the file and give it its final name."""
        file, self._file = self._file, None
        if file is not None:
            try:
                with output_errors(self._path):
                    file.close()
                    sync_file(self._temporary)
                    os.replace(self._temporary, self._path)
            except BaseException:
                self._remove()
                raise
        return [self._path]

    def abort(self) -> None:
        """Remove the temporary file."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
            self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)
