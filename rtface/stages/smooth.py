"""Steady curves: One-Euro filters for what moves, a running mean for what a person cannot change.

One-Euro filter after Casiez, Roussel and Vogel, "1€ Filter: A Simple Speed-based Low-pass Filter for Noisy Input in
Interactive Systems", CHI 2012, algorithm 1: a first-order low-pass whose cutoff grows with the signal's speed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from rtface.config import SmoothConfig
from rtface.geometry import FloatArray, wrapped_angles
from rtface.types import (
    ALBEDO_SIZE,
    EXPRESSION_SIZE,
    IDENTITY_SIZE,
    ILLUMINATION_SIZE,
    Array,
    Coefficients,
)

FACE_WIDTH_MM: Final = 140.0
"""A face's width: the unit in which the speed of translation is measured."""
FORGET_S: Final = 30.0
"""Faces not seen for this long lose their filters."""

_ROTATION: Final = slice(0, 3)
_TRANSLATION: Final = slice(3, 5)
_SCALE: Final = slice(5, 6)
_EXPRESSION: Final = slice(6, 6 + EXPRESSION_SIZE)
_ILLUMINATION: Final = slice(6 + EXPRESSION_SIZE, 6 + EXPRESSION_SIZE + ILLUMINATION_SIZE)
_SIGNALS: Final = 6 + EXPRESSION_SIZE + ILLUMINATION_SIZE
_PERSON: Final = IDENTITY_SIZE + ALBEDO_SIZE


@dataclass(slots=True)
class _State:
    """Filters of one face."""

    time_s: float
    values: Array
    """(79,) float64 filtered: rotation, translation px, ln scale, expression, light."""
    speeds: Array
    """(79,) float64 per second, filtered."""
    weight: float
    """Sum of the confidences so far."""
    person: Array
    """(160,) float64: mean identity and albedo."""


