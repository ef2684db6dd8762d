"""The way from crops to crops without occlusion, in the order of the contour paper: mask → contour → completed face."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import numpy as np

from rtface.config import OcclusionConfig
from rtface.errors import ModelFileError
from rtface.geometry import FloatArray
from rtface.inference import Engine
from rtface.stages.complete import Completer
from rtface.stages.crop import resized_mask, resized_pixels
from rtface.stages.occlude import Occluder
from rtface.stages.steady import MaskSteadier
from rtface.stages.structure import Structurer, hole
from rtface.types import Array, Completion, FaceCrops, Occlusion

NETWORKS: Final[Mapping[str, tuple[str, ...]]] = {
    "off": (), "mask": ("segment",), "contour": ("segment", "parse", "contour", "complete")}
"""Names of the networks that a recipe runs."""
Timed = Callable[[str], AbstractContextManager[object]]


class Deoccluder:
    """Finds what hides faces and, by the recipe, removes it. Faces with an empty mask skip what comes after it."""

    def __init__(self, engines: Mapping[str, Engine], config: OcclusionConfig | None = None) -> None:
        """engines: by name, at least those of :data:`NETWORKS` for the recipe.

        ModelFileError when they do not take crops of one size.
        """
        self._config = config or OcclusionConfig()
        self._occluder = Occluder(engines["segment"], self._config) if self._config.recipe != "off" else None
        self._structurer: Structurer | None = None
        if self._config.recipe == "contour":
            assert self._occluder is not None
            self._structurer = Structurer(engines["parse"], engines["contour"])
            self._completer = Completer(engines["complete"])
            sizes = {self._occluder.size, self._structurer.size, self._completer.size}
            if len(sizes) > 1:
                raise ModelFileError(f"recipe contour: got networks for crops of {sorted(sizes)} px, expected one "
                                     f"size; export them from one profile")

    @property
    def size(self) -> int | None:
        """Side S of the crops in px that it wants; None when it does nothing."""
        return None if self._occluder is None else self._occluder.size

    def apply(self, crops: FaceCrops, landmarks: FloatArray, timed: Timed = lambda _: nullcontext(), *,
              steadier: MaskSteadier | None = None,
              pts_s: float = 0.0) -> tuple[Occlusion | None, Completion | None]:
        """What hides faces (N crops, landmarks (N, 68, 2) frame px), and how those with a hole were completed.

        timed: gives a context for each stage by its name. steadier: knows the frames before the one at ``pts_s``.
        """
        if self._occluder is None:
            return None, None
        with timed("occlude"):
            probability = self._occluder.classify(crops)
            if steadier is not None:
                probability = steadier.steady(probability, crops, pts_s)
            occlusion = self._occluder.judge(probability, crops, landmarks)
            rows = np.flatnonzero(occlusion.mask.any(axis=(1, 2, 3)))
        if self._structurer is None or not len(rows):
            return occlusion, None
        before = FaceCrops(np.ascontiguousarray(crops.pixels[rows]), crops.crop_from_frame[rows],
                           crops.track_ids[rows])
        with timed("structure"):
            mask = hole(occlusion.mask[rows], round(self._config.grow_share * crops.size))
            structure = self._structurer.draw(before, mask, landmarks[rows])
        with timed("complete"):
            after = self._completer.fill(before, mask, structure)
        return occlusion, Completion(before, mask, structure, after)

    def regressed(self, crops: FaceCrops, occlusion: Occlusion | None, completion: Completion | None) -> FaceCrops:
        """The crops that regression gets: :func:`completed` where much is hidden, as they were elsewhere.

        occlusion and completion: what :meth:`apply` gave for the same faces.
        """
        if occlusion is None or completion is None:
            return crops
        hidden = crops.track_ids[1 - occlusion.visible_fraction > self._config.regress_share]
        return completed(crops, completion, np.isin(completion.after.track_ids, hidden))


def completed(crops: FaceCrops, completion: Completion | None, chosen: Array | None = None) -> FaceCrops:
    """Crops whose holes are filled with what was drawn; ids, order and visible pixels stay.

    chosen: (M,) bool, which of the completed faces to fill; None: all. Crops of another size than those that were
    completed get the drawn pixels scaled (bilinear), the holes by their nearest pixels.
    """
    if completion is None:
        return crops
    pixels, after, side = crops.pixels.copy(), completion.after, crops.size
    if chosen is None:
        chosen = np.ones(len(after), np.bool_)
    rows = np.flatnonzero(np.isin(crops.track_ids, after.track_ids[chosen]))
    if after.size == side:
        pixels[rows] = after.pixels[chosen]
        return FaceCrops(pixels, crops.crop_from_frame, crops.track_ids)
    holes = resized_mask(completion.mask[chosen], side)
    pixels[rows] = np.where(holes > 0.5, resized_pixels(after.pixels[chosen], side), pixels[rows])
    return FaceCrops(pixels, crops.crop_from_frame, crops.track_ids)
