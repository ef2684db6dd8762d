"""Coefficients → coefficients whose mesh lies on the landmarks that are seen.

The regressor says what a whole face is like, the landmark network where its points are; lips and lids are a few pixels
that the second one sees better. Both measure pose and expression, so they are joined: maximum a posteriori, with what
was regressed as the prior and the visible landmarks as observations. It is the fitting of morphable models to features
(Blanz & Vetter, SIGGRAPH 1999), Gauss–Newton from the prior; each step is solved in the space of the landmarks, as in a
Kalman filter: K = Λ Jᵀ (J Λ Jᵀ + Σ)⁻¹. Gaze is the weighted mean of what was regressed and of what follows from where
the irises lie beside the eyes' corners. Who somebody is stays as regressed: one picture's landmarks say little of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rtface.config import FitConfig
from rtface.geometry import FloatArray, angles_from_matrices, rotation_about, rotation_matrices
from rtface.irises import Irises
from rtface.morphable import MorphableModel
from rtface.types import EXPRESSION_SIZE, LANDMARKS, Coefficients

GROUPS: Final = {"brow_mm": range(17, 27), "nose_mm": range(27, 36), "eye_mm": range(36, 48), "mouth_mm": range(48, 68)}
"""Landmarks by the setting that tells how exact they are. The jaw's slide along the outline and are left out."""
Doubles = NDArray[np.float64]
IntArray = NDArray[np.int64]
_POSE: Final = 6
ROUNDS: Final = 4
"""At most so many times actions are added to those that are held at a bound."""


def _freedom(config: FitConfig, action: str) -> float:
    """Standard deviation of what the regressor says of an action."""
    if action.startswith(("eyeBlink", "eyeWide", "eyeSquint")):
        return config.eyelids
    if action.startswith("brow"):
        return config.brows
    return config.jaw if action == "jawOpen" else config.expression


