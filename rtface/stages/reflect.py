"""Look at every crop twice, as it is and in the mirror, and take the mean of both answers (test-time augmentation).

A network's errors for a picture and for its mirror image are partly independent, so that the mean is nearer to the
truth and moves less from frame to frame; docs/benchmarks.md has the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import numpy as np

from rtface.errors import ModelFileError
from rtface.inference import Engine, EngineSpec
from rtface.mirror import LANDMARKS_68, Mirror
from rtface.stages.crop import crop_side
from rtface.types import Array

Turn = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""Arrays by name → new arrays by the same names."""


class ReflectedEngine:
    """An engine around another one; it runs that one twice. The other one stays its owner's to close."""

    def __init__(self, engine: Engine, turn_back: Turn, turn: Turn | None = None) -> None:
        """turn: inputs → those of the mirror images; None: all inputs are pictures (N, C, H, W).

        turn_back: outputs for mirror images → what they mean for the pictures themselves.
        """
        self._engine = engine
        self._turn, self._turn_back = turn or _turned, turn_back

    @property
    def spec(self) -> EngineSpec:
        """That of the engine within."""
        return self._engine.spec

    @property
    def backend(self) -> str:
        """For reports."""
        return self._engine.backend

    def run(self, **inputs: Array) -> dict[str, Array]:
        """See :meth:`rtface.inference.Engine.run`."""
        seen = self._engine.run(**inputs)
        mirrored = self._turn_back(self._engine.run(**self._turn(inputs)))
        return {name: (seen[name] + mirrored[name]) / 2 for name in seen}

    def close(self) -> None:
        """Nothing: the engine within is not owned."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def reflected_landmarks(engine: Engine) -> ReflectedEngine:
    """The landmark network, looking twice: outputs landmarks (N, 68, 2) crop px, visibility (N, 68), others alike."""
    side = crop_side(engine)

    def turn_back(outputs: Mapping[str, Array]) -> Mapping[str, Array]:
        return {**outputs, "landmarks": _turned_points(outputs["landmarks"], side),
                "visibility": outputs["visibility"][:, LANDMARKS_68]}

    return ReflectedEngine(engine, turn_back)


def reflected_regressor(engine: Engine, mirror: Mirror) -> ReflectedEngine:
    """The regressor, looking twice: output coefficients (N, 239) in crop px of the basis that ``mirror`` knows.

    ModelFileError when the network was trained for another basis.
    """
    if engine.spec.basis and engine.spec.basis != mirror.basis_id:
        raise ModelFileError(f"regressor: got weights for the basis {engine.spec.basis!r}, expected "
                             f"{mirror.basis_id!r}; train it again with: python -m rtface.train.regressor")
    side = crop_side(engine)

    def turn(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        points = {name: _turned_points(array, side) for name, array in inputs.items() if name == "points"}
        return {**_turned({name: array for name, array in inputs.items() if name != "points"}), **points}

    return ReflectedEngine(
        engine, lambda outputs: {"coefficients": mirror.coefficients(outputs["coefficients"], float(side))}, turn)


def _turned(pictures: Mapping[str, Array]) -> dict[str, Array]:
    return {name: np.ascontiguousarray(array[..., ::-1]) for name, array in pictures.items()}


def _turned_points(points: Array, side: int) -> Array:
    """(N, 68, 2 or more): x, y px and what belongs to the point."""
    turned = points[:, LANDMARKS_68]
    turned[..., 0] = np.float32(side) - turned[..., 0]
    return turned
