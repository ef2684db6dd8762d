"""What is measured: pure functions from arrays to numbers, the same for every protocol and every system.

Errors are shares, not per cent. A face that a system did not find has predictions of +inf: its error is +inf, it
counts as a failure and adds nothing to the area under the curve; means are taken over found faces only and are
always given together with how many were not found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.geometry import box_iou
from rtface.types import LANDMARKS

Floats = NDArray[np.floating[Any]]
Doubles = NDArray[np.float64]

OUTER_EYE_CORNERS: Final = (36, 45)
ALL_POINTS: Final = slice(0, LANDMARKS)
INNER_POINTS: Final = slice(17, LANDMARKS)
"""Without the jaw line, whose points slide on photographs."""
SAME_FACE_IOU: Final = 0.5


def interocular_distances(truth: Floats) -> Doubles:
    """(N, 68, 2) → (N,) px between the outer eye corners (36 and 45), the norm of 300-W (Sagonas et al. 2013)."""
    right, left = OUTER_EYE_CORNERS
    distances: Doubles = np.linalg.norm(truth[:, right] - truth[:, left], axis=1).astype(np.float64)
    return distances


def box_sizes(truth: Floats) -> Doubles:
    """(N, 68, 2) → (N,) px: √(width · height) of the box around the labelled points (Bulat & Tzimiropoulos 2017)."""
    extent = truth.max(axis=1) - truth.min(axis=1)
    sizes: Doubles = np.sqrt(extent.prod(axis=1)).astype(np.float64)
    return sizes


def nme_interocular(predicted: Floats, truth: Floats, points: slice = ALL_POINTS) -> Doubles:
    """Mean distance of the points over the distance of the outer eye corners: (N, 68, 2) twice → (N,).

    points: which of the 68 count; the norm always comes from the eye corners. See :data:`INNER_POINTS`.
    """
    return _normalised(predicted, truth, points, interocular_distances)


def nme_box(predicted: Floats, truth: Floats, points: slice = ALL_POINTS) -> Doubles:
    """Mean distance of the points over the size of the box around the label: (N, 68, 2) twice → (N,).

    For turned faces, whose eye corners come close to each other in the picture.
    """
    return _normalised(predicted, truth, points, box_sizes)


def _normalised(predicted: Floats, truth: Floats, points: slice, norm_of: Callable[[Floats], Doubles]) -> Doubles:
    return point_errors(predicted, truth, norm_of)[:, points].mean(axis=1)


def point_errors(predicted: Floats, truth: Floats,
                 norm_of: Callable[[Floats], Doubles] = interocular_distances) -> Doubles:
    """Distance of every point over the face's norm: (N, 68, 2) twice → (N, 68), +inf where predictions are.

    InputError on NaN and on labels without extent.
    """
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if predicted.shape != truth.shape or truth.ndim != 3 or truth.shape[1:] != (LANDMARKS, 2):
        raise InputError(f"landmarks: got predictions {predicted.shape} and labels {truth.shape}, "
                         f"expected both (N, {LANDMARKS}, 2)")
    if not np.isfinite(truth).all() or np.isnan(predicted).any():
        raise InputError("landmarks: got NaN, or labels that are not finite, expected numbers (predictions of +inf "
                         "for faces that were not found)")
    norm = norm_of(truth)
    if not (norm > 0).all():
        raise InputError(f"landmarks: got labels without extent in rows {np.flatnonzero(norm <= 0).tolist()}, "
                         f"expected eye corners and boxes of more than 0 px")
    errors: Doubles = np.linalg.norm(predicted - truth, axis=2) / norm[:, None]
    return errors


def sums_of_chosen(errors: Doubles, chosen: NDArray[np.bool_]) -> Doubles:
    """Sum and count of the chosen errors of each found face: (N, P) twice → (M, 2); faces of +inf are left out.

    For means over points, in which a face weighs as much as it has chosen points; see :func:`mean_of_sums`.
    """
    found = np.isfinite(errors).all(axis=1)
    return np.stack([np.where(chosen, errors, 0)[found].sum(axis=1), chosen[found].sum(axis=1)], axis=1)


def mean_of_sums(rows: Doubles) -> float:
    """Mean over all points behind (M, 2) sums and counts; NaN without points."""
    total, count = rows.sum(axis=0)
    return float(total / count) if count else float("nan")


def failure_rate(nme: Floats, threshold: float) -> float:
    """Share of faces whose error is above ``threshold``, those not found included; NaN without faces."""
    return float(np.mean(np.asarray(nme) > threshold)) if len(nme) else float("nan")


def area_under_curve(nme: Floats, threshold: float) -> float:
    """Area under the curve "share of faces with error ≤ x" for x in 0..threshold, over the threshold: 0..1.

    Exact for the empirical curve, which is a staircase: the mean of max(0, 1 − error / threshold). NaN without faces.
    """
    if threshold <= 0:
        raise InputError(f"threshold: got {threshold}, expected more than 0")
    return float(np.clip(1 - np.asarray(nme, np.float64) / threshold, 0, 1).mean()) if len(nme) else float("nan")


def mean_of_found(nme: Floats) -> float:
    """Mean over the finite errors; NaN without any."""
    found = np.asarray(nme)[np.isfinite(nme)]
    return float(found.mean()) if len(found) else float("nan")


class BoxMatches(NamedTuple):
    """Which reference face each detection is, best score first served."""

    reference: NDArray[np.intp]
    """(D,) row of the reference box, −1 for none."""
    iou: Doubles
    """(D,) overlap with it, 0 for none."""


def match_boxes(boxes_xyxy: Floats, scores: Floats, references_xyxy: Floats,
                min_iou: float = SAME_FACE_IOU) -> BoxMatches:
    """Greedy matching as in PASCAL VOC and COCO: by falling score, each detection takes the free reference box that
    it overlaps most, if by at least ``min_iou``. Boxes (D, 4) and (R, 4) px, scores (D,)."""
    reference, iou = np.full(len(boxes_xyxy), -1, np.intp), np.zeros(len(boxes_xyxy))
    if not len(boxes_xyxy) or not len(references_xyxy):
        return BoxMatches(reference, iou)
    overlaps = box_iou(np.asarray(boxes_xyxy, np.float32), np.asarray(references_xyxy, np.float32))
    for row in np.argsort(-np.asarray(scores), kind="stable"):
        best = int(overlaps[row].argmax())
        if overlaps[row, best] >= min_iou:
            reference[row], iou[row] = best, overlaps[row, best]
            overlaps[:, best] = -1
    return BoxMatches(reference, iou)


class DetectionCounts(NamedTuple):
    """How many faces there are, were said to be, and are both."""

    hits: int
    detections: int
    references: int

    @property
    def recall(self) -> float:
        """Share of reference faces that were found; NaN without any."""
        return _ratio(self.hits, self.references)

    @property
    def precision(self) -> float:
        """Share of detections that are reference faces; NaN without any."""
        return _ratio(self.hits, self.detections)

    @property
    def f1(self) -> float:
        """Harmonic mean of recall and precision; NaN where there is neither a face nor a detection."""
        return _ratio(2 * self.hits, self.detections + self.references)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def bootstrap_interval(rows: NDArray[Any], statistic: Callable[[NDArray[Any]], float], *, resamples: int = 1000,
                       seed: int = 0, level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval (Efron 1979) of ``statistic`` over the first axis of ``rows`` (one per picture).

    Pictures are drawn with replacement; draws for which the statistic is NaN are left out. (NaN, NaN) without rows.
    """
    draws = _draws(len(rows), resamples, seed, level)
    return _quantiles(np.array([statistic(rows[drawn]) for drawn in draws]), level)


