"""Things before a face, as meshes in head space (mm; x right, y down, z away, so "in front" is −z).

Every maker takes a random generator and :class:`Anchors` and returns pieces; they are rendered in the same depth
buffer as the head, so that spectacle arms vanish behind temples and fingers rest on cheeks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from rtface.synth.background import random_color
from rtface.synth.shapes import FloatArray, Shape, box, capsule, cylinder, ellipsoid, fan, join, sheet, tube


class Anchors(NamedTuple):
    """Where things attach."""

    landmarks: FloatArray
    """(68, 3) mm of this face with its expression."""
    surface: FloatArray
    """(P, 3) mm, points of the face, dense enough to lay cloth on."""
    skin: FloatArray
    """(3,) linear RGB, mean skin colour (hands resemble it)."""


class Piece(NamedTuple):
    """One mesh with its looks."""

    shape: Shape
    color: FloatArray
    """(3,) linear RGB."""
    gloss: float
    """Strength of the specular highlight."""


def _superellipse(center: FloatArray, half_width: float, half_height: float, power: float, wrap: float,
                  count: int = 28) -> FloatArray:
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    x = np.sign(np.cos(t)) * np.abs(np.cos(t)) ** power * half_width
    y = np.sign(np.sin(t)) * np.abs(np.sin(t)) ** power * half_height
    points = np.stack([center[0] + x, center[1] + y, np.full(count, center[2])], 1)
    points[:, 2] += wrap * (points[:, 0] ** 2) / 1000
    return points.astype(np.float32)


def _spectacles(rng: np.random.Generator, anchors: Anchors, dark: bool) -> list[Piece]:
    points = anchors.landmarks
    right, left = points[36:42].mean(0), points[42:48].mean(0)
    spacing = float(np.linalg.norm(left - right))
    plane = min(right[2], left[2], points[27, 2] + 4) - rng.uniform(7, 13)
    half_width = spacing * rng.uniform(0.34, 0.45)
    half_height = half_width * rng.uniform(0.6, 1.0)
    power, wrap = float(rng.choice([0.45, 0.7, 1.0])), float(rng.uniform(0.5, 3.0))
    drop = rng.uniform(-2, 6)
    radius = float(rng.uniform(0.6, 2.8)) if not dark else float(rng.uniform(0.8, 2.5))
    frame_color = random_color(rng) ** 2.2 * rng.choice([0.1, 1.0])
    frame: list[Shape] = []
    lenses: list[Shape] = []
    for center, side in ((right, -1.0), (left, 1.0)):
        middle = np.array([center[0], center[1] + drop, plane], np.float32)
        outline = _superellipse(middle, half_width, half_height, power, wrap)
        frame.append(tube(np.concatenate([outline, outline[:2]]), radius, sides=6))
        if dark:
            lenses.append(fan(outline, bulge=float(rng.uniform(1, 4))))
        hinge = outline[np.argmax(outline[:, 0] * side)]
        ear = points[0] if side < 0 else points[16]
        arm = np.stack([hinge, [ear[0] + side * 2, hinge[1] - 2, hinge[2] + 18],
                        [ear[0] + side * 3, hinge[1], ear[2] + 8], [ear[0] + side * 2, hinge[1] + 6, ear[2] + 22]])
        frame.append(tube(arm.astype(np.float32), max(radius, 1.2), sides=6))
    inner = np.array([[right[0] + half_width, right[1] + drop - 0.2 * half_height, plane],
                      [(right[0] + left[0]) / 2, right[1] + drop - 0.3 * half_height, plane - 2],
                      [left[0] - half_width, left[1] + drop - 0.2 * half_height, plane]], np.float32)
    frame.append(tube(inner, max(radius, 1.0), sides=6))
    pieces = [Piece(join(frame), frame_color.astype(np.float32), 0.5)]
    if dark:
        tint = (random_color(rng) ** 2.2 * rng.choice([0.02, 0.08, 0.25])).astype(np.float32)
        pieces.append(Piece(join(lenses), tint, 1.0))
    return pieces


def glasses(rng: np.random.Generator, anchors: Anchors) -> list[Piece]:
    """Spectacle frames with clear (not drawn) lenses."""
    return _spectacles(rng, anchors, dark=False)


def sunglasses(rng: np.random.Generator, anchors: Anchors) -> list[Piece]:
    """Spectacles with dark lenses."""
    return _spectacles(rng, anchors, dark=True)


def _drape(x: FloatArray, y: FloatArray, surface: FloatArray, reach_mm: float) -> FloatArray:
    """z (R, C) mm of cloth over a grid x, y (R, C): the nearest-to-camera skin within reach, smoothed."""
    low, high = x.min() - reach_mm, x.max() + reach_mm
    front = surface[(surface[:, 2] < np.median(surface[:, 2]) + 40) & (surface[:, 0] > low) & (surface[:, 0] < high)]
    distance = (x.reshape(-1, 1) - front[None, :, 0]) ** 2 + (y.reshape(-1, 1) - front[None, :, 1]) ** 2
    z = np.where(distance < reach_mm**2, front[None, :, 2], np.inf).min(axis=1)
    nearest = front[np.argmin(distance, axis=1), 2] + np.sqrt(distance.min(axis=1))
    z = np.where(np.isfinite(z), z, nearest).reshape(x.shape).astype(np.float32)
    return cv2.blur(cv2.erode(z, np.ones((3, 3), np.uint8)), (3, 3))


def mask(rng: np.random.Generator, anchors: Anchors) -> list[Piece]:
    """A medical or cloth mask over nose, mouth and chin, with ear loops."""
    points = anchors.landmarks
    top = points[28 if rng.random() < 0.75 else 30, 1] + rng.uniform(-4, 6)
    bottom = points[8, 1] + rng.uniform(-4, 9)
    rows, columns = 14, 25
    v, u = np.linspace(0, 1, rows)[:, None], np.linspace(-1, 1, columns)[None]
    reach = rng.uniform(0.72, 0.98)
    jaw_right, jaw_left = points[2, 0] * (1 - v) + points[5, 0] * v, points[14, 0] * (1 - v) + points[11, 0] * v
    center = points[30, 0] * (1 - v) + points[8, 0] * v
    x = center + u * reach * np.where(u < 0, center - jaw_right, jaw_left - center)
    rim = top + (0.28 * abs(points[8, 1] - points[28, 1]) * u**2)
    y = rim * (1 - v) + (bottom - 6 * u**2) * v
    z = _drape(x, y, anchors.surface, float(rng.uniform(5, 11))) - rng.uniform(1.5, 6)
    if rng.random() < 0.6:  # pleats
        z += 1.2 * np.abs((v * rng.integers(3, 6)) % 1.0 - 0.5)
    color = (np.array([0.35, 0.6, 0.8]) * rng.uniform(0.6, 1.1) if rng.random() < 0.35
             else np.full(3, rng.uniform(0.6, 0.95)) if rng.random() < 0.4 else random_color(rng) ** 2.2)
    cloth = Piece(sheet(np.stack([x, y, z], -1)), color.astype(np.float32), 0.05)
    loops = []
    for column, ear in ((0, points[0]), (-1, points[16])):
        side = -1.0 if column == 0 else 1.0
        for row in (0, rows - 1):
            start = np.array([x[row, column], y[row, column], z[row, column]])
            end = np.array([ear[0] + side * 4, ear[1] - 4 if row == 0 else ear[1] + 16, ear[2] + 18])
            middle = (start + end) / 2 + np.array([side * 5, 0, -3])
            loops.append(tube(np.stack([start, middle, end]).astype(np.float32), 1.3, sides=5))
    return [cloth, Piece(join(loops), np.full(3, 0.7, np.float32), 0.05)]


def hand(rng: np.random.Generator, anchors: Anchors) -> list[Piece]:
    """Palm, four fingers, a thumb and a forearm, laid on or held before the face."""
    points = anchors.landmarks
    target = points[rng.choice([66, 30, 4, 12, 36, 45, 8, 27, 2, 14, 48, 54])].astype(np.float64).copy()
    target[:2] += rng.normal(0, 10, 2)
    tilt = rng.normal(0, 0.9)  # of the fingers' direction, from straight up in the picture
    up = np.array([np.sin(tilt), -np.cos(tilt), rng.normal(0, 0.15)])
    up /= np.linalg.norm(up)
    front = np.array([0.0, 0.0, -1.0])
    across = np.cross(up, front) * rng.choice([-1.0, 1.0])
    across /= np.linalg.norm(across)
    front = np.cross(across, up)
    front *= -np.sign(front[2]) if front[2] else 1.0
    size = rng.uniform(0.85, 1.15)
    lift = rng.uniform(6, 14) if rng.random() < 0.7 else rng.uniform(14, 70)
    palm = target + front * lift - up * rng.uniform(20, 75) * size
    spread, curl = rng.uniform(0.0, 0.22), rng.uniform(0, 0.9)
    shapes = [ellipsoid(palm, np.stack([across * 40, up * 48, front * 13]) * size)]
    for index, offset in enumerate((-1.5, -0.5, 0.5, 1.5)):
        bend = curl * rng.uniform(0.4, 1.3) if rng.random() < 0.8 else 1.6
        base = palm + (up * 40 + across * 19 * offset) * size
        direction = up + across * spread * offset
        direction /= np.linalg.norm(direction)
        radius = 8.6 * size
        for length in np.array([42.0, 26.0, 21.0]) * size * (0.86 if index in (0, 3) else 1.0):
            tip = base + direction * length
            shapes.append(capsule(base, tip, radius, radius * 0.92, sides=9))
            base, radius = tip, radius * 0.92
            turned = direction * np.cos(bend * 0.55) - front * np.sin(bend * 0.55)
            direction = turned / np.linalg.norm(turned)
    thumb = palm + across * -38 * size
    knuckle = thumb + (up * 32 - across * 22 * rng.uniform(0.2, 1)) * size
    shapes += [capsule(thumb, knuckle, 11 * size, 9.5 * size, sides=9),
               capsule(knuckle, knuckle + (up * 28 + across * rng.uniform(-6, 14)) * size, 9.5 * size, 8 * size,
                       sides=9)]
    wrist = palm - up * 52 * size
    elbow = wrist - up * 210 + np.array([rng.normal(0, 50), 30, 0])
    shapes.append(capsule(wrist, elbow, 24 * size, 36 * size, sides=14))
    skin = np.clip(anchors.skin * np.exp(rng.normal(0, 0.12)) * np.exp(rng.normal(0, 0.04, 3)), 0, 1)
    if rng.random() < 0.08:  # glove
        skin = random_color(rng) ** 2.2
    return [Piece(join(shapes), skin.astype(np.float32), 0.12)]


def microphone(rng: np.random.Generator, anchors: Anchors) -> list[Piece]:
    """A hand-held or stand microphone near the mouth."""
    mouth = anchors.landmarks[[51, 57]].mean(0)
    head = mouth + np.array([rng.normal(0, 16), rng.uniform(-2, 32), -rng.uniform(22, 60)])
    down = np.array([rng.normal(0, 0.5), 1.0, rng.normal(0, 0.35)])
    down /= np.linalg.norm(down)
    radius = rng.uniform(17, 30)
    end = head + down * rng.uniform(120, 220)
    gray = np.full(3, rng.choice([0.02, 0.1, 0.35]))
    pieces = [Piece(ellipsoid(head, np.eye(3) * radius), gray.astype(np.float32), 0.25),
              Piece(cylinder(head + down * radius * 0.6, end, radius * 0.62, radius * 0.45),
                    (gray * rng.uniform(0.4, 1.2)).astype(np.float32), 0.6)]
    return pieces


def cup(rng: np.random.Generator, anchors: Anchors) -> list[Piece]:
    """A cup, bottle or glass at the mouth."""
    mouth = anchors.landmarks[62]
    tilt = rng.uniform(-0.2, 0.9)
    axis = np.array([rng.normal(0, 0.2), np.cos(tilt), -np.sin(tilt)])
    axis /= np.linalg.norm(axis)
    radius = rng.uniform(22, 42)
    rim = mouth + np.array([rng.normal(0, 6), rng.uniform(-6, 12), -radius * 0.75])
    shape = cylinder(rim, rim + axis * rng.uniform(70, 150), radius, radius * rng.uniform(0.55, 1.0))
    return [Piece(shape, (random_color(rng) ** 2.2).astype(np.float32), 0.6)]


def bar(rng: np.random.Generator, anchors: Anchors) -> list[Piece]:
    """Poles, cables, straps, phones and books: straight things crossing the face."""
    points = anchors.landmarks
    middle = points[rng.integers(68)] + np.array([rng.normal(0, 15), rng.normal(0, 15), -rng.uniform(20, 70)])
    angle = rng.uniform(0, np.pi)
    along = np.array([np.cos(angle), np.sin(angle), rng.normal(0, 0.2)])
    if rng.random() < 0.5:
        shape = cylinder(middle - along * 220, middle + along * 220, *([rng.uniform(2, 18)] * 2))
    else:
        across = np.array([-np.sin(angle), np.cos(angle), rng.normal(0, 0.2)])
        half = (rng.uniform(30, 75), rng.uniform(12, 45), 4.0)
        shape = box(middle, np.stack([along * half[0], across * half[1], np.array([0, 0, half[2]])]))
    return [Piece(shape, (random_color(rng) ** 2.2).astype(np.float32), float(rng.uniform(0, 0.7)))]


def blob(rng: np.random.Generator, anchors: Anchors) -> list[Piece]:
    """Food, leaves, balls: rounded and pointed random bodies."""
    points = anchors.landmarks
    pieces = []
    for _ in range(int(rng.integers(1, 4))):
        center = points[rng.integers(68)] + np.array([rng.normal(0, 15), rng.normal(0, 15), -rng.uniform(4, 40)])
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        half = np.exp(rng.uniform(np.log(6), np.log(45), 3))
        shape = ellipsoid(center, turn * half[:, None])
        bumps = 1 + rng.uniform(0, 0.3) * rng.standard_normal(len(shape.vertices))
        vertices = center + (shape.vertices - center) * bumps[:, None]
        pieces.append(Piece(Shape(vertices.astype(np.float32), shape.triangles),
                            (random_color(rng) ** 2.2).astype(np.float32), float(rng.uniform(0, 0.6))))
    return pieces


def scarf(rng: np.random.Generator, anchors: Anchors) -> list[Piece]:
    """Cloth wound around neck and chin, now and then up to the nose."""
    points = anchors.landmarks
    chin, jaw = points[8], points[[4, 12]]
    top = points[33, 1] if rng.random() < 0.35 else chin[1] - rng.uniform(-10, 12)
    center = np.array([chin[0], 0, (jaw[:, 2].mean() + 35)])
    half_width, depth = abs(jaw[1, 0] - jaw[0, 0]) / 2 + 14, jaw[:, 2].mean() + 35 - chin[2] + 16
    t = np.linspace(-np.pi, np.pi, 40)
    color = (random_color(rng) ** 2.2).astype(np.float32)
    pieces = []
    y = top + 14
    while y < chin[1] + 75:
        sway = rng.normal(0, 5)
        path = np.stack([center[0] + np.sin(t) * half_width, y + sway * np.cos(t) + 14 * (1 - np.cos(t)) * -0.5,
                         center[2] - np.cos(t) * depth], 1)
        pieces.append(Piece(tube(path.astype(np.float32), float(rng.uniform(14, 20)), sides=9), color, 0.03))
        y += 20
    return pieces


def hat(rng: np.random.Generator, anchors: Anchors) -> list[Piece]:
    """A knitted cap, a baseball cap, a brimmed hat or a helmet: a dome from the brow upwards, now and then a brim."""
    points = anchors.landmarks
    right, left = points[0], points[16]
    brow = float(points[17:27, 1].min())
    rim = brow - rng.uniform(-6, 26)
    half_width = abs(left[0] - right[0]) / 2 + rng.uniform(10, 20)
    front = float(points[27, 2]) - rng.uniform(2, 14)
    depth = float((right[2] + left[2]) / 2 + 95 - front) / 2 + rng.uniform(4, 14)
    center = np.array([(right[0] + left[0]) / 2, rim, front + depth])
    height = rng.uniform(95, 135)
    tilt, lean = rng.normal(0, 0.06), rng.normal(0.12, 0.1)  # lower at the back
    theta = np.linspace(0, np.pi / 2, 9)[:, None] ** 0.9
    phi = np.linspace(0, 2 * np.pi, 33)[None]
    profile = np.sin(theta) ** rng.uniform(0.6, 1.0)
    x, z = profile * np.cos(phi) * half_width, profile * np.sin(phi) * depth
    y = -np.cos(theta) * height + 0 * phi + profile * (np.cos(phi) * half_width * tilt + np.sin(phi) * depth * lean)
    dome = sheet(center + np.stack([x, y, z], -1))
    color = (random_color(rng) ** 2.2).astype(np.float32)
    pieces = [Piece(dome, color, float(rng.choice([0.02, 0.5], p=[0.8, 0.2])))]
    style = rng.random()
    if style < 0.7:
        around = rng.uniform(0.5, 1.1) if style < 0.4 else np.pi  # peak in front, or all around
        angle = np.linspace(-np.pi / 2 - around, -np.pi / 2 + around, 25)[None]
        out = np.linspace(0, 1, 5)[:, None]
        reach = rng.uniform(25, 75) * (np.cos((angle + np.pi / 2) / around * np.pi / 2.02) ** 0.5
                                       if style < 0.4 else 1.0)
        bx = np.cos(angle) * (half_width + out * reach)
        bz = np.sin(angle) * (depth + out * reach)
        by = np.cos(angle) * half_width * tilt + np.sin(angle) * depth * lean + out * reach * rng.uniform(-0.1, 0.45)
        pieces.append(Piece(sheet((center + np.stack([bx, by, bz], -1)).astype(np.float32)),
                            (color if rng.random() < 0.7 else random_color(rng) ** 2.2).astype(np.float32), 0.05))
    else:
        side, back = np.cos(phi[0]) * half_width, np.sin(phi[0]) * depth
        band = np.stack([side, side * tilt + back * lean, back], -1)
        pieces.append(Piece(tube((center + band).astype(np.float32), float(rng.uniform(2, 11)), sides=6), color, 0.05))
    return pieces


MAKERS: dict[str, Callable[[np.random.Generator, Anchors], list[Piece]]] = {
    "glasses": glasses, "sunglasses": sunglasses, "mask": mask, "hand": hand, "microphone": microphone,
    "cup": cup, "bar": bar, "blob": blob, "scarf": scarf,
    "hat": hat,
}
"""Maker of every kind in :data:`rtface.synth.config.OCCLUDER_KINDS`."""
