"""Look at every crop twice, as it is and in the mirror, and take the mean of both answers (test-time augmentation).

A network's errors for a picture and for its mirror image are partly independent, so that the mean is nearer to the
truth and moves less from frame to frame; docs/benchmarks.md has the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self

import numpy as np

from rtface.contours import MIRRORED_PARSING
from rtface.errors import ModelFileError
from rtface.inference import Engine, EngineSpec
from rtface.mirror import LANDMARKS_68, Mirror
from rtface.stages.crop import crop_side
from rtface.types import Array

_TURN_BACK: Final[Mapping[str, Callable[[Mapping[str, Array]], Mapping[str, Array]]]] = {
    "segment": lambda outputs: {name: maps[..., ::-1] for name, maps in outputs.items()},
    "parse": lambda outputs: {name: maps[:, MIRRORED_PARSING, :, ::-1] for name, maps in outputs.items()}}
"""Maps of a mirror image → those of the picture."""


class ReflectedEngine:
    """An engine around another one, which gets every batch with its mirror images behind it (a quarter faster than
    two runs on a CPU). That one stays its owner's to close."""

    def __init__(self, engine: Engine, turn_back: Callable[[Mapping[str, Array]], Mapping[str, Array]]) -> None:
        """engine: all its inputs are pictures (N, C, H, W).

        turn_back: outputs for mirror images → what they mean for the pictures themselves, by the same names.
        """
        self._engine = engine
        self._turn_back = turn_back

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
        count = len(next(iter(inputs.values())))
        both = self._engine.run(**{name: np.concatenate([pictures, pictures[..., ::-1]])
                                   for name, pictures in inputs.items()})
        mirrored = self._turn_back({name: answer[count:] for name, answer in both.items()})
        return {name: (answer[:count] + mirrored[name]) / 2 for name, answer in both.items()}

    def close(self) -> None:
        """Nothing: the engine within is not owned."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def reflected_landmarks(engine: Engine) -> ReflectedEngine:
    """The landmark network, looking twice: landmarks (N, 68, 2) and irises (N, 2, 2) crop px, their visibility."""
    side = np.float32(crop_side(engine))

    def turn_back(outputs: Mapping[str, Array]) -> Mapping[str, Array]:
        landmarks = outputs["landmarks"][:, LANDMARKS_68]
        landmarks[..., 0] = side - landmarks[..., 0]
        turned = {**outputs, "landmarks": landmarks, "visibility": outputs["visibility"][:, LANDMARKS_68]}
        if "irises" in outputs:
            irises = outputs["irises"][:, ::-1] * np.array([-1, 1], np.float32) + np.array([side, 0], np.float32)
            turned |= {"irises": irises, "iris_visibility": outputs["iris_visibility"][:, ::-1]}
        return turned

    return ReflectedEngine(engine, turn_back)


def reflected_maps(engines: Mapping[str, Engine]) -> dict[str, Engine]:
    """The same networks by name, but that those which give maps of classes look twice.

    They are ``segment``, probabilities (N, 3, S, S), and ``parse``, (N, 19, S, S): there left eyes become right ones.
    """
    return {name: ReflectedEngine(engine, _TURN_BACK[name]) if name in _TURN_BACK else engine
            for name, engine in engines.items()}


def reflected_regressor(engine: Engine, mirror: Mirror) -> ReflectedEngine:
    """The regressor, looking twice: output coefficients (N, 239) in crop px of the basis that ``mirror`` knows.

    ModelFileError when the network was trained for another basis.
    """
    if engine.spec.basis and engine.spec.basis != mirror.basis_id:
        raise ModelFileError(f"regressor: got weights for the basis {engine.spec.basis!r}, expected "
                             f"{mirror.basis_id!r}; train it again with: python -m rtface.train.regressor")
    side = float(crop_side(engine))
    return ReflectedEngine(engine, lambda outputs: {"coefficients": mirror.coefficients(outputs["coefficients"], side)})
