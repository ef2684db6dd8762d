"""Hands at the face: the body model's right hand (or its mirror image), posed by gestures and laid on the skin."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np

from rtface import ops
from rtface.errors import ModelFileError
from rtface.paths import WEIGHTS
from rtface.synth.background import random_color
from rtface.synth.piece import Anchors, Piece, paint_color
from rtface.synth.shapes import FloatArray, IntArray, Shape, cross, ellipsoid, tube

HAND_FORMAT: Final = 1
FINGERS: Final = ("thumb", "index", "middle", "ring", "little")


class Gesture(NamedTuple):
    """How a hand is held. Angles in rad; curl 0 = straight, 1 = fist."""

    curl: tuple[float, float, float, float, float]
    """Of thumb, index, middle, ring and little finger."""
    spread: float
    """Fingers apart: 0 as at rest."""
    touch: str
    """What comes to lie on the target: a finger's tip ("index"), "fingers" (their pads), "palm" or "knuckles"."""
    targets: tuple[int, ...]
    """Landmarks (68) to lie on."""
    fingers_up: float
    """Mean angle of the fingers from straight up in the picture; the right hand's turns inwards are positive."""
    palm: tuple[float, float, float]
    """Direction that the palm faces, in head space, for a right hand (seen at the left of the picture)."""
    lift_mm: tuple[float, float]
    """How far before the skin it stays."""


CLOSE: Final = (-1.5, 2.5)
GESTURES: Final = {
    "palm on the face": Gesture((0.1, 0.1, 0.1, 0.1, 0.15), 0.1, "palm", (33, 30, 29, 66, 3, 13, 36, 45), 0.3,
                                (0.1, 0.0, 1.0), CLOSE),
    "fingers over the mouth": Gesture((0.2, 0.15, 0.15, 0.2, 0.25), -0.1, "fingers", (62, 66, 51, 57, 48), 0.9,
                                      (0.3, 0.0, 1.0), CLOSE),
    "fingers over an eye": Gesture((0.2, 0.15, 0.15, 0.2, 0.3), 0.1, "fingers", (36, 39, 42, 45, 27), 0.35,
                                   (0.2, 0.0, 1.0), CLOSE),
    "cheek rest": Gesture((0.0, 0.25, 0.3, 0.35, 0.4), 0.0, "palm", (3, 4, 5), 0.1, (0.95, -0.2, 0.5), CLOSE),
    "chin on the fist": Gesture((0.6, 0.9, 0.95, 1.0, 1.0), 0.0, "knuckles", (6, 7, 8), 0.35, (0.35, -0.2, 0.8), CLOSE),
    "fist on the mouth": Gesture((0.6, 0.85, 0.9, 0.95, 0.95), 0.0, "knuckles", (62, 33, 57), 0.6, (0.4, 0.1, 0.9),
                                 CLOSE),
    "one finger": Gesture((0.55, 0.08, 0.9, 0.95, 0.95), 0.0, "index", (62, 30, 36, 33, 31, 3, 48, 19), 0.35,
                          (0.45, 0.0, 0.9), CLOSE),
    "thinking": Gesture((-0.1, 0.35, 0.75, 0.85, 0.9), 0.0, "index", (4, 5, 58, 3), 0.25, (0.5, -0.1, 0.85), CLOSE),
    "rubbing an eye": Gesture((0.5, 0.7, 0.8, 0.85, 0.85), 0.0, "index", (36, 39), 0.5, (0.3, 0.0, 0.95), CLOSE),
    "hand before the face": Gesture((0.15, 0.15, 0.1, 0.15, 0.2), 0.25, "palm", (30, 27, 33, 66, 2, 14), 0.0,
                                    (0.0, 0.0, 1.0), (20.0, 130.0)),
    "palm to the camera": Gesture((0.1, 0.05, 0.05, 0.05, 0.1), 0.35, "palm", (30, 27, 33, 66, 2, 14), 0.0,
                                  (0.0, 0.0, -1.0), (30.0, 140.0)),
    "sign": Gesture((0.3, 0.1, 0.1, 0.9, 0.9), 0.4, "palm", (57, 8, 6, 10, 33), 0.1, (0.0, 0.0, -1.0), (30.0, 120.0)),
}
"""Gestures by name; each is varied when it is drawn."""
_OFTEN: Final = {"cheek rest": 3.0, "chin on the fist": 2.0, "thinking": 1.5}
_WEIGHTS: Final = np.array([_OFTEN.get(name, 1.0) for name in GESTURES])
_ODDS: Final = _WEIGHTS / _WEIGHTS.sum()
"""People who are photographed lean on their hands."""


