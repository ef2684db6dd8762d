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
TILE: Final = 384
"""Side in px of the parts that glances cut the finer look into."""
TILE_EDGE: Final = 8.0
"""A box that comes so near (px) to where a tile was cut belongs to the tile beside it, which shows the whole face."""
COARSE_EVERY: Final = 3
"""Every so many glances one is the first look, which knows large faces; the others are tiles."""


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
    """A detector for single frames."""

    def detect(self, frame: Frame) -> Detections:
        """All faces of a frame."""
        ...


class Searches(Detects, Protocol):
    """What the tracker needs of a detector."""

    def glance(self, frame: Frame, step: int) -> Detections:
        """Faces in a part of a frame, at a part of the cost; steps 0, 1, 2, … look everywhere again and again."""
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
        if self._is_worth_a_look(frame):
            fine_boxes, fine_scores = self._look(frame, config.fine_side)
            small = self._is_small(frame, fine_boxes)
            boxes = np.concatenate([boxes, fine_boxes[small]])
            scores = np.concatenate([scores, fine_scores[small]])
        return self._chosen(frame, boxes, scores)

    def glance(self, frame: Frame, step: int) -> Detections:
        """The first look, or one tile of the second: what :meth:`detect` sees, spread over many frames.

        A whole detection takes longer than anything else that a live frame needs; no glance does.
        """
        turn, place = divmod(step, COARSE_EVERY)
        if place == 0 or not self._is_worth_a_look(frame):
            return self._chosen(frame, *self._look(frame, self._config.long_side))
        corners, scale = self._tiles(frame)
        low = corners[(turn * (COARSE_EVERY - 1) + place - 1) % len(corners)]
        frame_from_tile = np.array([[[1 / scale, 0, low[0] / scale], [0, 1 / scale, low[1] / scale]]], np.float32)
        image = ops.sample_crops(np.ascontiguousarray(frame.pixels), frame_from_tile, TILE, border="constant",
                                 border_value=PADDING)
        boxes, scores = self._likely(image)
        first, last = low == corners.min(axis=0), low == corners.max(axis=0)
        inside = np.concatenate([(boxes[:, :2] > TILE_EDGE) | first, (boxes[:, 2:] < TILE - TILE_EDGE) | last], axis=1)
        whole = inside.all(axis=1)
        boxes = (boxes[whole] + np.tile(low, 2)) / np.float32(scale)
        small = self._is_small(frame, boxes)
        return self._chosen(frame, boxes[small], scores[whole][small])

    def _is_worth_a_look(self, frame: Frame) -> bool:
        """Whether the second look can see what the first one cannot."""
        config = self._config
        return (config.fine_side > config.long_side
                and max(frame.height, frame.width) > WORTH_A_LOOK * config.long_side)

    def _is_small(self, frame: Frame, boxes: FloatArray) -> Array:
        """(M,) bool: boxes (M, 4) frame px that count in the second look."""
        largest = self._config.fine_face_px * max(frame.height, frame.width) / self._config.fine_side
        return (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0) <= largest

    def _tiles(self, frame: Frame) -> tuple[FloatArray, float]:
        """Top left corners (T, 2) of the second look's tiles in its px, and input px per frame px.

        Tiles overlap by more than the largest face that counts there, so that each is whole in one of them.
        """
        scale = self._config.fine_side / max(frame.height, frame.width)
        shared = min(self._config.fine_face_px + 3 * TILE_EDGE, TILE / 2)
        sides = []
        for side in (frame.width * scale, frame.height * scale):
            count = max(1, math.ceil((side - shared) / (TILE - shared)))
            sides.append(np.linspace(0, max(side - TILE, 0), count).round())
        corners: FloatArray = np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2).astype(np.float32)
        return corners, scale

    def _chosen(self, frame: Frame, boxes: FloatArray, scores: FloatArray) -> Detections:
        """What is inside of the frame, large enough, and not another box's double."""
        boxes = np.clip(boxes, 0, np.array([frame.width, frame.height] * 2, np.float32))
        large = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) >= self._config.min_face_px
        boxes, scores = boxes[large], scores[large]
        kept = non_maximum_suppression(boxes, scores, self._config.nms_iou)
        return Detections(boxes[kept].astype(np.float32), scores[kept].astype(np.float32))

    def _look(self, frame: Frame, long_side: int) -> tuple[FloatArray, FloatArray]:
        """Likely boxes (M, 4) in frame px and their scores (M,) at one size of the input."""
        image, scale = letterbox(frame.pixels, long_side)
        boxes, scores = self._likely(image)
        return boxes / np.float32(scale), scores

    def _likely(self, image: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Boxes (M, 4) in px of the network's input (1, 3, H, W) and their scores (M,), those above min_score."""
        out = self._engine.run(image=image)
        scores, boxes = out["scores"][0], out["boxes"][0]
        if not (np.isfinite(scores).all() and np.isfinite(boxes).all()):
            raise BackendError(f"detector: got numbers that are not finite from {self._engine.backend}, expected "
                               f"scores and boxes; try another --backend, or --precision f32")
        likely = scores >= self._config.min_score
        return boxes[likely], scores[likely]


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
