"""Whole frames with zero to several faces of any size, for the detector."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.geometry import box_iou
from rtface.synth import camera
from rtface.synth.background import random_color
from rtface.synth.config import SynthConfig
from rtface.synth.generator import FaceFactory, segment
from rtface.synth.head import occluder_surface
from rtface.synth.occluders import MAKERS
from rtface.synth.people import Person, sample_expression, sample_person, sample_rotation
from rtface.synth.render import NOTHING, Light, draw, encode_srgb, sample_light
from rtface.synth.shapes import FloatArray

MOST_OVERLAP = 0.3
"""Boxes of two people who put their heads together."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A frame and its faces."""

    pixels: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    boxes_xyxy: FloatArray
    """(N, 4) px."""
    visible: FloatArray
    """(N,) visible share of each face; below about 0.2 a face should be ignored, not demanded."""
    decoys_xyxy: FloatArray
    """(D, 4) px: hands, hats, cups and drawn patterns without a face, which a detector must not take for one."""



class SceneFactory:
    """Composes scenes; people are reused for a while because painting skin costs more than drawing a small face."""

    def __init__(self, faces: FaceFactory, config: SynthConfig) -> None:
        self.faces, self.config = faces, config
        self.people: list[Person] = []

    def _person(self, rng: np.random.Generator) -> Person:
        if len(self.people) < 24:
            self.people.append(sample_person(rng, self.faces.model, texture_size=128))
            return self.people[-1]
        if rng.random() < 0.3:
            self.people[int(rng.integers(len(self.people)))] = sample_person(rng, self.faces.model, texture_size=128)
        return self.people[int(rng.integers(len(self.people)))]

    def generate(self, rng: np.random.Generator, height: int, width: int) -> Scene:
        """Draw one frame."""
        canvas = self.faces.background(rng, height, width)
        count = int(rng.choice([0, 1, 2, 3, 4, 6], p=[0.12, 0.36, 0.2, 0.14, 0.1, 0.08]))
        light = sample_light(rng)
        largest = 0.95 if count == 1 else 0.6
        sizes = np.sort(height * np.exp(rng.uniform(np.log(0.04), np.log(largest), count)))
        boxes: list[FloatArray] = []
        visible: list[float] = []
        for face_height in sizes:
            center = rng.uniform([-0.02 * width, 0.02 * height], [1.02 * width, 1.0 * height])
            if face_height > 0.5 * height and rng.random() < 0.6:
                center = np.array([width, height]) * rng.normal(0.5, 0.1, 2)
            half = np.array([0.42, 0.55]) * face_height
            wish = np.concatenate([center - half, center + half]).astype(np.float32)
            most = float(rng.choice([0.02, MOST_OVERLAP]))
            if boxes and box_iou(wish[None], np.stack(boxes)).max() > most:
                continue
            turned = rng.random() < 0.04  # the back of a head: hair and ears, but no face
            box, seen = self._paste(rng, canvas, float(face_height), center, light, turned)
            for i, other in enumerate(boxes):  # nearer heads hide farther ones
                overlap = np.prod(np.maximum(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0))
                visible[i] *= 1 - float(overlap / max(np.prod(other[2:] - other[:2]), 1.0))
            inside = np.minimum(box[2:], [width, height]) - np.maximum(box[:2], 0)
            if not turned and inside.min() > 1:
                boxes.append(box)
                visible.append(seen)
        decoys: list[FloatArray] = []
        for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.4, 0.3, 0.2, 0.1]))):
            side = height * float(np.exp(rng.uniform(np.log(0.06), np.log(0.7))))
            center = rng.uniform(0, 1, 2) * [width, height]
            box = np.concatenate([center - side / 2, center + side / 2]).astype(np.float32)
            near = [*boxes, *decoys]
            if near and box_iou(box[None], np.stack(near)).max() > 0.01:
                continue
            if rng.random() < 0.65:
                self._paste_things(rng, canvas, side, center, light)
            else:
                _draw_pattern(rng, canvas, side, center)
            decoys.append(box)
        pixels = camera.shoot(rng, np.clip(canvas, 0, 1))
        return Scene(pixels, np.stack(boxes).astype(np.float32) if boxes else np.zeros((0, 4), np.float32),
                     np.array(visible, np.float32),
                     np.stack(decoys) if decoys else np.zeros((0, 4), np.float32))

    def _paste_things(self, rng: np.random.Generator, canvas: FloatArray, side: float, center: FloatArray,
                      light: Light) -> None:
        """Draw what usually hides faces with nobody behind it: hands above all."""
        person = self._person(rng)
        window = max(24, int(np.ceil(side * 1.6)))
        pose = np.concatenate([rng.normal(0, [0.5, 0.7, 1.2]), [side / 170.0], np.full(2, window / 2)])
        anchors = self.faces.builder.anchors(person, self.faces.model.vertices(person.identity[None],
                                                                               np.zeros((1, 64), np.float32))[0])
        kinds = rng.choice(["hand", "blob", "cup", "microphone", "hat", "bar"], int(rng.integers(1, 3)),
                           p=[0.55, 0.1, 0.1, 0.08, 0.1, 0.07])
        pieces = [piece for kind in kinds for piece in MAKERS[str(kind)](rng, anchors)]
        drawing = draw([occluder_surface(piece, 0) for piece in pieces], pose.astype(np.float32), light, None, window,
                       window)
        covered = (drawing.kind != NOTHING).astype(np.float32)[..., None]
        _blend(canvas, np.concatenate([encode_srgb(drawing.color) * covered, covered], axis=-1), center)

    def _paste(self, rng: np.random.Generator, canvas: FloatArray, face_height: float, center: FloatArray,
               light: Light, turned: bool) -> tuple[FloatArray, float]:
        height, width = canvas.shape[:2]
        person = self._person(rng)
        expression = sample_expression(rng, self.faces.model, person.identity)
        rotation = sample_rotation(rng, self.config)
        if turned:
            rotation[1] = np.pi * float(rng.uniform(0.72, 1.28))
        window = int(np.ceil(face_height * 3.4))
        zoom = 2.0 if face_height < 60 else 1.5 if face_height < 120 else 1.0
        side = int(window * zoom)
        middle = np.full(2, side / 2)
        pose = self.faces.framed_pose(person, expression, rotation, face_height * 0.8 * zoom, middle)
        kinds = self.faces.choose_occluders(rng, self.config)
        distance_mm = float(np.exp(rng.uniform(*np.log(self.config.distance_mm))))
        take = self.faces.stage(rng, person, expression, kinds)
        shot = self.faces.shoot(rng, take, pose, light, side, side, distance_mm=distance_mm)
        covered = (shot.drawing.kind != NOTHING).astype(np.float32)
        layer = np.concatenate([encode_srgb(shot.drawing.color) * covered[..., None], covered[..., None]], axis=-1)
        if side != window:
            layer = cv2.resize(layer, (window, window), interpolation=cv2.INTER_AREA)
        left, top = np.round(center - window / 2).astype(int)
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + window, width), min(top + window, height)
        shift = np.array([left, top, left, top], np.float32)
        box = shot.box_xyxy / zoom + shift
        if x1 <= x0 or y1 <= y0:
            return box.astype(np.float32), 0.0
        _blend(canvas, layer, center)
        mask, _ = segment(shot, window)
        face = mask > 0
        inside = np.zeros_like(face)
        inside[y0 - top:y1 - top, x0 - left:x1 - left] = True
        seen = float(((mask == 1) & inside).sum()) / max(int(face.sum()), 1)
        clipped = np.array([max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height)], np.float32)
        return clipped, seen