@dataclass(frozen=True, slots=True, eq=False)
class Posed:
    """A right hand in its own frame (mm; x to the little finger, y along the middle one, z out of the palm)."""

    vertices: FloatArray
    """(V, 3)."""
    joints: FloatArray
    """(22, 3): heads of the bones, then the tips of the five fingers."""


class HandModel:
    """Mean, modes, skinning and joints of ``hand.npz``."""

    def __init__(self, folder: Path = WEIGHTS) -> None:
        """folder: where hand.npz and hand.json lie. Raises ModelFileError where they are missing or of another
        format."""
        path = folder / "hand.npz"
        try:
            info = json.loads((folder / "hand.json").read_text())
            with np.load(path) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except (OSError, ValueError) as error:
            raise ModelFileError(f"{path}: {error}; rebuild it with: python -m rtface.synth.basis_hand") from error
        if info["format"] != HAND_FORMAT:
            raise ModelFileError(f"{path}: got format {info['format']}, expected {HAND_FORMAT}; rebuild it with: "
                                 "python -m rtface.synth.basis_hand")
        self.parents: tuple[int, ...] = tuple(info["parents"])
        self.mean = np.concatenate([arrays["mean"], arrays["joints"]]).astype(np.float32)
        self.modes = np.concatenate([arrays["modes"], arrays["joint_modes"]]).astype(np.float32)
        weights = arrays["weights"].astype(np.float32)
        self.weights = weights / weights.sum(axis=1, keepdims=True)  # stored in half precision
        quads = arrays["quads"].astype(np.int32)
        self.triangles: IntArray = np.ascontiguousarray(np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]))
        """(F, 3) int32."""
        self.count = len(self.weights)

    @cached_property
    def palmar(self) -> FloatArray:
        """(V,) 1 on the palm's side, 0 on the back, of the mean hand."""
        normals = ops.vertex_normals(self.mean[None, :self.count], self.triangles)[0]
        away = normals[:, 2] * self.outward
        return np.clip(0.5 + 1.2 * away, 0, 1).astype(np.float32)

    @cached_property
    def outward(self) -> float:
        """1 where the triangles' normals point outwards, else −1."""
        vertices = self.mean[:self.count]
        normals = ops.vertex_normals(vertices[None], self.triangles)[0]
        fingers = self.weights[:, 8:11].sum(axis=1) > 0.9
        middle = vertices[fingers].mean(axis=0)
        return 1.0 if float(((vertices[fingers] - middle) * normals[fingers]).sum()) > 0 else -1.0

    @cached_property
    def nail(self) -> FloatArray:
        """(V,) 1 where finger nails are: the back of the last bones, towards the tips."""
        cover = np.zeros(self.count, np.float32)
        for finger in range(5):
            bone = 4 + 3 * finger
            start, tip = self.mean[self.count + bone], self.mean[self.count + 17 + finger]
            along = (self.mean[:self.count] - start) @ (tip - start) / float((tip - start) @ (tip - start))
            cover += (self.weights[:, bone] > 0.6) * (along > 0.45) * (along < 0.98) * (self.palmar < 0.12)
        return np.minimum(cover, 1)

    def shape(self, coefficients: FloatArray) -> FloatArray:
        """coefficients (8,) standard deviations → (V + 22, 3) mm: vertices and joints at rest."""
        return np.asarray(self.mean + self.modes @ coefficients.astype(np.float32), np.float32)

    def pose(self, coefficients: FloatArray, curl: FloatArray, spread: float, wrist_rad: float) -> Posed:
        """Bend the fingers (5,) curl 0..1 and the wrist; linear blend skinning."""
        rest = self.shape(coefficients)
        joints = rest[self.count:]
        turn = [np.eye(3)] * len(self.parents)
        turn[1] = rotation(np.array([1.0, 0, 0]), wrist_rad)
        for finger in range(5):
            first = 2 + 3 * finger
            ends = np.concatenate([joints[first:first + 3], joints[17 + finger:18 + finger]])
            for k in range(3):
                along = (ends[k + 1] - ends[k]) / np.linalg.norm(ends[k + 1] - ends[k])
                towards = np.array([0.75, 0.1, 0.65]) if finger == 0 else np.array([0.0, 0.0, 1.0])
                axis = cross(along, towards)
                reach = (0.45, 0.55, 0.9)[k] if finger == 0 else (1.3, 1.45, 0.8)[k]
                bend = rotation(axis / np.linalg.norm(axis), float(curl[finger]) * reach)
                if k == 0 and finger:
                    bend = rotation(np.array([0, 0, 1.0]), spread * (0.22, 0.05, -0.1, -0.28)[finger - 1]) @ bend
                turn[first + k] = bend
        world: list[tuple[FloatArray, FloatArray]] = []
        for bone, parent in enumerate(self.parents):
            if parent < 0:
                world.append((np.eye(3), np.zeros(3)))
                continue
            rotated, moved = world[parent]
            whole = rotated @ turn[bone]
            world.append((whole, rotated @ joints[bone] + moved - whole @ joints[bone]))
        rotations = np.stack([r for r, _ in world]).astype(np.float32)
        moves = np.stack([t for _, t in world]).astype(np.float32)
        vertices = np.einsum("vb,bij,vj->vi", self.weights, rotations, rest[:self.count], optimize=True)
        vertices += self.weights @ moves
        owner = [*range(17), *range(4, 17, 3)]
        placed = np.einsum("kij,kj->ki", rotations[owner], joints) + moves[owner]
        # the forearm turns, not the hand
        wrist, back = placed[1].copy(), rotations[1].T
        return Posed(((vertices - wrist) @ back.T).astype(np.float32), ((placed - wrist) @ back.T).astype(np.float32))