class LandmarkFitter:
    """Joins regressed coefficients with landmarks; keeps the few vertices that it needs."""

    def __init__(self, model: MorphableModel, config: FitConfig | None = None) -> None:
        self._config = config = config or FitConfig()
        self._points = np.concatenate([np.array(rows) for rows in GROUPS.values()])
        self._noise = np.concatenate([np.full(len(rows), getattr(config, name) ** 2) for name, rows in GROUPS.items()])
        rows = model.landmarks68[self._points]
        self._mean = model.mean[rows].astype(np.float64)
        self._identity = model.identity_basis[rows].astype(np.float64)
        self._expression = model.expression_basis[rows].astype(np.float64)
        """(P, 3, 64)."""
        self._model, self._irises = model, Irises(model)
        self._least = model.expression_min.astype(np.float64)
        self._prior = np.concatenate([[config.rotation_rad] * 3, [config.scale], [config.translation_mm] * 2,
                                      [_freedom(config, name) for name in model.expression_names]]) ** 2

    def fit(self, coefficients: Coefficients, landmarks: FloatArray, visibility: FloatArray,
            irises: FloatArray | None = None) -> Coefficients:
        """coefficients and landmarks (N, 68, 2) in frame px, visibility (N, 68) 0..1 → new coefficients, frame px.

        irises (N, 2, 3): x and y in frame px and visibility; where one is seen both eyes turn towards what it says.

        A landmark counts as far as it is visible. Identity, albedo and light stay, and pose where fewer than
        ``least_points`` are seen. Actions are kept within what they mean
        (:meth:`rtface.morphable.MorphableModel.clip_expression`): one that ends at its bound leaves the rest to others.
        """
        assert landmarks.shape == (len(coefficients), LANDMARKS, 2) and visibility.shape == landmarks.shape[:2]
        if not len(coefficients):
            return coefficients
        coefficients = replace(coefficients, expression=self._model.clip_expression(coefficients.expression,
                                                                                    coefficients.identity))
        if not self._config.enabled:
            return coefficients
        limits = self._model.expression_limits(coefficients.identity).astype(np.float64)
        fields = {name: getattr(coefficients, name).copy()
                  for name in ("expression", "rotation", "scale", "translation")}
        for k in range(len(coefficients)):
            weight = visibility[k, self._points].astype(np.float64)
            used = np.flatnonzero(weight > self._config.least_visibility)
            if len(used) < self._config.least_points:
                continue
            neutral = self._mean[used] + self._identity[used] @ coefficients.identity[k].astype(np.float64)
            fitted = self._face({name: values[k].astype(np.float64) for name, values in fields.items()}, neutral, used,
                                landmarks[k, self._points[used]].astype(np.float64), self._noise[used] / weight[used],
                                limits[k])
            for name, value in fitted.items():
                fields[name][k] = value
        coefficients = replace(coefficients, **fields)
        return coefficients if irises is None else self._look(coefficients, landmarks, irises)

    def _look(self, coefficients: Coefficients, landmarks: FloatArray, irises: FloatArray) -> Coefficients:
        """Gaze towards what irises say.

        Both eyes share one direction: they differ by less than either is read wrongly.
        """
        weight = np.where(irises[..., 2] > self._config.least_visibility, irises[..., 2], 0.0)[..., None]
        seen = weight.sum(axis=1) > 0
        directions = self._irises.gaze(coefficients, landmarks, irises[..., :2])
        mean = (directions * weight).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-6)
        looking = self._irises.with_gaze(coefficients.expression, mean.astype(np.float32))
        share = np.where(seen, self._config.irises, 0.0)
        expression = (coefficients.expression * (1 - share) + looking * share).astype(np.float32)
        return replace(coefficients, expression=self._model.clip_expression(expression, coefficients.identity))

    def _face(self, prior: dict[str, Doubles], neutral: Doubles, used: IntArray, landmarks: Doubles,
              noise: Doubles, most: Doubles) -> dict[str, Doubles]:
        """One face in float64: neutral points (P, 3) mm, landmarks (P, 2) px, their variances (P,) mm², most (64,)."""
        basis, noise = self._expression[used], np.repeat(noise, 2)
        turn = rotation_matrices(prior["rotation"][None].astype(np.float32))[0].astype(np.float64)
        scale, shift, expression = float(prior["scale"]), prior["translation"], prior["expression"]
        offset = np.zeros(_POSE + EXPRESSION_SIZE)  # from the prior to where the problem is linearised
        for _ in range(self._config.iterations):
            at = (neutral + basis @ expression) @ turn.T
            jacobian = np.zeros((len(used), 2, _POSE + EXPRESSION_SIZE))
            jacobian[:, 0, 1], jacobian[:, 0, 2] = at[:, 2], -at[:, 1]  # mm per rad about x, y, z of the camera
            jacobian[:, 1, 0], jacobian[:, 1, 2] = -at[:, 2], at[:, 0]
            jacobian[:, :, 3] = at[:, :2]  # per log scale
            jacobian[:, 0, 4] = jacobian[:, 1, 5] = 1.0
            jacobian[:, :, _POSE:] = turn[:2] @ basis
            flat = jacobian.reshape(2 * len(used), -1)
            residual = ((landmarks - shift) / scale - at[:, :2]).reshape(-1) + flat @ offset
            start = expression - offset[_POSE:]  # the prior's
            step = self._solve(flat, residual, noise, self._least - start, most - start)
            change, offset = step - offset, step
            turn = rotation_about(change[:3]) @ turn
            scale *= float(np.exp(np.clip(change[3], -0.3, 0.3)))
            shift = shift + change[4:6] * scale
            expression = start + offset[_POSE:]
        angles = angles_from_matrices(turn[None].astype(np.float32))[0].astype(np.float64)
        return {"expression": expression, "rotation": angles, "scale": np.asarray(scale), "translation": shift}

    def _solve(self, flat: Doubles, residual: Doubles, noise: Doubles, low: Doubles, high: Doubles) -> Doubles:
        """The likeliest step (70,) whose actions stay between low and high (64,): what passes a bound is held there."""
        weighted = flat.T / noise
        precision, wanted = weighted @ flat + np.diag(1 / self._prior), weighted @ residual
        free, step = np.ones(len(self._prior), np.bool_), np.zeros(len(self._prior))
        for _ in range(ROUNDS):
            rest = wanted[free] - precision[np.ix_(free, ~free)] @ step[~free]
            step[free] = np.linalg.solve(precision[np.ix_(free, free)], rest)
            actions = step[_POSE:]
            beyond = free[_POSE:] & ((actions < low) | (actions > high))
            step[_POSE:] = np.clip(actions, low, high)
            if not beyond.any():
                break
            free[_POSE:] &= ~beyond
        return step
