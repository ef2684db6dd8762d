"""A face at rest: its mean expression over a moment is taken off afterwards."""

from __future__ import annotations

import numpy as np

from rtface.errors import InputError
from rtface.geometry import FloatArray
from rtface.types import Array


class NeutralFace:
    """Keeps one resting expression per face id; a face that gets a new id needs a new calibration."""

    def __init__(self) -> None:
        self._wanted_s: float | None = None
        self._until_s = 0.0
        self._sums: dict[int, tuple[Array, int]] = {}
        self._rest: dict[int, Array] = {}
        self.calibrating = False
        """Whether expressions are being collected now; may be read from any thread."""

    def start(self, seconds: float = 1.0) -> None:
        """Collect the expressions of the ``seconds`` after the next frame. InputError unless above 0."""
        if not seconds > 0:
            raise InputError(f"neutral: got {seconds!r} s, expected a time above 0")
        self._wanted_s, self.calibrating = seconds, True
        self._sums = {}

    def reset(self) -> None:
        """Forget all resting expressions and a calibration that is going on."""
        self._wanted_s, self.calibrating = None, False
        self._sums, self._rest = {}, {}

    def apply(self, ids: Array, expression: FloatArray, pts_s: float) -> FloatArray:
        """Expressions (N, 64) of the frame at ``pts_s`` without their faces' resting ones; a new array if changed.

        While a calibration goes on, what was known before is still taken off. It ends with the first frame after its
        time; faces that were not seen in it keep what they had.
        """
        if self.calibrating:
            self._collect(ids, expression, pts_s)
        if not self._rest:
            return expression
        rest = [self._rest.get(identifier) for identifier in ids.tolist()]
        taken = [np.zeros(expression.shape[1], np.float32) if r is None else r for r in rest]
        return expression - np.array(taken, np.float32).reshape(expression.shape)

    def _collect(self, ids: Array, expression: FloatArray, pts_s: float) -> None:
        if self._wanted_s is not None:
            self._until_s, self._wanted_s = pts_s + self._wanted_s, None
        if pts_s >= self._until_s and self._sums:
            self._rest |= {identifier: np.asarray(total / count, np.float32)
                           for identifier, (total, count) in self._sums.items()}
            self._sums, self.calibrating = {}, False
            return
        for identifier, row in zip(ids.tolist(), np.asarray(expression, np.float64), strict=True):
            total, count = self._sums.get(identifier, (0.0, 0))
            self._sums[identifier] = (total + row, count + 1)