def _blend(canvas: FloatArray, layer: FloatArray, center: FloatArray) -> None:
    """Lay a premultiplied (S, S, 4) layer centred on a point (2,) px over the canvas (H, W, 3), in place."""
    height, width = canvas.shape[:2]
    side = layer.shape[0]
    left, top = np.round(center - side / 2).astype(int)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    if x1 <= x0 or y1 <= y0:
        return
    part = layer[y0 - top:y1 - top, x0 - left:x1 - left]
    target = canvas[y0:y1, x0:x1]
    target *= 1 - part[..., 3:]
    target += part[..., :3]


def _draw_pattern(rng: np.random.Generator, canvas: FloatArray, side: float, center: FloatArray) -> None:
    """A print, badge or mark: a spot with two to five smaller spots in it, flat as ink."""
    size = max(16, int(side * 1.2))
    picture = np.zeros((size, size, 4), np.float32)
    middle = (size // 2, size // 2)
    whole = (max(3, int(size * rng.uniform(0.25, 0.42))), max(3, int(size * rng.uniform(0.25, 0.45))))
    angle = float(rng.uniform(-40, 40))
    if rng.random() < 0.7:
        cv2.ellipse(picture, middle, whole, angle, 0, 360, (*random_color(rng).tolist(), 1.0), -1, cv2.LINE_AA)
    ink = (*random_color(rng).tolist(), 1.0)
    for _ in range(int(rng.integers(2, 6))):
        spot = (int(middle[0] + rng.uniform(-0.6, 0.6) * whole[0]), int(middle[1] + rng.uniform(-0.6, 0.6) * whole[1]))
        axes = (max(1, int(size * rng.uniform(0.02, 0.13))), max(1, int(size * rng.uniform(0.02, 0.1))))
        cv2.ellipse(picture, spot, axes, float(rng.uniform(0, 180)), 0, 360, ink, -1, cv2.LINE_AA)
    _blend(canvas, picture, center)
