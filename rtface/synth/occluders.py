"""Things before a face, as meshes in head space (mm; x right, y down, z away, so "in front" is −z).

Every maker takes a random generator and :class:`Anchors` and returns pieces; they are rendered in the same depth
buffer as the head, so that spectacle arms vanish behind temples and fingers rest on cheeks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rtface.synth.hands import grip, hand
from rtface.synth.piece import Anchors, Piece, paint_color, pattern
from rtface.synth.shapes import Shape, box, capsule, cross, cylinder, ellipsoid, join, sheet
from rtface.synth.wearables import WORN


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
    if rng.random() < 0.6:
        pieces += grip(rng, anchors, head + down * (radius + rng.uniform(45, 75)), down, radius * 0.6)
    return pieces


def cup(rng: np.random.Generator, anchors: Anchors) -> list[Piece]:
    """A cup, bottle or glass at the mouth."""
    mouth = anchors.landmarks[62]
    tilt = rng.uniform(-0.2, 0.9)
    axis = np.array([rng.normal(0, 0.2), np.cos(tilt), -np.sin(tilt)])
    axis /= np.linalg.norm(axis)
    radius = rng.uniform(22, 42)
    rim = mouth + np.array([rng.normal(0, 6), rng.uniform(-6, 12), -radius * 0.75])
    length = rng.uniform(70, 150)
    shape = cylinder(rim, rim + axis * length, radius, radius * rng.uniform(0.55, 1.0))
    pieces = [Piece(shape, pattern(rng, shape, paint_color(rng)), 0.6)]
    if rng.random() < 0.6:
        pieces += grip(rng, anchors, rim + axis * length * rng.uniform(0.5, 0.8), axis, radius * 0.9)
    return pieces


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
    return [Piece(shape, pattern(rng, shape, paint_color(rng)), float(rng.uniform(0, 0.7)))]


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
                            paint_color(rng), float(rng.uniform(0, 0.6))))
    return pieces


def phone(rng: np.random.Generator, anchors: Anchors) -> list[Piece]:
    """A phone, card or book held before or beside the face by a hand."""
    points = anchors.landmarks
    target = points[[2, 14, 30, 66, 4, 12, 27][rng.integers(7)]] + np.array([rng.normal(0, 12), rng.normal(0, 12), 0])
    middle = target + np.array([0, 0, -rng.uniform(18, 60)])
    angle = rng.normal(0, 0.35)
    across = np.array([np.cos(angle), np.sin(angle), rng.normal(0, 0.25)])
    along = np.array([-np.sin(angle), np.cos(angle), rng.normal(0, 0.25)])
    half = np.array([rng.uniform(33, 42), rng.uniform(65, 85), 4.0]) * rng.choice([1.0, 1.5], p=[0.8, 0.2])
    slab = box(middle, np.stack([across * half[0], along * half[1], np.array([0, 0, half[2]])]))
    color = np.full(3, rng.choice([0.01, 0.03, 0.7]), np.float32) if rng.random() < 0.6 else paint_color(rng)
    fingers = []
    for side, count in ((-1.0, 1), (1.0, 4)):
        for k in range(count):
            at = middle + across * side * half[0] + along * (half[1] * 0.15 + (k - 1.5) * 17.0) * (count > 1)
            fingers.append(capsule(at + [0, 0, 6.0], at - across * side * rng.uniform(6, 16) + [0, 0, -9.0], 8.5, 7.5))
    skin = np.clip(anchors.skin * np.exp(rng.normal(0, 0.1)), 0, 1).astype(np.float32)
    return [Piece(slab, color, float(rng.uniform(0.2, 1.0))), Piece(join(fingers), skin, 0.12)]


def leaves(rng: np.random.Generator, anchors: Anchors) -> list[Piece]:
    """A twig with leaves or petals that hangs before the face."""
    points = anchors.landmarks
    start = points[rng.integers(68)] + np.array([rng.normal(0, 50), -rng.uniform(20, 110), -rng.uniform(20, 60)])
    fall = np.array([rng.normal(0, 0.6), 1.0, rng.normal(0, 0.2)])
    fall /= np.linalg.norm(fall)
    length = rng.uniform(80, 220)
    green = np.array([0.05, 0.16, 0.03]) * np.exp(rng.normal(0, 0.4)) if rng.random() < 0.7 else paint_color(rng)
    blades = []
    for t in np.linspace(0.05, 1, int(rng.integers(3, 12))):
        root = start + fall * length * t
        out = rng.normal(size=3) * [1, 1, 0.35]
        out /= np.linalg.norm(out)
        half, width = rng.uniform(12, 32), rng.uniform(5, 14)
        side = cross(out, np.array([0, 0, 1.0])) + rng.normal(0, 0.2, 3)
        side /= np.linalg.norm(side)
        u, v = np.linspace(0, 1, 8)[:, None, None], np.array([-1.0, 0, 1])[None, :, None]
        grid = root + out * 2 * half * u + side * v * width * np.sin(np.pi * u ** 0.8)
        grid = grid + np.array([0, 0, 1.0]) * (4 * v**2 - 6 * u**2)
        blades.append(sheet(grid.astype(np.float32)))
    shape = join(blades)
    stem = cylinder(start - fall * 40, start + fall * length, 1.5, 1.0, sides=6)
    return [Piece(shape, pattern(rng, shape, np.asarray(green, np.float32), chance=0.3), 0.2),
            Piece(stem, np.asarray(green, np.float32) * np.float32(0.6), 0.1)]


MAKERS: dict[str, Callable[[np.random.Generator, Anchors], list[Piece]]] = {
    **WORN, "hand": hand, "microphone": microphone, "cup": cup, "bar": bar, "blob": blob, "phone": phone,
    "leaves": leaves,
}
"""Maker of every kind in :data:`rtface.synth.config.OCCLUDER_KINDS`."""
