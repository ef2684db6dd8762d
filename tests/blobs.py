"""A world of painted ellipses and fake networks that see them: the whole chain runs without weights.

Every face is an ellipse of its own pure colour; its height tells how wide the mouth is open. Networks answer from the
pixels that they are given, so crops, transforms and times are really used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from rtface.geometry import FOREHEAD_PER_FACE
from rtface.inference import EngineSpec, FakeEngine, TensorSpec
from rtface.types import VECTOR_SIZE

COLORS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]], np.uint8)
BASIS = "rtface-1"


def _face_points() -> np.ndarray:
    """68 landmarks in a unit box that reaches from hair line to chin (the box of ``boxes_from_landmarks``)."""
    jaw = [(0.5 - 0.5 * np.cos(np.pi * k / 16), 0.45 + 0.55 * np.sin(np.pi * k / 16)) for k in range(17)]
    top = FOREHEAD_PER_FACE / (1 + FOREHEAD_PER_FACE)
    brow = [(0.14 + 0.06 * k, top) for k in range(5)] + [(0.62 + 0.06 * k, top) for k in range(5)]
    nose = [(0.5, 0.35 + 0.07 * k) for k in range(4)] + [(0.42 + 0.04 * k, 0.6) for k in range(5)]
    eye = [(0.22, 0.4), (0.27, 0.37), (0.33, 0.37), (0.38, 0.4), (0.33, 0.43), (0.27, 0.43)]
    eyes = eye + [(1 - x, y) for x, y in (eye[3], eye[2], eye[1], eye[0], eye[5], eye[4])]
    mouth = [(0.5 - wide * np.cos(2 * np.pi * k / count), 0.77 - high * np.sin(2 * np.pi * k / count))
             for count, wide, high in ((12, 0.16, 0.06), (8, 0.12, 0.03)) for k in range(count)]
    return np.array(jaw + brow + nose + eyes + mouth, np.float32)


POINTS = _face_points()


def paint(faces: Iterable[tuple[float, float, float, int]], height: int = 120, width: int = 160) -> np.ndarray:
    """A frame (H, W, 3) uint8 with ellipses (centre x, centre y, width in px, colour number) on grey."""
    y, x = np.mgrid[:height, :width] + 0.5
    frame = np.full((height, width, 3), 60, np.uint8)
    for cx, cy, size, color in faces:
        frame[((x - cx) / (size / 2)) ** 2 + ((y - cy) / (size * 0.6)) ** 2 <= 1] = COLORS[color]
    return frame


def _blob(image: np.ndarray) -> tuple[np.ndarray, float]:
    """Box xyxy and share of the picture of the colour most seen in a float picture (3, H, W)."""
    best, share = np.zeros((image.shape[1], image.shape[2]), bool), 0.0
    for color in COLORS:
        mask = np.abs(image - color[:, None, None].astype(np.float32) / 255).max(axis=0) < 0.3
        if mask.mean() > share:
            best, share = mask, float(mask.mean())
    return _box(best), share


def _box(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.zeros(4, np.float32)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def detect(image: np.ndarray) -> dict[str, np.ndarray]:
    """Every colour's box, twice (the second one moved a little and weaker, so that there is something to suppress)."""
    boxes, scores = [], []
    for color in COLORS:
        mask = np.abs(image[0] - color[:, None, None].astype(np.float32) / 255).max(axis=0) < 0.3
        box = _box(mask)
        boxes += [box, box + 1]
        scores += [0.9, 0.8] if mask.sum() > 30 else [0.0, 0.0]
    return {"scores": np.array([scores], np.float32), "boxes": np.array([boxes], np.float32)}


def find_landmarks(crops: np.ndarray) -> dict[str, np.ndarray]:
    """The standard face inside each crop's blob."""
    found = [_blob(crop) for crop in crops]
    boxes = np.array([box for box, _ in found], np.float32).reshape(-1, 4)
    cut = boxes[:, 1] == 0  # close crops leave foreheads out; painted faces are 1.2 times as high as wide
    boxes[cut, 1] = boxes[cut, 3] - 1.2 * (boxes[cut, 2] - boxes[cut, 0])
    points = boxes[:, None, :2] + POINTS * (boxes[:, None, 2:] - boxes[:, None, :2])
    points[[share < 0.03 for _, share in found]] += POINTS * 60 + 34  # something finite where nothing is seen
    presence = np.array([1.0 if share >= 0.03 else 0.0 for _, share in found], np.float32)
    visible = np.ones((len(crops), 68), np.float32)
    return {"landmarks": points.astype(np.float32), "presence": presence, "visibility": visible}


