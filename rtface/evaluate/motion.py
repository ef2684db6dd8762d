"""Metrics of results over time: pure functions from curves to numbers, the same for real and for drawn clips.

A curve is (T, D): T consecutive frames, evenly spaced in time, of D numbers in one unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.evaluate.metrics import Doubles, Floats
from rtface.geometry import FloatArray, apply_affine, invert_affine

WINDOW_S: Final = 0.4
"""What cannot be followed by a parabola over this time is jitter."""
STILL_SPEED: Final = 0.15
"""A face is still where its points move less than this many distances of the outer eye corners in a second."""
DRIFT_SHARE: Final = 0.2
"""Identity drift compares this share of a track at its start with as much at its end."""
LEAST_CORRELATION: Final = 0.7
"""Curves that agree less than this have no lag: they do not show the same movement."""
LEAST_FALL: Final = 0.5
"""The correlation has to fall by this much on both sides of its peak: slow curves do not tell a lag."""
HANDOVER_SIZE: Final = 1.5
JUMP: Final = 0.5
"""A face that moves this many times its own size from one frame to the next is another face."""


class LocalFit(NamedTuple):
    """Parabolas through the frames around each frame; (T − 2·half, D) each, without the first and last frames."""

    level: Doubles
    slope: Doubles
    """Per frame."""
    noise: Doubles
    """What the parabola leaves over, scaled so that white noise keeps its standard deviation."""


def half_window(fps: float) -> int:
    """Frames on each side of the middle one that make up :data:`WINDOW_S`; at least 2."""
    return max(2, round(WINDOW_S * fps / 2))


def local_fit(curve: Floats, half: int) -> LocalFit:
    """Least-squares parabola in a window of 2·half + 1 frames (Savitzky & Golay 1964), for every frame with a window.

    The residual of the middle frame has 1 − w times the variance of white noise, w its own weight in the fit.
    InputError when half is less than 2 (a parabola goes through any three points).
    """
    curve = np.asarray(curve, np.float64)
    if curve.ndim != 2 or half < 2:
        raise InputError(f"curve: got shape {curve.shape} and {half} frames on each side, expected (T, D) and at "
                         f"least 2")
    if len(curve) <= 2 * half:
        none = np.zeros((0, curve.shape[1]))
        return LocalFit(none, none, none)
    offsets = np.arange(-half, half + 1)
    weights = np.linalg.pinv(np.stack([np.ones_like(offsets), offsets, offsets ** 2], axis=1))
    windows = sliding_window_view(curve, 2 * half + 1, axis=0)
    level = windows @ weights[0]
    return LocalFit(level, windows @ weights[1], (curve[half:-half] - level) / np.sqrt(1 - weights[0, half]))


def jitter(curve: Floats, half: int) -> Doubles:
    """(T, D) → (T − 2·half,) standard deviation of the high-frequency part of each frame's numbers, in their unit."""
    noise: Doubles = np.sqrt((local_fit(curve, half).noise ** 2).mean(axis=1))
    return noise


def still_frames(points: Floats, norms: Floats, fps: float, half: int) -> NDArray[np.bool_]:
    """Where a face is still: points (T, P, 2) px and eye distances (T,) px → (T − 2·half,), by :data:`STILL_SPEED`.

    The speed is the mean over the points of the low-passed motion, so that noise is not taken for motion.
    """
    slope = local_fit(points.reshape(len(points), -1), half).slope.reshape(-1, points.shape[1], 2)
    speed = np.linalg.norm(slope, axis=2).mean(axis=1) * fps
    still: NDArray[np.bool_] = speed < STILL_SPEED * np.asarray(norms)[half:half + len(speed)]
    return still


class Lag(NamedTuple):
    """How much later a curve comes than another one."""

    frames: float
    """Positive: the prediction is late. NaN where the curves do not agree."""
    correlation: float
    """At that lag, −1..1."""


def lag(predicted: Floats, truth: Floats, reach: int) -> Lag:
    """Lag of a prediction by the peak of the normalised cross-correlation, (T, D) both, over ±reach frames.

    A parabola through the peak and its neighbours gives the part of a frame. The D columns share one lag and are
    weighted by how much they move. No lag (NaN) where the correlation stays below :data:`LEAST_CORRELATION` or is flat
    (:data:`LEAST_FALL`), and where a curve does not move or has less than reach + 3 frames.
    """
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if predicted.shape != truth.shape or truth.ndim != 2 or reach < 1:
        raise InputError(f"lag: got curves {predicted.shape} and {truth.shape} and a reach of {reach} frames, expected "
                         f"(T, D) twice and at least 1")
    count = len(truth)
    if count < reach + 3:
        return Lag(float("nan"), float("nan"))
    values = np.array([_correlation(predicted[max(0, k):count + min(0, k)], truth[max(0, -k):count - max(0, k)])
                       for k in range(-reach, reach + 1)])
    if np.isnan(values).all():
        return Lag(float("nan"), float("nan"))
    best = int(np.nanargmax(values))
    peak = float(values[best])
    if np.isnan(values).any() or peak < LEAST_CORRELATION or peak - max(values[0], values[-1]) < LEAST_FALL:
        return Lag(float("nan"), peak)
    before, after = values[best - 1], values[best + 1]
    bend = before - 2 * peak + after
    return Lag(best - reach + (float(0.5 * (before - after) / bend) if bend < 0 else 0.0), peak)


