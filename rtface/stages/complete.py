"""Crops with a hole → crops without: hidden pixels are drawn, visible ones are returned as they came, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rtface.errors import BackendError
from rtface.inference import Engine
from rtface.stages.crop import crop_side
from rtface.types import Array, FaceCrops, Structure


class Completer:
    """The completion generator N_syn (contour paper, §3.3)."""

    def __init__(self, engine: Engine) -> None:
        """engine: crops (N, 3, S, S), mask and contour (N, 1, S, S) → pixels (N, 3, S, S) RGB 0..1."""
        self._engine = engine
        self.size = crop_side(engine)
        """Side S of the crops in px."""

    def fill(self, crops: FaceCrops, mask: Array, structure: Structure) -> FaceCrops:
        """Faces (N) whose hole is ``mask`` (N, 1, S, S) float32, 1 = to be drawn; same transforms, new pixels.

        BackendError when the network gives NaN.
        """
        if not len(crops):
            return crops
        drawn = self._engine.run(crops=crops.pixels, mask=mask, contour=structure.contour)["pixels"]
        if not np.isfinite(drawn).all():
            raise BackendError(f"complete: got pixels that are not finite from {self._engine.backend}, expected "
                               f"numbers; try another --backend, or --precision f32")
        pixels: Array = np.where(mask > 0.5, drawn, crops.pixels)
        return replace(crops, pixels=np.ascontiguousarray(pixels, np.float32))
