"""What was seen a moment before stands in for what is hidden now.

A regressor guesses what it cannot see, and its guess is off by what the occluder makes of it: that error appears with
the occluder, hardly changes while it stays, and goes with it. What a face does is not tied to any occluder. So every
action and angle is taken for the sum of both,

    measured = true + hidden · error + noise,

and both are estimated by a Kalman filter of two states per signal (bias estimation after Friedland, "Treatment of bias
in recursive filtering", IEEE Trans. Automatic Control 14, 1969): a jump that comes while a part is being hidden counts
as the error, one that comes while nothing changes before the face as movement. ``hidden`` is how much of what an action
moves lies under the mask, at least a part of how much of the whole face does, as networks look at all of it. Where
nothing is hidden the measured values pass as they are; errors fade, so that a face that stays hidden comes to what is
guessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rtface.config import MemoryConfig
from rtface.geometry import FloatArray, apply_affine, pose_vertices, wrapped_angles
from rtface.morphable import NOT_FACE_REGIONS, MorphableModel
from rtface.types import EXPRESSION_SIZE, Array, Coefficients, Occlusion

POINTS: Final = 400
"""About so many vertices are looked up in the mask."""
LEAST_S: Final = 1e-3
Doubles = NDArray[np.float64]
_SIGNALS: Final = EXPRESSION_SIZE + 3


@dataclass(slots=True)
class _State:
    """What is known of one face; arrays are (67,) float64: actions, then angles in rad."""

    time_s: float
    value: Doubles
    error: Doubles
    value_variance: Doubles
    covariance: Doubles
    error_variance: Doubles


class FaceMemory:
    """Keeps every face by its id; call :meth:`recall` frame by frame, in order."""

    def __init__(self, model: MorphableModel, config: MemoryConfig | None = None) -> None:
        self._config = config = config or MemoryConfig()
        face = np.flatnonzero(~model.region_mask(*NOT_FACE_REGIONS))
        self._rows = face[::max(1, len(face) // POINTS)]
        moved = np.square(model.expression_basis[self._rows]).sum(axis=1, dtype=np.float64)
        total = moved.sum(axis=0)
        self._moved = moved / np.where(total > 0, total, 1)
        """(P, 64): each vertex' share in what an action moves; an action that moves nothing here is always seen."""
        self._parts = [(model.mean[rows], np.ascontiguousarray(np.concatenate(
            [model.identity_basis[rows], model.expression_basis[rows]], axis=2).reshape(3 * len(rows), -1).T))
            for rows in (self._rows, model.landmarks68)]
        self._error_variance = _signals(config.action_error, config.rotation_error_rad) ** 2
        self._pace = _signals(config.action_pace, config.rotation_pace_rad) ** 2
        self._noise = _signals(config.action_noise, config.rotation_noise_rad) ** 2
        self._states: dict[int, _State] = {}

    def reset(self) -> None:
        """Forget all faces."""
        self._states.clear()

    def recall(self, ids: Array, coefficients: Coefficients, occlusion: Occlusion | None, visibility: FloatArray,
               pts_s: float) -> Coefficients:
        """Coefficients (N faces, frame px) of the frame at ``pts_s`` → those without what occluders do to them.

        ids (N,) int32; visibility (N, 68) 0..1 of the landmarks: the turned face stays where the seen ones were. Nobody
        remembers a face of which nobody says what hides it (``occlusion`` None), nor one with numbers that are not
        finite; new arrays.
        """
        if not self._config.enabled or occlusion is None:
            self._states.clear()
            return coefficients
        if not len(ids):
            return coefficients
        covered, hidden = self.hidden(coefficients, occlusion)
        signals = np.concatenate([coefficients.expression, coefficients.rotation], axis=1).astype(np.float64)
        for row, identifier in enumerate(ids.tolist()):
            if np.isfinite(signals[row]).all():
                signals[row] = self._update(identifier, signals[row], covered[row], hidden[row], pts_s)
        self._states = {i: s for i, s in self._states.items() if pts_s - s.time_s <= self._config.forget_s}
        told = replace(coefficients, expression=signals[:, :EXPRESSION_SIZE].astype(np.float32),
                       rotation=wrapped_angles(signals[:, EXPRESSION_SIZE:]).astype(np.float32))
        return replace(told, translation=self._kept_place(coefficients, told, visibility))

    def hidden(self, coefficients: Coefficients, occlusion: Occlusion) -> tuple[Doubles, Doubles]:
        """How much of actions and angles of faces (N) is covered, and how much of an occluder's error they bear.

        Both (N, 67) 0..1. Of an action that is seen to a share s, 1 - sᵏ is covered, k = ``distrust``: a mouth of which
        a tenth is hidden is half unknown. The error's part is that, at least ``whole`` of the face's hidden share.
        """
        points = self._placed(0, coefficients)[..., :2]
        size = occlusion.mask.shape[-1]
        places = np.nan_to_num(apply_affine(occlusion.crop_from_frame, points), nan=-1.0)
        at = np.floor(np.clip(places, -1, size)).astype(np.int64)
        inside = ((at >= 0) & (at < size)).all(axis=2)
        column, row = np.clip(at, 0, size - 1).transpose(2, 0, 1)
        covered = np.where(inside, occlusion.mask[np.arange(len(points))[:, None], 0, row, column], 0.0) > 0.5
        away = np.clip(1 - occlusion.visible_fraction.astype(np.float64), 0, 1)[:, None]
        seen = np.clip(1 - covered @ self._moved, 0, 1) ** self._config.distrust
        gone = np.concatenate([1 - seen, np.repeat(away, 3, axis=1)], axis=1)
        return gone, np.maximum(gone, self._config.whole * away)

    def snapshot(self) -> dict[str, Array]:
        """All state as small arrays, for :meth:`restore`."""
        states = self._states.values()
        return {"ids": np.array(list(self._states), np.int64), "time_s": np.array([s.time_s for s in states]),
                **{name: np.array([getattr(s, name) for s in states]).reshape(-1, _SIGNALS) for name in _ARRAYS}}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on after the frame at which :meth:`snapshot` was taken."""
        self._states = {int(state["ids"][k]): _State(float(state["time_s"][k]), *(
            np.array(state[name][k], np.float64) for name in _ARRAYS)) for k in range(len(state["ids"]))}

    def _update(self, identifier: int, measured: Doubles, covered: Doubles, hidden: Doubles, pts_s: float) -> Doubles:
        """One step of the filter for all signals of a face; the values without the errors."""
        state = self._states.get(identifier)
        if state is None or not 0 <= pts_s - state.time_s <= self._config.forget_s:
            self._states[identifier] = _State(pts_s, measured.copy(), *np.zeros((4, _SIGNALS)))
            return measured  # a face that is hidden from the start is what is guessed
        elapsed, most = max(pts_s - state.time_s, LEAST_S), self._error_variance
        # whatever hides a part that was seen before is a new occluder
        clear = np.exp(-elapsed * np.maximum(1 - hidden / self._config.clear_below, 0) / self._config.clear_s)
        fade = clear * math.exp(-elapsed / self._config.fade_s)
        error, covariance = state.error * fade, state.covariance * fade
        error_variance = state.error_variance * fade**2 + most * (1 - clear**2)
        value_variance = state.value_variance + self._pace * elapsed
        of_value, of_error = value_variance + hidden * covariance, covariance + hidden * error_variance
        whole = of_value + hidden * of_error + self._noise * covered**2 + 1e-12
        surprise = measured - state.value - hidden * error
        surprise[EXPRESSION_SIZE:] = wrapped_angles(surprise[EXPRESSION_SIZE:])
        gain, error_gain = of_value / whole, of_error / whole
        value = state.value + gain * surprise
        self._states[identifier] = _State(pts_s, value, error + error_gain * surprise, value_variance - gain * of_value,
                                          covariance - gain * of_error, error_variance - error_gain * of_error)
        return np.asarray(value)

    def _placed(self, part: int, coefficients: Coefficients) -> FloatArray:
        """Vertices (N, P, 3) in frame px: those that are looked up (part 0), or the 68 landmarks (1)."""
        mean, basis = self._parts[part]
        moved = np.concatenate([coefficients.identity, coefficients.expression], axis=1) @ basis
        return pose_vertices(mean + moved.reshape(-1, *mean.shape), coefficients.rotation, coefficients.scale,
                             coefficients.translation)

    def _kept_place(self, before: Coefficients, after: Coefficients, visibility: FloatArray) -> FloatArray:
        """Translations (N, 2) px with which the seen landmarks of new coefficients lie, on average, where they lay."""
        weight = visibility / np.maximum(visibility.sum(axis=1, keepdims=True), 1e-6)
        moved = self._placed(1, after)[..., :2] - self._placed(1, before)[..., :2]
        kept: FloatArray = (before.translation - (moved * weight[..., None]).sum(axis=1)).astype(np.float32)
        return kept


_ARRAYS: Final = ("value", "error", "value_variance", "covariance", "error_variance")


def _signals(action: float, angle: float) -> Doubles:
    return np.concatenate([np.full(EXPRESSION_SIZE, action), np.full(3, angle)])
