"""Face crops and what hides them → the 239 coefficients of the morphable model, in frame pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from rtface.errors import BackendError, ModelFileError
from rtface.geometry import coefficients_in_frame
from rtface.inference import Engine
from rtface.stages.crop import crop_side, resized_mask
from rtface.types import VECTOR_SIZE, Coefficients, FaceCrops, Occlusion

MIN_SCALE: Final = np.float32(0.05)
"""px per mm in the crop: a head is never smaller than a few pixels, nor turned inside out."""


class Regressor:
    """The coefficient network and the way back from crop to frame."""

    def __init__(self, engine: Engine, basis: str) -> None:
        """engine: input crops (N, 3, S, S), output coefficients (N, 239) in crop px; basis: the model's identifier.

        An engine with the input mask (N, 1, S, S) is told which pixels are hidden.

        ModelFileError when the network was trained for another basis.
        """
        if engine.spec.basis and engine.spec.basis != basis:
            raise ModelFileError(f"regressor: got weights for the basis {engine.spec.basis!r}, expected {basis!r}; "
                                 f"train it again with: python -m rtface.train.regressor")
        self._engine = engine
        self._basis = basis
        self._told = any(tensor.name == "mask" for tensor in engine.spec.inputs)
        self.size = crop_side(engine)
        """Side S of the crops in px."""

    def regress(self, crops: FaceCrops, occlusion: Occlusion | None = None) -> Coefficients:
        """Coefficients of every crop in frame px; new arrays. BackendError when the network gives NaN.

        occlusion: what hides the same faces, completed or not; None when nobody looked.
        """
        vector = np.zeros((0, VECTOR_SIZE), np.float32)
        if len(crops):
            told = {}
            if self._told:
                nothing = np.zeros((len(crops), 1, self.size, self.size), np.float32)
                told["mask"] = nothing if occlusion is None else resized_mask(occlusion.mask, self.size)
            vector = self._engine.run(crops=crops.pixels, **told)["coefficients"]
            if not np.isfinite(vector).all():
                raise BackendError(f"regressor: got coefficients that are not finite from {self._engine.backend}, "
                                   f"expected numbers; try another --backend, or --precision f32")
        crop = Coefficients.from_vector(vector, self._basis)
        crop = replace(crop, scale=np.maximum(crop.scale, MIN_SCALE))
        return coefficients_in_frame(crop, crops.crop_from_frame)
