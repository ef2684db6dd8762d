"""What hides a face without having a body: lettering and logos, glare, shadows of things out of the picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.synth.background import noise, random_color
from rtface.synth.render import Drawing
from rtface.synth.shapes import FloatArray

LETTERS = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@#&!?")
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX,
         cv2.FONT_HERSHEY_SCRIPT_COMPLEX)


def lettering(rng: np.random.Generator, height: int, width: int, box_xyxy: FloatArray) -> NDArray[np.uint8]:
    """(H, W) uint8, 255 where a caption, watermark or logo covers the picture near a box (4,) px."""
    out = np.zeros((height, width), np.uint8)
    side = float(max(box_xyxy[2] - box_xyxy[0], box_xyxy[3] - box_xyxy[1]))
    for _ in range(int(rng.integers(1, 4))):
        x = int(rng.uniform(box_xyxy[0] - 0.3 * side, box_xyxy[0] + 0.7 * side))
        y = int(rng.uniform(box_xyxy[1], box_xyxy[3]))
        if rng.random() < 0.75:
            word = "".join(rng.choice(LETTERS, int(rng.integers(2, 9))))
            scale = side / 30 * float(rng.uniform(0.12, 0.7))
            cv2.putText(out, word, (x, y), FONTS[rng.integers(len(FONTS))], scale, 255,
                        max(1, round(scale * float(rng.uniform(1.0, 5.0)))), cv2.LINE_8)
        else:
            radius = int(side * rng.uniform(0.05, 0.2))
            sides = int(rng.integers(3, 8))
            angle = rng.uniform(0, 7) + np.arange(sides) * 2 * np.pi / sides
            corners = np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)
            cv2.polylines(out, [corners.astype(np.int32)], True, 255, max(2, radius // int(rng.integers(2, 6))))
    return out


def letter(rng: np.random.Generator, drawing: Drawing, kind: int, box_xyxy: FloatArray) -> Drawing:
    """The drawing under lettering of one colour, which counts as an occluder of ``kind`` in front of everything."""
    height, width = drawing.kind.shape
    covered = lettering(rng, height, width, box_xyxy) > 0
    color = np.where(covered[..., None], random_color(rng) ** np.float32(2.2), drawing.color).astype(np.float32)
    nearest = drawing.depth[np.isfinite(drawing.depth)].min(initial=0.0) - 1
    return Drawing(color, np.where(covered, np.uint8(kind), drawing.kind),
                   np.where(covered, -1, drawing.triangle_id).astype(np.int32),
                   np.where(covered, np.float32(nearest), drawing.depth).astype(np.float32))


def glare(rng: np.random.Generator, height: int, width: int) -> FloatArray:
    """(H, W, 3) light to add to a linear picture: a lamp or window that shines into the lens."""
    x, y = rng.uniform(-0.2, 1.2, 2) * [width, height]
    reach = float(rng.uniform(0.08, 0.45)) * max(height, width)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    distance = np.hypot(columns - x, (rows - y) * float(rng.uniform(0.5, 2.0))) / reach
    warm = np.array([1.0, float(rng.uniform(0.8, 1.0)), float(rng.uniform(0.6, 1.05))], np.float32)
    glow = float(rng.uniform(0.3, 1.6)) * np.exp(-distance ** float(rng.uniform(0.8, 2.0)))
    return np.asarray(glow[..., None] * warm, np.float32)


def outside_shadow(rng: np.random.Generator, height: int, width: int) -> FloatArray:
    """(H, W) factor 0..1 on the light: blinds, branches or edges that are not in the picture cast it."""
    kind = rng.integers(3)
    if kind == 0:  # an edge
        angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.75)
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        field = (columns / width - offset) * np.cos(angle) + (rows / height - offset) * np.sin(angle)
        field = field * max(height, width)
    elif kind == 1:  # blinds, bars
        angle, period = rng.uniform(0, np.pi), rng.uniform(0.06, 0.25)
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        field = np.sin((columns * np.cos(angle) + rows * np.sin(angle)) / max(height, width) * 2 * np.pi / period)
        field = field * period * max(height, width) / 6
    else:  # leaves
        field = noise(rng, height, width, cells=float(rng.uniform(2, 9)), octaves=2) * 0.03 * max(height, width)
    softness = float(rng.uniform(0.5, 6.0)) * max(height, width) / 256
    lit = 1 / (1 + np.exp(-np.clip(field / softness, -30, 30)))
    return np.asarray(1 - float(rng.uniform(0.2, 0.75)) * (1 - lit), np.float32)


def sample_stray(rng: np.random.Generator, rate: float, side: int) -> tuple[FloatArray | None, FloatArray | None]:
    """Glare (side, side, 3) in a share ``rate`` of the pictures, a shadow (side, side) in as many others, else None."""
    stray = rng.random()
    return (glare(rng, side, side) if stray < rate else None,
            outside_shadow(rng, side, side) if rate <= stray < 2 * rate else None)
