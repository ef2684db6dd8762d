"""Find faces in a whole frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from rtface import ops
from rtface.config import DetectorConfig
from rtface.errors import BackendError
from rtface.geometry import FloatArray, box_iou
from rtface.inference import Engine
from rtface.types import Array, Frame

INPUT_MULTIPLE: Final = 64
"""Sides of the network's input are multiples of its coarsest stride."""
PADDING: Final = 115
"""Grey beside the frame, 0..255: the networks' mean, so that padding looks like nothing to them."""


WORTH_A_LOOK: Final = 1.25
"""A second, finer look is taken at frames whose longer side is at least so many times that of the first."""


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Faces of one frame, best first."""

    boxes_xyxy: Array
    """(M, 4) float32 frame px: hair line to chin, ear to ear; clipped to the frame."""
    scores: Array
    """(M,) float32 0..1."""

    def __len__(self) -> int:
        return int(self.boxes_xyxy.shape[0])


class Detects(Protocol):
    """What the tracker needs of a detector."""

    def detect(self, frame: Frame) -> Detections:
        """All faces of a frame."""
        ...


class FaceDetector:
    """Frame → letterboxed pictures of two sizes → network → boxes in frame pixels."""

    def __init__(self, engine: Engine, config: DetectorConfig | None = None) -> None:
        """engine: input image (1, 3, H, W), outputs scores (1, P) and boxes (1, P, 4) in input px."""
        self._engine = engine
        self._config = config or DetectorConfig()

    def detect(self, frame: Frame) -> Detections:
        """All faces that pass min_score, min_face_px and non-maximum suppression, from one or two looks."""
        config = self._config
        boxes, scores = self._look(frame, config.long_side)
        if config.fine_side > config.long_side and max(frame.height, frame.width) > WORTH_A_LOOK * config.long_side:
            fine_boxes, fine_scores = self._look(frame, config.fine_side)
            largest = config.fine_face_px * max(frame.height, frame.width) / config.fine_side
            small = (fine_boxes[:, 2:] - fine_boxes[:, :2]).max(axis=1, initial=0) <= largest
            boxes = np.concatenate([boxes, fine_boxes[small]])
            scores = np.concatenate([scores, fine_scores[small]])
        boxes = np.clip(boxes, 0, np.array([frame.width, frame.height] * 2, np.float32))
        large = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) >= config.min_face_px
        boxes, scores = boxes[large], scores[large]
        kept = non_maximum_suppression(boxes, scores, config.nms_iou)
        return Detections(boxes[kept].astype(np.float32), scores[kept].astype(np.float32))

    def _look(self, frame: Frame, long_side: int) -> tuple[FloatArray, FloatArray]:
        """Likely boxes (M, 4) in frame px and their scores (M,) at one size of the input."""
        image, scale = letterbox(frame.pixels, long_side)
        out = self._engine.run(image=image)
        scores, boxes = out["scores"][0], out["boxes"][0]
        if not (np.isfinite(scores).all() and np.isfinite(boxes).all()):
            raise BackendError(f"detector: got numbers that are not finite from {self._engine.backend}, expected "
                               f"scores and boxes; try another --backend, or --precision f32")
        likely = scores >= self._config.min_score
        return boxes[likely] / np.float32(scale), scores[likely]


def letterbox(pixels: Array, long_side: int) -> tuple[FloatArray, float]:
    """Scale a frame (H, W, 3) uint8 so that its longer side is ``long_side`` px and pad it right and below.

    Returns (1, 3, H', W') float32 RGB 0..1 with H' and W' multiples of 64, C-contiguous, and the scale
    input px per frame px.
    """
    height, width = pixels.shape[:2]
    scale = long_side / max(height, width)
    high, wide = (-(-max(1, round(side * scale)) // INPUT_MULTIPLE) * INPUT_MULTIPLE for side in (height, width))
    tile = math.gcd(high, wide)  # crops are square, so the picture is put together from square tiles
    top, left = np.mgrid[:high:tile, :wide:tile].reshape(2, -1) / scale
    frame_from_tile = np.zeros((len(top), 2, 3), np.float32)
    frame_from_tile[:, 0, 0] = frame_from_tile[:, 1, 1] = 1 / scale
    frame_from_tile[:, 0, 2], frame_from_tile[:, 1, 2] = left, top
    tiles = ops.sample_crops(np.ascontiguousarray(pixels), frame_from_tile, tile, border="constant",
                             border_value=PADDING).reshape(high // tile, wide // tile, 3, tile, tile)
    return np.ascontiguousarray(tiles.transpose(2, 0, 3, 1, 4)).reshape(1, 3, high, wide), scale


def non_maximum_suppression(boxes_xyxy: FloatArray, scores: FloatArray, max_iou: float) -> Array:
    """Greedy: keep the best box, drop what overlaps it more than ``max_iou``, go on. Returns indices, best first.

    boxes (M, 4), scores (M,); equal scores keep their order.
    """
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        overlaps = box_iou(boxes_xyxy[None, best], boxes_xyxy[order])[0]
        order = order[overlaps <= max_iou]
    return np.array(kept, np.intp)
