"""Pictures behind a face: procedural rooms, textures, clutter; or any folder of pictures the user gives."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.errors import MediaError
from rtface.synth.camera import blur, quantize

FloatArray = NDArray[Any]
"""Floating point, float32 unless said otherwise (NumPy's and OpenCV's stubs do not follow dtypes)."""


def noise(rng: np.random.Generator, height: int, width: int, *, cells: float, octaves: int = 3,
          stretch: float = 1.0) -> FloatArray:
    """Smooth value noise (H, W) float32 around 0, standard deviation about 1; ``cells`` per picture side."""
    total = np.zeros((height, width), np.float32)
    amplitude = 1.0
    for _ in range(octaves):
        rows, columns = max(2, round(cells)), max(2, round(cells * stretch))
        grid = rng.standard_normal((min(rows + 1, height), min(columns + 1, width)), dtype=np.float32)
        total += amplitude * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        amplitude *= 0.5
        cells *= 2.1
    return total


def random_color(rng: np.random.Generator) -> FloatArray:
    """(3,) float32 in 0..1, from gray to saturated."""
    base = rng.uniform(0.02, 1.0)
    tint = rng.normal(0, (0.03, 0.12, 0.3)[rng.integers(3)], 3)
    return np.clip(base + tint, 0, 1).astype(np.float32)


def _gradient(rng: np.random.Generator, height: int, width: int) -> FloatArray:
    angle = rng.uniform(0, 2 * np.pi)
    across = (np.arange(width, dtype=np.float32) / width - 0.5) * np.float32(np.cos(angle)) + 0.5
    down = (np.arange(height, dtype=np.float32) / height - 0.5) * np.float32(np.sin(angle))
    return _between(random_color(rng), random_color(rng), np.clip(across + down[:, None], 0, 1))


def _textured(rng: np.random.Generator, height: int, width: int) -> FloatArray:
    field = noise(rng, height, width, cells=float(rng.uniform(2, 40)), octaves=int(rng.integers(1, 5)),
                  stretch=float(np.exp(rng.normal(0, 0.8))))
    if rng.random() < 0.3:
        field = np.sin(field * rng.uniform(2, 9))
    share = 1 / (1 + np.exp(-field * rng.uniform(0.5, 2.5)))
    return _between(random_color(rng), random_color(rng), share)


def _between(one: FloatArray, other: FloatArray, share: FloatArray) -> FloatArray:
    """(H, W, 3) float32 mixture of two colours (3,), by shares (H, W) of the other."""
    return np.asarray(cv2.transform(np.ascontiguousarray(share, np.float32), np.stack([other - one, one], axis=1)))


def _clutter(rng: np.random.Generator, picture: NDArray[np.uint8]) -> None:
    """Draw polygons, ellipses, bars, stripes, limbs and text in place on (H, W, 3) uint8."""
    height, width = picture.shape[:2]
    reach = max(height, width)
    for _ in range(int(rng.integers(2, 26))):
        color = (255 * random_color(rng)).tolist()
        if rng.random() < 0.25:  # wood, clay and skin-like tones: what a detector must not take for faces
            color = (np.array([0.75, 0.5, 0.38]) * rng.uniform(50, 320)).clip(0, 255).tolist()
        center = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        size = reach * float(np.exp(rng.uniform(np.log(0.02), np.log(0.4))))
        kind = rng.integers(0, 6)
        if kind == 0:
            corners = rng.normal(0, size / 2, (int(rng.integers(3, 7)), 2)) + center
            cv2.fillPoly(picture, [corners.astype(np.int32)], color, cv2.LINE_AA)
        elif kind == 1:
            axes = (max(1, int(size * rng.uniform(0.2, 0.6))), max(1, int(size * rng.uniform(0.2, 0.6))))
            cv2.ellipse(picture, center, axes, float(rng.uniform(0, 180)), 0, 360, color, -1, cv2.LINE_AA)
        elif kind == 2:
            other = (int(center[0] + rng.normal(0, size)), int(center[1] + rng.normal(0, size)))
            cv2.line(picture, center, other, color, max(1, int(size * rng.uniform(0.02, 0.3))), cv2.LINE_AA)
        elif kind == 3:  # shelves, blinds, books
            step = max(2, int(size * rng.uniform(0.05, 0.3)))
            x, y = center
            for k in range(int(rng.integers(3, 12))):
                corner = (x + k * step, y)
                cv2.rectangle(picture, corner, (corner[0] + max(1, int(step * 0.7)), int(y + size)), color, -1)
                if rng.random() < 0.6:
                    color = (255 * random_color(rng)).tolist()
        elif kind == 4:
            word = "".join(rng.choice(list("ABCDEFGHKLMNOPRSTUVXYZ0123456789"), int(rng.integers(2, 8))))
            cv2.putText(picture, word, center, cv2.FONT_HERSHEY_SIMPLEX, size / 60, color,
                        max(1, int(size / 30)), cv2.LINE_AA)
        else:
            cv2.rectangle(picture, center, (int(center[0] + size), int(center[1] + size * rng.uniform(0.2, 2))),
                          color, -1)


def procedural(rng: np.random.Generator, height: int, width: int) -> FloatArray:
    """A background (H, W, 3) float32 sRGB 0..1."""
    picture = _gradient(rng, height, width) if rng.random() < 0.5 else _textured(rng, height, width)
    if rng.random() < 0.8:
        drawn = quantize(picture)
        _clutter(rng, drawn)
        picture = drawn * np.float32(1 / 255)
    if rng.random() < 0.5:
        field = noise(rng, height, width, cells=float(rng.uniform(3, 30)), octaves=3)
        factor = 1 + float(rng.uniform(0.02, 0.15)) * field
        picture = cv2.multiply(picture, cv2.merge([factor] * 3))
    if rng.random() < 0.6:  # out of focus
        sigma = float(np.exp(rng.uniform(np.log(0.5), np.log(0.04 * max(height, width)))))
        picture = blur(picture, sigma)
    return np.asarray(np.clip(picture, 0, 1, dtype=np.float32))


@lru_cache(maxsize=4)
def list_pictures(folder: Path) -> tuple[Path, ...]:
    """Picture files below a folder, sorted."""
    found = tuple(sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"}))
    if not found:
        raise MediaError(f"backgrounds: got {folder} without any picture, expected jpg, png or webp files below it")
    return found


def from_folder(rng: np.random.Generator, folder: Path, height: int, width: int) -> FloatArray:
    """A random part of a random picture below ``folder``, (H, W, 3) float32 sRGB 0..1."""
    files = list_pictures(folder)
    path = files[int(rng.integers(len(files)))]
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise MediaError(f"backgrounds: got {path}, which cannot be decoded; expected a picture, remove it")
    scale = max(height / picture.shape[0], width / picture.shape[1]) * float(rng.uniform(1.0, 2.0))
    size = (max(width, round(picture.shape[1] * scale)), max(height, round(picture.shape[0] * scale)))
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = int(rng.integers(size[1] - height + 1)), int(rng.integers(size[0] - width + 1))
    part = picture[top:top + height, left:left + width, ::-1]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    return np.ascontiguousarray(part, np.float32) / 255
