"""From a face in a picture to a crop, through a network that gives classes, and back onto the picture.

Every network and every set goes this way, so that systems differ in nothing but what they say of a crop. Crops are
placed as tracking does: two passes of the landmark network from a box.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.errors import BackendError
from rtface.evaluate.networks import LandmarkNetwork
from rtface.geometry import FloatArray, apply_affine, crops_from_boxes, crops_from_landmarks, opencv_affine
from rtface.inference import Engine
from rtface.stages.crop import crop_side, sample
from rtface.stages.detect import Detects
from rtface.stages.occlude import face_area
from rtface.types import Frame

Pixels = NDArray[np.uint8]
Map = NDArray[np.uint8]
Area = NDArray[np.bool_]
SURE: Final = 0.5
"""Below this presence the box places the crop."""
OUTLINE_SIZE: Final = 256
"""px of the crop in which the face's outline is drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Where a face is."""

    box_xyxy: FloatArray
    """(4,) px that it was looked for in."""
    points: FloatArray | None
    """(68, 2) px; None where the landmark network was not sure."""

    def crop(self, size: int) -> FloatArray:
        """crop_from_picture (2, 3) for a crop of ``size`` px."""
        crops = crops_from_boxes(self.box_xyxy[None], size) if self.points is None else \
            crops_from_landmarks(self.points[None], size)
        return np.asarray(crops[0], np.float32)


def place(pixels: Pixels, box_xyxy: FloatArray | None, landmarks: LandmarkNetwork,
          detector: Detects | None = None) -> Placed | None:
    """The face in a box (4,) px, or without one in the largest box that the detector finds; None without any."""
    frame = Frame(pixels, 0, 0.0)
    if box_xyxy is None and detector is not None:
        boxes = detector.detect(frame).boxes_xyxy
        if len(boxes):
            box_xyxy = boxes[int(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).argmax())]
    if box_xyxy is None:
        return None
    found = landmarks.locate(frame, box_xyxy)
    return Placed(box_xyxy, found.points if found is not None and found.presence >= SURE else None)


class Pasted(NamedTuple):
    """Classes on the whole picture."""

    classes: Map
    """(H, W), 0 beyond the crop."""
    inside: Area
    """(H, W) where the crop was."""


def paste_back(scores: NDArray[np.floating[Any]], crop_from_picture: FloatArray, shape: tuple[int, ...]) -> Pasted:
    """The class of the highest score, scores (K, S, S) of a crop being interpolated at the pixels of a picture.

    shape: (H, W, …) of the picture.
    """
    matrix, size = opencv_affine(crop_from_picture), (shape[1], shape[0])
    planes = [cv2.warpAffine(np.ascontiguousarray(plane, np.float32), matrix, size, borderMode=cv2.BORDER_REPLICATE,
                             flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP) for plane in scores]
    inside = cv2.warpAffine(np.ones(scores.shape[1:], np.uint8), matrix, size,
                            flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP) > 0
    return Pasted(np.where(inside, np.argmax(planes, axis=0), 0).astype(np.uint8), np.asarray(inside))


def assumed_face(placed: Placed, shape: tuple[int, ...]) -> Area:
    """(H, W) what is taken to be face where nobody looks: within the outline of the 68 points, forehead included.

    The outline is the pipeline's own (:func:`rtface.stages.occlude.face_area`). Without points it is the ellipse in
    the box.
    """
    if placed.points is None:
        x0, y0, x1, y1 = placed.box_xyxy.astype(np.float64).tolist()
        y, x = np.mgrid[:shape[0], :shape[1]] + 0.5
        reach = ((2 * x - x0 - x1) / (x1 - x0)) ** 2 + ((2 * y - y0 - y1) / (y1 - y0)) ** 2
        return np.asarray(reach <= 1)
    crop = placed.crop(OUTLINE_SIZE)
    area = face_area(apply_affine(crop[None], placed.points[None]), OUTLINE_SIZE)[0]
    return paste_back(np.stack([~area, area]).astype(np.float32), crop, shape).classes > 0


class ClassNetwork:
    """A network from crops (N, 3, S, S) to scores of classes (N, K, S, S), one face at a time and by the clock."""

    def __init__(self, engine: Engine) -> None:
        """ModelFileError when the network's input has no fixed size."""
        self._engine = engine
        self.size = crop_side(engine)
        self.seconds: list[float] = []
        """Of every crop: sampling it and running the network."""

    def classes(self, pixels: Pixels, placed: Placed) -> Pasted:
        """Classes of a picture (H, W, 3); BackendError when the network gives NaN."""
        transform = placed.crop(self.size)
        start = time.perf_counter()
        crops = sample(Frame(pixels, 0, 0.0), transform[None], np.zeros(1, np.int32), self.size)
        scores = self._engine.run(crops=crops.pixels)[self._engine.spec.outputs[0].name]
        self.seconds.append(time.perf_counter() - start)
        if not np.isfinite(scores).all():
            raise BackendError(f"{self._engine.spec.name}: got scores that are not finite from "
                               f"{self._engine.backend}, expected numbers; try another --backend")
        return paste_back(scores[0], transform, pixels.shape)

    def per_second(self) -> float:
        """Crops per second since the last call, one at a time (by the median); NaN without any."""
        seconds, self.seconds = self.seconds, []
        return float(1 / np.median(seconds)) if seconds else float("nan")