def rotation(axis: FloatArray, angle: float) -> FloatArray:
    """(3, 3) around a unit axis by ``angle`` rad (Rodrigues)."""
    return np.asarray(cv2.Rodrigues(np.asarray(axis, np.float64) * angle)[0])


_MODEL: list[HandModel] = []


def hand_model() -> HandModel:
    """The shipped hand, read once per process."""
    if not _MODEL:
        _MODEL.append(HandModel())
    return _MODEL[0]


def touch_point(posed: Posed, touch: str) -> FloatArray:
    """(3,) mm in the hand's frame of what lies on the target."""
    joints = posed.joints
    if touch in FINGERS:
        return joints[17 + FINGERS.index(touch)]
    if touch == "fingers":
        return (joints[[6, 9, 12]].mean(axis=0) + joints[[7, 10, 13]].mean(axis=0)) / 2
    if touch == "knuckles":
        return joints[[6, 9, 12]].mean(axis=0)
    return (joints[1] + joints[8]) / 2 + np.array([0, 12.0, 0])


def aim(fingers_up: float, palm: FloatArray) -> FloatArray:
    """(3, 3) columns x, y, z of the hand in head space: fingers at an angle from straight up, palm facing ``palm``."""
    z = np.asarray(palm, np.float64) / np.linalg.norm(palm)
    up = np.array([np.sin(fingers_up), -np.cos(fingers_up), 0.0])
    y = up - z * (up @ z)
    y /= np.linalg.norm(y)
    return np.stack([cross(z, y), y, z], axis=1)  # a right hand's frame is left-handed


