"""Realistic inputs for every network: what each of them is given while the whole chain looks at drawn faces.

The inputs are recorded behind the engines, so they follow whatever a network takes: crops alone, or crops with masks
and contours that the networks before it made.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import numpy as np

from rtface.config import OcclusionConfig, PipelineConfig, TrackerConfig
from rtface.inference import Engine, EngineSpec, open_engine
from rtface.pipeline import NETWORKS, Pipeline
from rtface.stages.deocclude import NETWORKS as DEOCCLUSION
from rtface.synth.config import SynthConfig
from rtface.synth.generator import FaceFactory
from rtface.types import Array, Frame

Inputs = dict[str, Array]
"""One call's arrays by the names in ``spec.inputs``."""
CALIBRATION_SEED, TEST_SEED = 20_001, 20_002
"""Different people and occluders, so that a network is never judged on what it was calibrated with."""
SIZE = 256
"""Side of a drawn picture, px."""


class RecordingEngine:
    """An engine that remembers its inputs; everything else is the inner engine's."""

    def __init__(self, inner: Engine) -> None:
        self._inner = inner
        self.calls: list[Inputs] = []
        """Copies, in order; empty batches are left out."""

    @property
    def spec(self) -> EngineSpec:
        """The inner engine's."""
        return self._inner.spec

    @property
    def backend(self) -> str:
        """The inner engine's."""
        return self._inner.backend

    def run(self, **inputs: Array) -> dict[str, Array]:
        """See :meth:`rtface.inference.Engine.run`."""
        if all(array.size for array in inputs.values()):
            self.calls.append({name: np.array(array) for name, array in inputs.items()})
        return self._inner.run(**inputs)

    def close(self) -> None:
        """Close the inner engine; what was recorded stays."""
        self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def record(pictures: Sequence[Array], *, profile: str = "compact", threads: int = 1) -> dict[str, list[Inputs]]:
    """Pictures (H, W, 3) uint8 RGB → per network the inputs of its calls, by ONNX Runtime in float32.

    A network that no face needed has no entry.
    """
    names = (*NETWORKS, *DEOCCLUSION["contour"])
    config: Any = PipelineConfig(profile=profile, meshes=False, tracker=TrackerConfig(faces=1),  # type: ignore[arg-type]
                                 occlusion=OcclusionConfig(recipe="contour"))
    with ExitStack() as stack:
        engines = {name: stack.enter_context(RecordingEngine(open_engine(name, profile, backend="onnx",
                                                                         threads=threads))) for name in names}
        pipeline = stack.enter_context(Pipeline(config, engines=engines))
        for index, pixels in enumerate(pictures):
            pipeline.reset()
            pipeline.process(Frame(pixels, index, 0.0))
        return {name: engine.calls for name, engine in engines.items() if engine.calls}


def drawn(count: int, seed: int) -> list[Array]:
    """``count`` pictures (256, 256, 3) uint8 of the factory, four in five with something before the face."""
    factory, config = FaceFactory(), SynthConfig(size=SIZE, clean_twin=False, occluder_rate=0.8)
    return [factory.generate(np.random.default_rng([seed, k]), config).pixels for k in range(count)]


def factory_inputs(count: int, seed: int, *, profile: str = "compact") -> dict[str, list[Inputs]]:
    """Recorded inputs of ``count`` drawn faces (about a quarter of a second each)."""
    return record(drawn(count, seed), profile=profile)