def regress(crops: np.ndarray) -> dict[str, np.ndarray]:
    """Scale and place from the blob; identity and jaw from its shape, so that they differ from frame to frame."""
    vector = np.zeros((len(crops), VECTOR_SIZE), np.float32)
    for row, crop in zip(vector, crops, strict=True):
        box, _ = _blob(crop)
        width, height = max(box[2] - box[0], 1), max(box[3] - box[1], 1)
        row[0] = crop.mean()
        row[80 + 24] = np.clip(height / width - 0.7, 0, 1)
        row[224] = 1.0
        row[-6:] = (crop[0].mean() - 0.5) * 0.2, 0, 0, width / 140, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return {"coefficients": vector}


def segment(crops: np.ndarray) -> dict[str, np.ndarray]:
    """White hides, pure colours are face, anything else is background."""
    face = np.zeros((len(crops), *crops.shape[2:]), bool)
    for color in COLORS:
        face |= np.abs(crops - color[:, None, None].astype(np.float32) / 255).max(axis=1) < 0.3
    white = (crops > 0.8).all(axis=1)
    out = np.stack([~face & ~white, face & ~white, white], axis=1)
    return {"probability": np.where(out, np.float32(0.9), np.float32(0.05))}


def parse(crops: np.ndarray) -> dict[str, np.ndarray]:
    """Pure colours are skin, anything else is background."""
    face = segment(crops)["probability"].argmax(axis=1) == 1
    out = np.full((len(crops), 19, *crops.shape[2:]), 0.01, np.float32)
    out[:, 0], out[:, 1] = np.where(face, 0.1, 0.8), np.where(face, 0.8, 0.1)
    return {"probability": out}


def draw_contour(crops: np.ndarray, mask: np.ndarray, contour: np.ndarray) -> dict[str, np.ndarray]:
    """Half a line everywhere in the hole."""
    return {"contour_goal": contour * (1 - mask) + np.float32(0.5) * mask}


def complete(crops: np.ndarray, mask: np.ndarray, contour: np.ndarray) -> dict[str, np.ndarray]:
    """Red, a little darker where a contour is."""
    drawn = np.zeros_like(crops)
    drawn[:, :1] = 1 - np.float32(0.1) * contour
    return {"pixels": drawn}


def _spec(name: str, inputs: list[TensorSpec], outputs: list[TensorSpec]) -> EngineSpec:
    return EngineSpec(name, "compact", tuple(inputs), tuple(outputs), basis=BASIS if name == "regressor" else "")


GUIDED = [TensorSpec("crops", ("N", 3, 128, 128)), TensorSpec("mask", ("N", 1, 128, 128)),
          TensorSpec("contour", ("N", 1, 128, 128))]
SPECS = {
    "detector": _spec("detector", [TensorSpec("image", (1, 3, "H", "W"))],
                      [TensorSpec("scores", (1, "P")), TensorSpec("boxes", (1, "P", 4))]),
    "landmarks": _spec("landmarks", [TensorSpec("crops", ("N", 3, 128, 128))],
                       [TensorSpec("landmarks", ("N", 68, 2)), TensorSpec("presence", ("N",)),
                        TensorSpec("visibility", ("N", 68))]),
    "regressor": _spec("regressor", [TensorSpec("crops", ("N", 3, 224, 224))],
                       [TensorSpec("coefficients", ("N", VECTOR_SIZE))]),
    "segment": _spec("segment", [TensorSpec("crops", ("N", 3, 128, 128))],
                     [TensorSpec("probability", ("N", 3, 128, 128))]),
    "parse": _spec("parse", [TensorSpec("crops", ("N", 3, 128, 128))],
                   [TensorSpec("probability", ("N", 19, 128, 128))]),
    "contour": _spec("contour", GUIDED, [TensorSpec("contour_goal", ("N", 1, 128, 128))]),
    "complete": _spec("complete", GUIDED, [TensorSpec("pixels", ("N", 3, 128, 128))]),
}
FUNCTIONS: dict[str, Callable[..., dict[str, np.ndarray]]] = {
    "detector": detect, "landmarks": find_landmarks, "regressor": regress,
    "segment": segment, "parse": parse, "contour": draw_contour, "complete": complete}


def engines() -> dict[str, FakeEngine]:
    """New fake networks by name."""
    return {name: FakeEngine(SPECS[name], FUNCTIONS[name]) for name in SPECS}


def open_fake(name: str, profile: str = "compact", **options: Any) -> FakeEngine:
    """Stands in for :func:`rtface.inference.open_engine`."""
    return FakeEngine(SPECS[name], FUNCTIONS[name])