def _correlation(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    power = float((a * a).sum() * (b * b).sum())
    return float((a * b).sum()) / np.sqrt(power) if power > 1e-18 else float("nan")


def identity_drift(shapes: Floats) -> float:
    """How much a person's own shape changes over a track: (T, V, 3) mm → mean distance of its vertices in mm between
    the mean shapes of the first and of the last fifth; NaN with less than two frames."""
    if len(shapes) < 2:
        return float("nan")
    part = max(1, round(DRIFT_SHARE * len(shapes)))
    apart = np.asarray(shapes[-part:], np.float64).mean(axis=0) - np.asarray(shapes[:part], np.float64).mean(axis=0)
    return float(np.linalg.norm(apart, axis=1).mean())


def mask_flicker(classes: NDArray[Any], crop_from_frame: FloatArray) -> Doubles:
    """Share of pixels whose class changes from frame to frame: (T, S, S) class numbers → (T − 1,).

    crop_from_frame (T, 2, 3): every crop is laid over the one before it, so that a crop that moves does not count as
    flicker; pixels that only one of them shows are left out. NaN where the crops share no pixel.
    """
    classes = np.asarray(classes)
    side = classes.shape[-1]
    if classes.ndim != 3 or classes.shape[1] != side or np.shape(crop_from_frame) != (len(classes), 2, 3):
        raise InputError(f"masks: got {classes.shape} with transforms {np.shape(crop_from_frame)}, expected (T, S, S) "
                         f"and (T, 2, 3)")
    y, x = np.mgrid[:side, :side] + 0.5
    centres = np.stack([x, y], axis=-1).reshape(1, -1, 2).astype(np.float32)
    shares = np.full(max(0, len(classes) - 1), np.nan)
    for k in range(len(shares)):
        frame = apply_affine(invert_affine(crop_from_frame[k:k + 1]), centres)
        there = apply_affine(crop_from_frame[k + 1:k + 2], frame)[0]
        column, row = np.floor(there + 1e-3).astype(int).T  # crops are float32: 4.9999999 is the pixel 5
        inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
        if inside.any():
            shares[k] = np.mean(classes[k].ravel()[inside] != classes[k + 1][row[inside], column[inside]])
    return shares


def id_switches(ids: NDArray[Any]) -> int:
    """How often a known face changes its id: (T,) ids, −1 where it is not followed (mismatches of CLEAR MOT,
    Bernardin & Stiefelhagen 2008)."""
    known = np.asarray(ids)[np.asarray(ids) >= 0]
    return int((np.diff(known) != 0).sum())


class Span(NamedTuple):
    """Where and when an id was measured first and last."""

    identifier: int
    first: int
    """Frame."""
    last: int
    first_box: Floats
    """(4,) px."""
    last_box: Floats
    measured: int
    """Frames from first to last in which it was measured."""


def handovers(spans: Sequence[Span], reach: int) -> dict[int, int]:
    """New ids that are likely an old face, without a truth: new id → old id.

    An id that starts within ``reach`` frames after another one stopped, less than a face's size away from there and of
    much the same size (by 1.5). The nearest pair goes first; an id is handed over once.
    """
    pairs = []
    for old in spans:
        for new in spans:
            (at, size), (next_at, next_size) = _place(old.last_box), _place(new.first_box)
            away = float(np.linalg.norm(next_at - at)) / max(size, next_size)
            if 0 < new.first - old.last <= reach and away < 1 and 1 / HANDOVER_SIZE < next_size / size < HANDOVER_SIZE:
                pairs.append((away, old.identifier, new.identifier))
    taken: dict[int, int] = {}
    for _, old_id, new_id in sorted(pairs):
        if new_id not in taken and old_id not in taken.values():
            taken[new_id] = old_id
    return taken


def jumps(boxes_xyxy: Floats, frames: Sequence[int]) -> int:
    """How often one id moves more than :data:`JUMP` of its size between consecutive frames: boxes (T, 4) px."""
    places = [_place(box) for box in boxes_xyxy]
    return sum(bool(np.linalg.norm(after[0] - before[0]) > JUMP * max(before[1], after[1]))
               for before, after, step in zip(places, places[1:], np.diff(frames), strict=False) if step == 1)


def lost_frames(spans: Sequence[Span], handed: dict[int, int]) -> tuple[int, int]:
    """Without a truth: frames in which a face was not measured although it was before and after, and all frames from
    the first to the last measurement of each face. Ids that were handed over are one face."""
    by_id = {span.identifier: span for span in spans}
    gaps = sum(by_id[new].first - by_id[old].last - 1 for new, old in handed.items())
    within = sum(span.last - span.first + 1 for span in spans)
    return within - sum(span.measured for span in spans) + gaps, within + gaps


def _place(box: Floats) -> tuple[Doubles, float]:
    """Centre (2,) and longer side of a box."""
    box = np.asarray(box, np.float64)
    return (box[:2] + box[2:]) / 2, max(float((box[2:] - box[:2]).max()), 1e-3)
