"""What people wear on and around the face, as meshes in head space; see :mod:`rtface.synth.occluders`."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from rtface.synth.background import random_color
from rtface.synth.piece import Anchors, Piece, paint_color, pattern
from rtface.synth.shapes import FloatArray, Shape, ellipsoid, fan, join, sheet, tube


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


def _drape(x: FloatArray, y: FloatArray, surface: FloatArray, reach_mm: float, cells: int = 3) -> FloatArray:
    """z (R, C) mm of cloth over a grid x, y (R, C): the nearest-to-camera skin within reach, smoothed over cells."""
    low, high = x.min() - reach_mm, x.max() + reach_mm
    front = surface[(surface[:, 2] < np.median(surface[:, 2]) + 40) & (surface[:, 0] > low) & (surface[:, 0] < high)]
    distance = (x.reshape(-1, 1) - front[None, :, 0]) ** 2 + (y.reshape(-1, 1) - front[None, :, 1]) ** 2
    z = np.where(distance < reach_mm**2, front[None, :, 2], np.inf).min(axis=1)
    nearest = front[np.argmin(distance, axis=1), 2] + np.sqrt(distance.min(axis=1))
    z = np.where(np.isfinite(z), z, nearest).reshape(x.shape).astype(np.float32)
    return cv2.blur(cv2.erode(z, np.ones((cells, cells), np.uint8)), (cells, cells))


def _cloth_color(rng: np.random.Generator, skin: FloatArray) -> tuple[FloatArray, bool]:
    """(3,) linear RGB of a mask, and whether such masks are plain: surgical blue, white, black, near the skin, any."""
    style = rng.random()
    if style < 0.2:
        color, plain = np.array([0.35, 0.6, 0.8]) * rng.uniform(0.6, 1.1), True
    elif style < 0.4:
        color, plain = np.full(3, rng.uniform(0.6, 0.95)) + rng.normal(0, 0.02, 3), True
    elif style < 0.52:
        color, plain = np.full(3, rng.uniform(0.01, 0.05)), False
    elif style < 0.7:  # rose, beige, brown: little but folds and rims tells it from skin
        color, plain = skin * np.exp(rng.normal(0.25, 0.3) + rng.normal(0, 0.12, 3)), False
    else:
        color, plain = random_color(rng) ** 2.2, False
    return np.clip(color, 0.005, 0.97).astype(np.float32), plain


def _print(rng: np.random.Generator, places: FloatArray, color: FloatArray) -> FloatArray:
    """(V, 3) linear RGB of cloth with a few printed figures; places (V, 2): −1..1 across, 0..1 down."""
    color, ink = np.broadcast_to(color, (len(places), 3)).copy(), (random_color(rng) ** 2.2 * rng.uniform(0, 1))
    for _ in range(int(rng.integers(1, 6))):
        middle = rng.uniform((-0.6, 0.25), (0.6, 0.85))
        for _ in range(int(rng.integers(1, 5))):  # a figure is some ellipses that overlap
            part = middle + rng.normal(0, 0.05, 2)
            inside = (((places - part) / rng.uniform(0.03, 0.14, 2)) ** 2).sum(axis=1) < 1
            color[inside] = ink
        if rng.random() < 0.3:
            ink = random_color(rng) ** 2.2
    return np.asarray(color, np.float32)


def mask(rng: np.random.Generator, anchors: Anchors) -> list[Piece]:
    """A medical or cloth mask over nose, mouth and chin, with ear loops."""
    points = anchors.landmarks
    top = points[28 if rng.random() < 0.75 else 30, 1] + rng.uniform(-4, 6)
    bottom = points[8, 1] + rng.uniform(-4, 9)
    rows, columns = 22, 41
    v, u = np.linspace(0, 1, rows)[:, None], np.linspace(-1, 1, columns)[None]
    reach = rng.uniform(0.76, 1.06)
    jaw_right, jaw_left = points[2, 0] * (1 - v) + points[5, 0] * v, points[14, 0] * (1 - v) + points[11, 0] * v
    center = points[30, 0] * (1 - v) + points[8, 0] * v
    x = center + u * reach * np.where(u < 0, center - jaw_right, jaw_left - center)
    rim = top + (0.28 * abs(points[8, 1] - points[28, 1]) * u**2)
    y = rim * (1 - v) + (bottom - 6 * u**2) * v
    z = _drape(x, y, anchors.surface, float(rng.uniform(5, 11)), 5) - rng.uniform(1.5, 6)
    if rng.random() < 0.6:  # pleats
        z += 1.2 * np.abs((v * rng.integers(3, 6)) % 1.0 - 0.5)
    if rng.random() < 0.5:  # cloth that does not lie flat
        waves = np.sin(rng.uniform(3, 9) * u + rng.uniform(2, 7) * v + rng.uniform(0, 6))
        z -= rng.uniform(0.3, 1.2) * (1 + waves) * np.abs(u) ** float(rng.uniform(0, 1.5))
    shape = sheet(np.stack([x, y, z], -1))
    color, plain = _cloth_color(rng, anchors.skin)
    color = pattern(rng, shape, color, chance=0.0 if plain else 0.3)
    if rng.random() < 0.3:
        color = _print(rng, np.stack(np.broadcast_arrays(u, v), -1).reshape(-1, 2), color)
    cloth = Piece(shape, color, 0.05)
    loops = []
    for column, ear in ((0, points[0]), (-1, points[16])):
        side = -1.0 if column == 0 else 1.0
        for row in (0, rows - 1):
            start = np.array([x[row, column], y[row, column], z[row, column]])
            end = np.array([ear[0] + side * 4, ear[1] - 4 if row == 0 else ear[1] + 16, ear[2] + 18])
            middle = (start + end) / 2 + np.array([side * 5, 0, -3])
            loops.append(tube(np.stack([start, middle, end]).astype(np.float32), 1.3, sides=5))
    return [cloth, Piece(join(loops), np.full(3, 0.7, np.float32), 0.05)]


def scarf(rng: np.random.Generator, anchors: Anchors) -> list[Piece]:
    """Cloth wound around neck and chin, now and then up to the nose."""
    points = anchors.landmarks
    chin, jaw = points[8], points[[4, 12]]
    top = points[33, 1] if rng.random() < 0.35 else chin[1] - rng.uniform(-10, 12)
    center = np.array([chin[0], 0, (jaw[:, 2].mean() + 35)])
    half_width, depth = abs(jaw[1, 0] - jaw[0, 0]) / 2 + 14, jaw[:, 2].mean() + 35 - chin[2] + 16
    t = np.linspace(-np.pi, np.pi, 40)
    color = paint_color(rng)
    pieces = []
    y = top + 14
    while y < chin[1] + 75:
        sway = rng.normal(0, 5)
        path = np.stack([center[0] + np.sin(t) * half_width, y + sway * np.cos(t) + 14 * (1 - np.cos(t)) * -0.5,
                         center[2] - np.cos(t) * depth], 1)
        turn = tube(path.astype(np.float32), float(rng.uniform(14, 20)), sides=9)
        pieces.append(Piece(turn, pattern(rng, turn, color, chance=0.3), 0.03))
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
    color = paint_color(rng)
    pieces = [Piece(dome, pattern(rng, dome, color), float(rng.choice([0.02, 0.5], p=[0.8, 0.2])))]
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

def headset(rng: np.random.Generator, anchors: Anchors) -> list[Piece]:
    """A virtual-reality headset or ski goggles: a box before the eyes with a strap around the head."""
    points = anchors.landmarks
    eyes = points[36:48].mean(axis=0)
    half = np.array([abs(points[16, 0] - points[0, 0]) / 2 * rng.uniform(0.82, 1.0), rng.uniform(30, 48), 1.0])
    back = float(points[[17, 26], 2].max()) + rng.uniform(0, 12)
    front = float(points[27, 2]) - rng.uniform(15, 75)
    outline = _superellipse(np.array([eyes[0], eyes[1] + rng.uniform(-6, 6), 0.0]), half[0], half[1],
                            float(rng.choice([0.3, 0.5, 0.7])), 0.0, count=36)
    steps = np.array([0.0, 0.15, 0.9, 1.0])[:, None]
    shrink = np.array([1.0, 1.0, 0.97, 0.86])[:, None, None]
    rings = outline[:, :2].mean(axis=0) + (outline[None, :, :2] - outline[:, :2].mean(axis=0)) * shrink
    depth = back + (front - back) * steps + 0.0022 * (rings[..., 0] - eyes[0]) ** 2 * (1 - 0.6 * steps)
    body = np.concatenate([rings, depth[..., None]], axis=-1).astype(np.float32)
    body = np.concatenate([body, body[:, :1]], axis=1)
    color = paint_color(rng) if rng.random() < 0.3 else np.full(3, rng.choice([0.01, 0.04, 0.6]), np.float32)
    face = fan(body[-1, :-1], bulge=float(rng.uniform(0, 5)))
    tint = (paint_color(rng) * 0.2).astype(np.float32) if rng.random() < 0.5 else color
    t = np.linspace(0.15, np.pi - 0.15, 15)
    reach = abs(points[16, 0] - points[0, 0]) / 2 + 10
    strap = np.stack([eyes[0] + np.cos(t) * reach, np.full(15, eyes[1] - 6.0), back + np.sin(t) * 150], axis=1)
    return [Piece(sheet(body), color, 0.3), Piece(face, tint, 0.9),
            Piece(tube(strap.astype(np.float32), 9.0, sides=6, flatten=0.35), paint_color(rng) * 0.3, 0.02)]


def helmet(rng: np.random.Generator, anchors: Anchors) -> list[Piece]:
    """A hard hat or a motorcycle helmet: a shell around the head with a chin bar or strap."""
    points = anchors.landmarks
    middle = (points[0] + points[16]) / 2
    half_width = abs(points[16, 0] - points[0, 0]) / 2 + rng.uniform(22, 36)
    brow, chin = float(points[17:27, 1].min()), float(points[8, 1])
    color, gloss = paint_color(rng), float(rng.uniform(0.2, 1.0))
    full = rng.random() < 0.5
    low = chin + rng.uniform(0, 15) if full else brow + rng.uniform(0, 25)
    center = np.array([middle[0], brow + 12, middle[2] + 18])
    theta = np.linspace(0, 1, 17)[:, None]
    # the opening of the face: the shell reaches from one side over the back to the other
    opening = 0.95 * np.clip((theta - 0.4) / 0.15, 0, 1) if full else 0.0 * theta
    phi = -np.pi / 2 + opening + np.linspace(0, 1, 33)[None] * (2 * np.pi - 2 * opening)
    angle = theta * (np.pi * 0.72 if full else np.pi / 2)
    x = np.sin(np.minimum(angle, np.pi * 0.6)) ** 0.8 * np.cos(phi) * half_width
    z = np.sin(np.minimum(angle, np.pi * 0.6)) ** 0.8 * np.sin(phi) * (half_width + 30)
    below = (low - center[1]) * (angle - np.pi / 2) / (np.pi * 0.22)
    y = np.where(angle < np.pi / 2, -np.cos(angle) * 148, below)
    pieces = [Piece(sheet((center + np.stack([x, y + 0 * phi, z], -1)).astype(np.float32)), color, gloss)]
    if full:
        t = np.linspace(-0.75, 0.75, 13)
        front = float(points[:, 2].min()) - rng.uniform(12, 40)
        bar = np.stack([middle[0] + np.sin(t * np.pi / 1.5) * half_width, np.full(13, low - 12),
                        front + (1 - np.cos(t * np.pi / 1.5)) * 70], axis=1)
        guard = tube(bar.astype(np.float32), float(rng.uniform(14, 24)), sides=8, flatten=0.7)
        pieces.append(Piece(guard, color, gloss))
        t = np.linspace(-1.1, 1.1, 15)
        rim = np.stack([middle[0] + np.sin(t) * half_width, np.full(15, brow - rng.uniform(5, 28)),
                        float(points[27, 2]) - 12 + (1 - np.cos(t)) * half_width * 1.1], axis=1)
        pieces.append(Piece(tube(rim.astype(np.float32), float(rng.uniform(8, 16)), sides=8), color, gloss))
    else:
        t = np.linspace(0, 1, 9)[:, None]
        for side, jaw in ((points[0], points[4]), (points[16], points[12])):
            strap = side * (1 - t) ** 2 + 2 * t * (1 - t) * jaw + t**2 * (points[8] + [0, 4, 4])
            pieces.append(Piece(tube(strap.astype(np.float32), 3.0, sides=5), np.full(3, 0.02, np.float32), 0.05))
    return pieces


def chain(rng: np.random.Generator, anchors: Anchors) -> list[Piece]:
    """Jewellery: earrings, a chain across the face from nose to ear, piercings."""
    points = anchors.landmarks
    metal = np.array([[0.8, 0.6, 0.2], [0.6, 0.6, 0.6], [0.05, 0.05, 0.05]])[rng.integers(3)].astype(np.float32)
    pieces: list[Piece] = []
    for ear in (points[1], points[15]):
        drop = rng.uniform(10, 45)
        hook = ear + np.array([0, 18.0, 16.0])
        pendant = ellipsoid(hook + [0, drop / 2, 0], np.diag([rng.uniform(2, 8), drop / 2, 3.0]))
        pieces.append(Piece(pendant, metal, 1.0))
    if rng.random() < 0.6:
        start, end = points[31 if rng.random() < 0.5 else 35], points[[1, 15, 48, 54][rng.integers(4)]]
        t = np.linspace(0, 1, 12)[:, None]
        path = start * (1 - t) + end * t + np.sin(t * np.pi) * np.array([0, rng.uniform(4, 22), -rng.uniform(6, 14)])
        pieces.append(Piece(tube(path.astype(np.float32), float(rng.uniform(0.8, 2.5)), sides=5), metal, 1.0))
    for spot in rng.choice([17, 26, 30, 31, 35, 51, 57, 8], 2, replace=False):
        pieces.append(Piece(ellipsoid(points[spot] + [0, 0, -2.0], np.eye(3) * rng.uniform(1.2, 2.6)), metal, 1.0))
    return pieces


WORN: dict[str, Callable[[np.random.Generator, Anchors], list[Piece]]] = {
    "glasses": glasses, "sunglasses": sunglasses, "mask": mask, "scarf": scarf, "hat": hat, "headset": headset,
    "helmet": helmet, "chain": chain,
}