def skin_depth(surface: FloatArray, points: FloatArray, cell_mm: float = 6.0) -> FloatArray:
    """(P,) z of the nearest skin (S, 3) in front, below points (P, 3); +inf beside the face."""
    low = surface[:, :2].min(axis=0)
    shape = np.ceil((surface[:, :2].max(axis=0) - low) / cell_mm).astype(int) + 1
    grid = np.full((shape[1], shape[0]), np.inf, np.float32)
    at = ((surface[:, :2] - low) / cell_mm).astype(int)
    np.minimum.at(grid, (at[:, 1], at[:, 0]), surface[:, 2])
    filled = cv2.erode(grid, np.ones((3, 3), np.uint8))
    grid = np.where(np.isinf(grid), filled, grid)
    cell = ((points[:, :2] - low) / cell_mm).astype(int)
    inside = ((cell >= 0) & (cell < shape)).all(axis=1)
    depth = np.full(len(points), np.inf, np.float32)
    depth[inside] = grid[cell[inside, 1], cell[inside, 0]]
    return depth


def rest_on(vertices: FloatArray, surface: FloatArray, lift_mm: float) -> float:
    """How far (mm along z) to move a hand (V, 3) so that it just touches the skin and then stays ``lift_mm`` off."""
    gap = skin_depth(surface, vertices) - vertices[:, 2]
    gap = gap[np.isfinite(gap)]
    return float(np.quantile(gap, 0.03)) - lift_mm if len(gap) > 20 else -lift_mm


def hand(rng: np.random.Generator, anchors: Anchors) -> list[Piece]:
    """A hand in one of :data:`GESTURES`, now and then with a sleeve, a ring or a glove."""
    model = hand_model()
    gesture = GESTURES[str(rng.choice(list(GESTURES), p=_ODDS))]
    coefficients = np.clip(rng.normal(0, 1, model.modes.shape[2]), -2, 2)
    coefficients[0] = np.clip(rng.normal(0, 0.5), -1.0, 1.0)
    curl = np.array(gesture.curl) + rng.normal(0, 0.05) + rng.normal(0, 0.06, 5)
    posed = model.pose(coefficients, np.clip(curl, -0.1, 1.05), gesture.spread + float(rng.normal(0, 0.25)),
                       float(rng.normal(0, 0.3)))
    left = rng.random() < 0.5
    axes = aim(gesture.fingers_up + float(rng.normal(0, 0.3)), np.array(gesture.palm) + rng.normal(0, 0.13, 3))
    target = anchors.landmarks[int(rng.choice(gesture.targets))].astype(np.float64)
    if left:  # the gesture is described for the right hand; the left is its mirror image at the mirrored place
        target = target * [-1, 1, 1]
    target[:2] += rng.normal(0, 7, 2)
    offset = target - axes @ touch_point(posed, gesture.touch)
    vertices = posed.vertices @ axes.T + offset
    surface = anchors.surface * (np.array([-1, 1, 1], np.float32) if left else 1)
    shift = rest_on(vertices.astype(np.float32), surface, float(rng.uniform(*gesture.lift_mm)))
    move = np.array([0.0, 0.0, shift])
    elbow, wrist, ring = ((posed.joints[k] @ axes.T + offset + move) for k in (0, 1, 11))
    pieces = [_skin(rng, model, (vertices + move).astype(np.float32), anchors.skin)]
    pieces += _worn(rng, elbow, wrist, ring, (posed.joints[12] - posed.joints[11]) @ axes.T)
    return [_mirrored(piece) for piece in pieces] if left else pieces


def grip(rng: np.random.Generator, anchors: Anchors, at: FloatArray, along: FloatArray,
         radius_mm: float) -> list[Piece]:
    """A hand closed around a stick of ``radius_mm`` at (3,) mm; ``along`` (3,) unit points to its lower end."""
    model = hand_model()
    coefficients = np.clip(rng.normal(0, 1, model.modes.shape[2]), -2, 2)
    coefficients[0] = np.clip(rng.normal(0, 0.4), -0.8, 0.8)
    closed = float(np.clip(1.05 - radius_mm / 60, 0.35, 0.9))
    curl = closed + rng.normal(0, 0.05, 5) - np.array([0.25, 0, 0, 0, 0])
    posed = model.pose(coefficients, curl, float(rng.normal(-0.1, 0.1)), float(rng.normal(0, 0.2)))
    left = rng.random() < 0.5
    x = along * [-1, 1, 1] if left else along
    fingers = rotation(x, float(rng.normal(0, 0.5))) @ np.array([0.75, 0.0, 0.65])
    y = fingers - x * (fingers @ x)
    y /= np.linalg.norm(y)
    axes = np.stack([x, y, cross(y, x)], axis=1)
    held = (posed.joints[1] * 0.25 + posed.joints[8] * 0.75) + np.array([0, 0, radius_mm + 12.0])
    offset = (at * [-1, 1, 1] if left else at) - axes @ held
    skin = _skin(rng, model, (posed.vertices @ axes.T + offset).astype(np.float32), anchors.skin)
    elbow, wrist, ring = ((posed.joints[k] @ axes.T + offset) for k in (0, 1, 11))
    pieces = [skin, *_worn(rng, elbow, wrist, ring, (posed.joints[12] - posed.joints[11]) @ axes.T)]
    return [_mirrored(piece) for piece in pieces] if left else pieces