def mean_interval(values: NDArray[Any], *, resamples: int = 1000, seed: int = 0,
                  level: float = 0.95) -> tuple[float, float]:
    """:func:`bootstrap_interval` of the mean of ``values`` (N,), NaN left out; same draws, much faster."""
    drawn = np.asarray(values, np.float64)[_draws(len(values), resamples, seed, level)]
    known = ~np.isnan(drawn)
    count = known.sum(axis=1)
    total = np.where(known, drawn, 0.0).sum(axis=1)
    return _quantiles(np.divide(total, count, out=np.full(len(drawn), np.nan), where=count > 0), level)


def _draws(count: int, resamples: int, seed: int, level: float) -> NDArray[np.int64]:
    """Rows of every resample, (resamples, count); none without rows."""
    if not 0 < level < 1 or resamples < 1:
        raise InputError(f"bootstrap: got level {level} and {resamples} resamples, expected 0 < level < 1 and at "
                         f"least 1")
    return np.random.default_rng(seed).integers(0, max(count, 1), (resamples if count else 0, count))


def _quantiles(values: Doubles, level: float) -> tuple[float, float]:
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def jitter(points: Floats) -> Doubles:
    """Noise of a track's points from their second differences: (T, P, 2) consecutive frames → (T − 2,).

    Per inner frame: the standard deviation of one coordinate, in the unit of the points, under the assumption that
    the true motion is straight within three frames; the second difference of white noise has 6 times its variance.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 3 or points.shape[2] != 2:
        raise InputError(f"jitter: got points {points.shape}, expected (T, P, 2)")
    if len(points) < 3:
        return np.zeros(0)
    second = points[2:] - 2 * points[1:-1] + points[:-2]
    noise: Doubles = np.sqrt((second ** 2).mean(axis=(1, 2)) / 6)
    return noise
