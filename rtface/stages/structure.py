"""Crops with a hole → the contours of the whole face, which guide completion.

A photograph brings no contours of its own. They are read off the parsing network's map of what is seen, by the
function that also labels the factory's faces (:func:`rtface.contours.outlines`); what lies under the grown mask is left
to N_cont.
"""

from __future__ import annotations

import numpy as np

from rtface.contours import grown, outlines, sketch
from rtface.errors import BackendError
from rtface.geometry import FloatArray, apply_affine
from rtface.inference import Engine
from rtface.stages.crop import crop_side
from rtface.types import Array, FaceCrops, Structure


class Structurer:
    """Parsing network and contour generator (contour paper, §3.2)."""

    def __init__(self, parse: Engine, contour: Engine) -> None:
        """parse: crops (N, 3, S, S) → probability (N, 19, S, S); contour: crops, mask, contour → contour_goal, at S."""
        self._parse, self._contour = parse, contour
        self.size = crop_side(contour)
        """Side S of the crops in px."""

    def draw(self, crops: FaceCrops, mask: Array, landmarks: FloatArray) -> Structure:
        """Contours of faces (N) whose hole is ``mask`` (N, 1, S, S) float32; new arrays.

        landmarks (N, 68, 2) float32 in frame px, hidden ones as the landmark network guesses them.
        C_goal = C ⊙ (1 − I_mask) + max(C_syn, C_landmarks) ⊙ I_mask. BackendError when a network gives NaN.
        """
        if not len(crops):
            return Structure(np.zeros((0, 1, self.size, self.size), np.float32))
        parsing = self._parse.run(crops=crops.pixels)["probability"].argmax(axis=1).astype(np.uint8)
        seen = outlines(parsing)[:, None].astype(np.float32)
        goal = self._contour.run(crops=crops.pixels, mask=mask, contour=seen)["contour_goal"]
        if not np.isfinite(goal).all():
            raise BackendError(f"contour: got contours that are not finite from {self._contour.backend}, expected "
                               f"numbers; try another --backend, or --precision f32")
        guessed = sketch(apply_affine(crops.crop_from_frame, landmarks), self.size)[:, None]
        return Structure(np.where((mask > 0.5) & guessed, np.float32(1), goal))


def hole(mask: Array, grow_px: int) -> Array:
    """Masks (N, 1, S, S) of what is hidden → float32 masks of what is drawn anew, a little larger: no rim stays."""
    return np.ascontiguousarray(grown(mask > 0.5, grow_px), np.float32)