class Smoother:
    """Filters every face by its id; call :meth:`smooth` frame by frame, in order."""

    def __init__(self, config: SmoothConfig | None = None) -> None:
        self._config = config or SmoothConfig()
        self._states: dict[int, _State] = {}
        config = self._config
        self._cutoffs, self._betas = np.empty(_SIGNALS), np.zeros(_SIGNALS)
        for part, cutoff, beta in ((_ROTATION, config.rotation_cutoff_hz, config.rotation_beta),
                                   (_TRANSLATION, config.translation_cutoff_hz, config.translation_beta),
                                   (_SCALE, config.translation_cutoff_hz, config.translation_beta),
                                   (_EXPRESSION, config.expression_cutoff_hz, config.expression_beta),
                                   (_ILLUMINATION, config.illumination_cutoff_hz, 0.0)):
            self._cutoffs[part], self._betas[part] = cutoff, beta

    def reset(self) -> None:
        """Forget all faces."""
        self._states.clear()

    def forget_people(self) -> None:
        """Begin the mean identity and albedo of every face anew with its next frame; filters go on."""
        for state in self._states.values():
            state.weight, state.person = 0.0, np.zeros(_PERSON)

    def smooth(self, ids: Array, coefficients: Coefficients, confidence: FloatArray, pts_s: float) -> Coefficients:
        """Coefficients (N faces) of the frame at ``pts_s`` → filtered ones, new arrays.

        ids (N,) int32; confidence (N,) 0..1 weighs the face's share in its own mean identity and albedo. Numbers
        that are not finite are replaced by the last filtered value (0 at a face's start) and change no state. The
        time between frames is taken from ``pts_s``, so frame rates may vary.
        """
        if not self._config.enabled or not len(ids):
            return coefficients
        signals = np.concatenate([coefficients.rotation, coefficients.translation,
                                  np.log(np.maximum(coefficients.scale, 1e-6))[:, None], coefficients.expression,
                                  coefficients.illumination], axis=1).astype(np.float64)
        people = np.concatenate([coefficients.identity, coefficients.albedo], axis=1).astype(np.float64)
        for row, identifier in enumerate(ids.tolist()):
            state = self._update(identifier, signals[row], people[row], float(confidence[row]), pts_s)
            signals[row], people[row] = state.values, state.person
        if len(self._states) > len(ids):
            self._states = {i: s for i, s in self._states.items() if pts_s - s.time_s <= FORGET_S}
        values, person = signals.astype(np.float32), people.astype(np.float32)
        values[:, _ROTATION] = wrapped_angles(values[:, _ROTATION])
        return Coefficients(person[:, :IDENTITY_SIZE], values[:, _EXPRESSION], person[:, IDENTITY_SIZE:],
                            values[:, _ILLUMINATION], values[:, _ROTATION], np.exp(values[:, _SCALE])[:, 0],
                            values[:, _TRANSLATION], coefficients.basis)

    def snapshot(self) -> dict[str, Array]:
        """All state as small arrays, for :meth:`restore`."""
        states = self._states
        return {"ids": np.array(list(states), np.int64),
                "time_s": np.array([s.time_s for s in states.values()]),
                "weight": np.array([s.weight for s in states.values()]),
                "values": np.array([s.values for s in states.values()]).reshape(-1, _SIGNALS),
                "speeds": np.array([s.speeds for s in states.values()]).reshape(-1, _SIGNALS),
                "person": np.array([s.person for s in states.values()]).reshape(-1, _PERSON)}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on after the frame at which :meth:`snapshot` was taken."""
        self._states = {int(state["ids"][k]): _State(float(state["time_s"][k]), np.array(state["values"][k], float),
                                                     np.array(state["speeds"][k], float), float(state["weight"][k]),
                                                     np.array(state["person"][k], float))
                        for k in range(len(state["ids"]))}

    def _update(self, identifier: int, signal: Array, person: Array, confidence: float, pts_s: float) -> _State:
        state = self._states.get(identifier)
        if state is None:
            state = _State(pts_s, np.where(np.isfinite(signal), signal, 0.0), np.zeros(_SIGNALS), 0.0,
                           np.zeros(_PERSON))
        elif 0 <= pts_s - state.time_s <= self._config.restart_s:
            values, speeds = self._filtered(state, signal, pts_s - state.time_s)
            state = _State(pts_s, values, speeds, state.weight, state.person)
        else:
            state = _State(pts_s, np.where(np.isfinite(signal), signal, state.values), np.zeros(_SIGNALS),
                           state.weight, state.person)
        if np.isfinite(person).all() and math.isfinite(confidence):
            share = max(confidence, 1e-3)
            state.weight += share
            state.person = state.person + (person - state.person) * (share / state.weight)
        self._states[identifier] = state
        return state

    def _filtered(self, state: _State, signal: Array, elapsed_s: float) -> tuple[Array, Array]:
        """One step of algorithm 1 for all signals of a face; returns values and speeds."""
        if elapsed_s <= 0:
            return state.values, state.speeds
        change = signal - state.values
        change[_ROTATION] = wrapped_angles(change[_ROTATION])
        known = np.isfinite(change)
        if not known.all():
            change[~known] = 0.0
        speeds = state.speeds + _alpha(self._config.speed_cutoff_hz, elapsed_s) * (change / elapsed_s - state.speeds)
        pace = np.abs(speeds)
        pace[_ROTATION] = math.sqrt(float(speeds[_ROTATION] @ speeds[_ROTATION]))
        pace[_TRANSLATION] = (math.sqrt(float(speeds[_TRANSLATION] @ speeds[_TRANSLATION]))
                              / (FACE_WIDTH_MM * math.exp(state.values[_SCALE][0])))
        return state.values + _alpha(self._cutoffs + self._betas * pace, elapsed_s) * change, speeds


def _alpha(cutoff_hz: Array | float, elapsed_s: float) -> Array:
    """Share of the new value in a first-order low-pass."""
    return 1.0 / (1.0 + 1.0 / (2 * math.pi * elapsed_s * np.asarray(cutoff_hz)))
