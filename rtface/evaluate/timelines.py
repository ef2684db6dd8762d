"""What people look at in ``temporal``: jitter and mouth over time, smoothed, measured and true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.evaluate import motion, sheets
from rtface.evaluate.metrics import Doubles, interocular_distances
from rtface.evaluate.recording import Recording
from rtface.evaluate.sheets import Pixels
from rtface.evaluate.temporal import SYSTEMS, Played
from rtface.evaluate.traces import Curves

WORST: Final = 12
WIDTH, HEIGHT = 560, 120
COLUMNS: Final = 3
MARGIN: Final = 34
"""px left of a plot, for its numbers."""
TRUTH_COLOR: Final = (60, 230, 90)
COLORS: Final = {SYSTEMS[1]: (90, 140, 255), SYSTEMS[0]: (255, 150, 60)}
"""Drawn in this order: the smoothed curve lies above the measured one."""
LOST_COLOR: Final = (90, 40, 40)
LEGEND: Final = "mouth, mm: smoothed orange, as measured blue, truth green; dark red: not measured"
AXIS_COLOR: Final = (80, 80, 80)


def worst_timelines(played: Sequence[Played], curves: Curves, folder: Path) -> None:
    """One picture of the clips with a truth and one of those without: the 12 whose smoothed points shake most.

    Above the jitter in per cent of the eye distance, below the mouth's opening in mm; the smoothed result in orange,
    the measured one in blue, the truth in green, frames without a measurement in dark red. For a private folder.
    """
    for name, truth in (("with_truth", True), ("without_truth", False)):
        chosen = worst([one for one in played if bool(one.clip.truths) == truth])
        if chosen:
            sheets.write_picture(folder / f"worst_{name}.png",
                                 sheets.grid([_panel(one, curves) for one in chosen], COLUMNS))


def worst(played: Sequence[Played]) -> list[Played]:
    """At most 12 clips, those whose smoothed points shake most first, before them those without a stretch."""
    return sorted(played, key=_shake, reverse=True)[:WORST]


def _shake(one: Played) -> float:
    """Mean jitter of the smoothed points; clips without any come first."""
    figures = one.figures[SYSTEMS[0]]
    counts = np.array([figures["still_frames"], figures["moving_frames"]], float)
    shares = np.array([figures[key] or 0.0 for key in ("still_share", "moving_share")])
    return float(shares @ counts / counts.sum()) if counts.sum() else float("inf")


def _panel(one: Played, curves: Curves) -> Pixels:
    """Two plots of one clip's main face."""
    shakes, mouths = dict[str, Doubles](), dict[str, Doubles]()
    lost = np.ones(max((r.count for r in one.recordings.values()), default=1), bool)
    true = np.full(len(lost), np.nan)
    for system in COLORS:
        recording = one.recordings[system]
        shakes[system], mouths[system], true = traces(recording, curves)
        lost &= np.isnan(mouths[system])
    moving = _main_face(one.recordings[SYSTEMS[0]])
    title = f"{one.clip.name}: jitter {100 * _shake(one):.2f} %" + (f"  face {moving}" if moving > 0 else "")
    upper = plot({name: (100 * shakes[name], color) for name, color in COLORS.items()}, lost)
    lower = plot({"truth": (true, TRUTH_COLOR), **{name: (mouths[name], c) for name, c in COLORS.items()}}, lost)
    return np.concatenate([sheets.labelled(upper, title), sheets.labelled(lower, LEGEND)])


def traces(recording: Recording, curves: Curves) -> tuple[Doubles, Doubles, Doubles]:
    """Of the main face in each of T frames, NaN where there is none: jitter over the eye distance, opening of the
    mouth in mm, and its truth. The main face is the one that was measured in most frames."""
    clip, half = recording.clip, motion.half_window(recording.clip.fps)
    shake, mouth, true = (np.full(recording.count, np.nan) for _ in range(3))
    face = _main_face(recording)
    known = clip.truths[face] if face >= 0 else None
    if known is not None and known.vectors is not None:
        whole = curves.signal("mouth", known.vectors, known.points)[:recording.count, 0]
        true[:len(whole)] = whole
    main = None if face >= 0 else max(recording.spans, key=lambda span: span.measured, default=None)
    for one in recording.stretches:
        if one.face != face or (main is not None and one.identifier != main.identifier):
            continue
        mouth[one.frames] = curves.signal("mouth", one.vectors, one.mesh)[:, 0]
        points = one.mesh if known is None else one.mesh - known.points[one.frames]
        noise = motion.jitter(points.reshape(len(one), -1), half)
        if len(noise):
            shake[one.frames[half:-half]] = noise / np.maximum(interocular_distances(one.network)[half:-half], 1e-3)
    return shake, mouth, true


def _main_face(recording: Recording) -> int:
    """Row of the truth that was measured most often, −1 without a truth."""
    return int((recording.ids >= 0).sum(axis=1).argmax()) if recording.clip.truths else -1


def plot(curves: Mapping[str, tuple[Doubles, tuple[int, int, int]]], lost: NDArray[np.bool_], *, width: int = WIDTH,
         height: int = HEIGHT) -> Pixels:
    """Curves (T,) and their colours over frames, on one scale from 0 (or the least value) to the largest; NaN leaves a
    gap. lost: (T,) frames to mark."""
    out = np.full((height, width, 3), sheets.GROUND, np.uint8)
    count = max(len(lost), 2)
    finite = np.concatenate([values[np.isfinite(values)] for values, _ in curves.values()] or [np.zeros(0)])
    low, high = min(0.0, float(finite.min(initial=0.0))), max(float(finite.max(initial=0.0)), 1e-6)

    def place(frame: Any, value: Any) -> NDArray[np.int32]:
        x = MARGIN + np.asarray(frame) / (count - 1) * (width - MARGIN - 2)
        y = (height - 4) - (np.asarray(value) - low) / (high - low) * (height - 16)
        return np.stack(np.broadcast_arrays(x, y), axis=-1).round().astype(np.int32)

    for frame in np.flatnonzero(lost):
        left, right = place([max(frame - 0.5, 0), min(frame + 0.5, count - 1)], low)[:, 0]
        out[:, left:right + 1] = LOST_COLOR
    for value in (low, high):
        x, y = place(0, value).tolist()
        cv2.line(out, (x, y), (width, y), AXIS_COLOR, 1)
        cv2.putText(out, f"{value:.3g}", (1, y + 4), cv2.FONT_HERSHEY_SIMPLEX, 0.32, sheets.INK, 1, cv2.LINE_AA)
    for values, color in curves.values():
        known = np.flatnonzero(np.isfinite(values))
        for part in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
            if len(part):
                cv2.polylines(out, [place(part, values[part])], False, color, 1, cv2.LINE_AA)
    return out
