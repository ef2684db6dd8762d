"""A frame's result as a JSON object, as the streams ``jsonl`` and ``websocket`` send it.

The format is described by ``frame_stream.schema.json`` beside this file; ``version`` grows when something changes that
a reader must know. Numbers are as measured, never mirrored: rtface's axes and units, see ``rtface/types.py``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from rtface.io.tables import CURVES
from rtface.types import REGIONS, FaceStatus, Frame, FrameResult

SCHEMA: Final = "rtface.frame"
VERSION: Final = 1


def frame_message(result: FrameResult, names: Sequence[str]) -> dict[str, Any]:
    """The JSON object of one frame. names: of the model's expressions, the 52 curves first."""
    frame = result.frame
    return {"schema": SCHEMA, "version": VERSION, "index": frame.index, "pts_s": round(frame.pts_s, 6),
            "captured_unix_s": _captured(frame), "width": frame.width, "height": frame.height, "cut": result.cut,
            "dropped_before": result.dropped_before, "faces": _faces(result, names[:CURVES])}


def frame_line(result: FrameResult, names: Sequence[str]) -> str:
    """:func:`frame_message` as one line of text without its end."""
    return json.dumps(frame_message(result, names), separators=(",", ":"), allow_nan=False)


def _captured(frame: Frame) -> float | None:
    if not frame.captured_ns:
        return None
    return round(time.time() - (time.monotonic_ns() - frame.captured_ns) / 1e9, 6)


def _faces(result: FrameResult, names: Sequence[str]) -> list[dict[str, Any]]:
    """One object per face; a face that is absent or not finite has its identifier and status only."""
    count = len(result.tracks)
    if not count:
        return []
    c, tracks, hidden = result.coefficients, result.tracks, result.occlusion
    completed = set(result.completion.before.track_ids.tolist()) if result.completion is not None else set()
    table = np.concatenate([
        result.confidence[:, None], tracks.scores[:, None], tracks.boxes_xyxy, c.rotation, c.scale[:, None],
        c.translation, result.regions, np.clip(c.expression[:, :CURVES], 0, 1)], axis=1).astype(np.float64)
    usable = np.asarray(np.isfinite(table).all(axis=1))
    faces: list[dict[str, Any]] = []
    for n, (face, status, row) in enumerate(zip(tracks.ids.tolist(), result.status, np.round(table, 5).tolist(),
                                                strict=True)):
        if status is FaceStatus.ABSENT or not usable[n]:
            faces.append({"id": face, "status": str(FaceStatus.ABSENT)})
            continue
        measured = hidden is not None and status is FaceStatus.TRACKED
        faces.append({
            "id": face, "status": str(status), "confidence": row[0], "score": row[1], "box_px": row[2:6],
            "rotation_rad": {"pitch": row[6], "yaw": row[7], "roll": row[8]}, "scale_px_per_mm": row[9],
            "translation_px": row[10:12], "visibility": dict(zip(REGIONS, row[12:18], strict=True)),
            "occlusion": {"visible_fraction": round(float(hidden.visible_fraction[n]), 5),
                          "completed": face in completed} if measured and hidden is not None else None,
            "curves": dict(zip(names, row[18:], strict=True))})
    return faces
