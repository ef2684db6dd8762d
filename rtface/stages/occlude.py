"""Face crops → what hides each face."""

from __future__ import annotations

from typing import Final

import numpy as np

from rtface import ops
from rtface.config import OcclusionConfig
from rtface.contours import face_outline
from rtface.errors import BackendError
from rtface.geometry import FloatArray, apply_affine
from rtface.inference import Engine
from rtface.stages.crop import crop_side
from rtface.types import FaceCrops, Occlusion

BACKGROUND, FACE, OCCLUDER = range(3)
"""Channels of :attr:`rtface.types.Occlusion.probability`."""
_OUTLINE: Final = 27
"""Points of a face's outline."""


class Occluder:
    """The segmentation network (consensus paper) and what follows from its classes."""

    def __init__(self, engine: Engine, config: OcclusionConfig | None = None) -> None:
        """engine: input crops (N, 3, S, S), output probability (N, 3, S, S): background, visible face, occluder."""
        self._engine = engine
        self._config = config or OcclusionConfig()
        self.size = crop_side(engine)
        """Side S of the crops in px."""

    def find(self, crops: FaceCrops, landmarks: FloatArray) -> Occlusion:
        """What hides the faces of some crops: :meth:`classify`, then :meth:`judge`."""
        return self.judge(self.classify(crops), crops, landmarks)

    def classify(self, crops: FaceCrops) -> FloatArray:
        """Class probabilities (N, 3, S, S) float32, new array. BackendError when the network gives NaN."""
        probability: FloatArray = np.zeros((0, 3, self.size, self.size), np.float32)
        if len(crops):
            probability = self._engine.run(crops=crops.pixels)["probability"]
            if not np.isfinite(probability).all():
                raise BackendError(f"segment: got probabilities that are not finite from {self._engine.backend}, "
                                   f"expected numbers; try another --backend, or --precision f32")
        return probability

    def judge(self, probability: FloatArray, crops: FaceCrops, landmarks: FloatArray) -> Occlusion:
        """What follows from class probabilities (N, 3, S, S); landmarks (N, 68, 2) float32 in frame px.

        A pixel is hidden where the occluder is likelier than both other classes. A mask of less than ``least_share``
        of the face is left empty: nothing is gained by completing it.
        """
        classes = probability.argmax(axis=1)
        hidden = classes == OCCLUDER
        area = face_area(apply_affine(crops.crop_from_frame, landmarks), self.size)
        seen = ((classes == FACE) & area).sum(axis=(1, 2))
        covered = (hidden & area).sum(axis=(1, 2))
        fraction = np.where(seen + covered > 0, seen / np.maximum(seen + covered, 1), 1.0).astype(np.float32)
        hidden &= (1.0 - fraction >= self._config.least_share)[:, None, None]
        return Occlusion(probability, np.ascontiguousarray(hidden[:, None], np.float32), fraction,
                         crops.crop_from_frame)


def face_area(landmarks: FloatArray, size: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.bool_]]:
    """Landmarks (N, 68, 2) float32 px of square pictures → (N, size, size) bool, True within the face's outline.

    The outline is :func:`rtface.contours.face_outline`'s; it is the face's, hidden or not.
    """
    count = len(landmarks)
    if not count:
        return np.zeros((0, size, size), np.bool_)
    outline = face_outline(landmarks)
    fan = np.concatenate([landmarks.mean(axis=1, keepdims=True), outline], axis=1)
    positions = np.concatenate([fan, np.zeros((*fan.shape[:2], 1), np.float32)], axis=2).astype(np.float32)
    return np.asarray(ops.rasterize(np.ascontiguousarray(positions), _FAN, size, size).triangle_id >= 0)


_FAN: Final = np.array([(0, 1 + k, 1 + (k + 1) % _OUTLINE) for k in range(_OUTLINE)], np.int32)


def seen_points(visibility: FloatArray, landmarks: FloatArray, occlusion: Occlusion | None) -> FloatArray:
    """(N, 68) float32 0..1: a landmark is seen if the landmark network (visibility) and the mask both say so.

    landmarks (N, 68, 2) frame px; occlusion: None when nobody looked.
    """
    if occlusion is None:
        return visibility
    return np.minimum(visibility, 1 - hidden_points(occlusion, landmarks))


def seen_irises(irises: FloatArray, occlusion: Occlusion | None) -> FloatArray:
    """Irises (N, 2, 3) frame px and visibility, seen where the mask agrees; see :func:`seen_points`."""
    if occlusion is None:
        return irises
    seen = np.minimum(irises[..., 2], 1 - hidden_points(occlusion, irises[..., :2]))
    return np.concatenate([irises[..., :2], seen[..., None]], axis=-1)


def hidden_points(occlusion: Occlusion, points: FloatArray) -> FloatArray:
    """How surely something is before points (N, P, 2) in frame px: (N, P) float32 0..1.

    The occluder's share against the visible face's at the pixel; 0 beyond the crop, where nothing is known.
    """
    size = occlusion.mask.shape[-1]
    place = np.floor(apply_affine(occlusion.crop_from_frame, points)).astype(np.int64)
    inside = ((place >= 0) & (place < size)).all(axis=2)
    column, row = np.clip(place, 0, size - 1).transpose(2, 0, 1)
    faces = np.arange(len(points))[:, None]
    occluder, face = (occlusion.probability[faces, k, row, column] for k in (OCCLUDER, FACE))
    share: FloatArray = np.where(inside, occluder / np.maximum(occluder + face, 1e-6), 0.0).astype(np.float32)
    return share