def _skin(rng: np.random.Generator, model: HandModel, vertices: FloatArray, face_skin: FloatArray) -> Piece:
    """The hand itself, coloured per vertex: paler palm, redder knuckles and tips, nails."""
    if rng.random() < 0.06:  # glove
        return Piece(Shape(vertices, model.triangles), paint_color(rng), float(rng.choice([0.05, 0.4])))
    base = face_skin * np.exp(rng.normal(0, 0.12)) * np.exp(rng.normal(0, 0.04, 3))
    luma = float(base @ np.array([0.21, 0.72, 0.07]))
    palm = base + model.palmar[:, None] * max(0.0, 0.28 - luma) * np.array([0.8, 0.5, 0.4])
    tips = model.weights[:, [4, 7, 10, 13, 16]].sum(axis=1)
    red = rng.uniform(0.0, 0.25) * tips + rng.uniform(0.0, 0.15) * model.palmar
    color = palm * np.exp(-red[:, None] * np.array([0.1, 0.6, 0.5]))
    color = color * np.exp(rng.normal(0, 0.035, (model.count, 1)))
    nails = paint_color(rng) if rng.random() < 0.2 else np.minimum(base * 1.15 + np.array([0.05, 0.03, 0.03]), 0.9)
    color = color + model.nail[:, None] * (nails - color) * 0.85
    return Piece(Shape(vertices, model.triangles), np.clip(color, 0.005, 0.95).astype(np.float32), 0.12, 1.0)


def _worn(rng: np.random.Generator, elbow: FloatArray, wrist: FloatArray, ring: FloatArray,
          along: FloatArray) -> list[Piece]:
    """Sleeve, watch or bracelet, ring."""
    pieces = []
    arm = (elbow - wrist) / np.linalg.norm(elbow - wrist)
    if rng.random() < 0.55:
        start = wrist + arm * rng.uniform(5, 110)
        path = np.linspace(start, elbow + arm * 60, 8).astype(np.float32)
        radii = np.linspace(rng.uniform(33, 42), rng.uniform(48, 62), 8) + rng.normal(0, 1.2, 8)
        pieces.append(Piece(tube(path, radii.astype(np.float32), sides=18), paint_color(rng), 0.02))
    elif rng.random() < 0.3:
        middle = wrist + arm * rng.uniform(8, 25)
        half = rng.uniform(2, 9)
        path = np.stack([middle - arm * half, middle, middle + arm * half]).astype(np.float32)
        pieces.append(Piece(tube(path, np.full(3, 33.0, np.float32), sides=20),
                            (random_color(rng) ** 2.2).astype(np.float32), 0.6))
    if rng.random() < 0.12:
        middle = ring + along * 0.4
        unit = along / np.linalg.norm(along)
        flat = ellipsoid(middle, np.eye(3) * 10.5 - np.outer(unit, unit) * 8.5)
        pieces.append(Piece(flat, np.array([0.75, 0.6, 0.25], np.float32), 1.0))
    return pieces


def _mirrored(piece: Piece) -> Piece:
    shape = piece.shape
    return piece._replace(shape=Shape((shape.vertices * np.array([-1, 1, 1])).astype(np.float32),
                                      np.ascontiguousarray(shape.triangles[:, ::-1])))
