"""What a camera does to a picture: blur, exposure, colour, noise, vignetting, low resolution, compression."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.io.lossy import through_h264

FloatArray = NDArray[Any]
"""Floating point, float32 unless said otherwise (NumPy's and OpenCV's stubs do not follow dtypes)."""


def motion_kernel(length: float, angle: float) -> FloatArray:
    """Normalised line kernel (K, K) of ``length`` px at ``angle`` rad."""
    side = max(3, int(np.ceil(length)) | 1)
    kernel = np.zeros((side, side), np.float32)
    center = side / 2
    dx, dy = np.cos(angle) * length / 2, np.sin(angle) * length / 2
    cv2.line(kernel, (round((center - dx) * 16 - 8), round((center - dy) * 16 - 8)),
             (round((center + dx) * 16 - 8), round((center + dy) * 16 - 8)), 1.0, 1, cv2.LINE_AA, 4)
    return kernel / max(float(kernel.sum()), 1e-6)


def infrared(rng: np.random.Generator, picture: FloatArray) -> FloatArray:
    """(H, W, 3) sRGB as a camera with an infrared lamp sees it: gray, skin bright, the lamp in the middle, soft."""
    height, width = picture.shape[:2]
    gray = np.maximum(picture @ np.array([0.75, 0.2, 0.05], np.float32), 0.0)
    y, x = np.ogrid[-1:1:height * 1j, -1:1:width * 1j]
    lamp = np.exp(-(x * x + y * y) * float(rng.uniform(0.3, 1.6))).astype(np.float32)
    gray = gray ** np.float32(rng.uniform(0.5, 0.8)) * lamp * float(rng.uniform(0.8, 1.3))
    gray = cv2.GaussianBlur(gray, (0, 0), 0.4 + max(height, width) / 400)
    return np.repeat(gray[..., None], 3, axis=2)


def banded(rng: np.random.Generator, picture: FloatArray) -> FloatArray:
    """(H, W, 3) sRGB with the bands of flickering lamps (rolling shutter), or with few tones."""
    if rng.random() < 0.5:
        rows = np.arange(picture.shape[0], dtype=np.float32)[:, None, None]
        period = picture.shape[0] / float(rng.uniform(1.0, 6.0))
        wave = np.sin(rows * np.float32(2 * np.pi / period) + np.float32(rng.uniform(0, 7)))
        return np.asarray(picture * (1 - float(rng.uniform(0.05, 0.3)) * (0.5 + 0.5 * wave)), np.float32)
    tones = int(rng.integers(8, 40))
    return np.asarray(np.round(np.clip(picture, 0, 1) * tones) / tones, np.float32)


def quantize(picture: FloatArray) -> NDArray[Any]:
    """0..1, cut to that, → uint8, rounded."""
    return np.asarray(cv2.convertScaleAbs(np.maximum(picture, 0), alpha=255))


def blur(picture: FloatArray, sigma: float) -> FloatArray:
    """Gaussian blur of (H, W, C) by ``sigma`` px; wide ones on a smaller picture, as they leave no detail."""
    shrink = min(8, int(sigma / 2.5))
    if shrink < 2:
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32)
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (max(1, width // shrink), max(1, height // shrink)), interpolation=cv2.INTER_AREA)
    rest = (sigma**2 - shrink**2 / 4) ** 0.5  # shrinking and enlarging blur by themselves: k²/12 and k²/6
    return np.asarray(cv2.resize(cv2.GaussianBlur(small, (0, 0), rest / shrink), (width, height)), np.float32)


def shoot(rng: np.random.Generator, picture: FloatArray) -> NDArray[Any]:
    """Take (H, W, 3) float32 sRGB 0..1 as a camera would → uint8."""
    height, width = picture.shape[:2]
    size = max(height, width)
    if rng.random() < 0.25:  # low resolution: a far face, enlarged
        factor = float(rng.uniform(0.25, 0.8))
        small = cv2.resize(picture, (max(8, int(width * factor)), max(8, int(height * factor))),
                           interpolation=cv2.INTER_AREA)
        picture = cv2.resize(small, (width, height), interpolation=int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC])))
    choice = rng.random()
    if choice < 0.12:
        picture = cv2.filter2D(picture, -1, motion_kernel(size * float(rng.uniform(0.008, 0.045)),
                                                          float(rng.uniform(0, np.pi))))
    elif choice < 0.55:
        picture = cv2.GaussianBlur(picture, (0, 0), size / 256 * float(np.exp(rng.uniform(np.log(0.3), np.log(1.6)))))
    elif choice < 0.65:  # sharpening in the camera
        soft = cv2.GaussianBlur(picture, (0, 0), 1.2)
        picture = picture + float(rng.uniform(0.2, 1.0)) * (picture - soft)
    gain = np.exp(rng.normal(0, 0.18)) * np.exp(rng.normal(0, 0.06, 3))
    picture = cv2.transform(np.maximum(picture, 0), np.diag(gain))
    picture = cv2.pow(picture, float(np.exp(rng.normal(0, 0.15))))
    contrast = float(np.exp(rng.normal(0, 0.12)))
    offset = 0.5 - 0.5 * contrast + float(rng.normal(0, 0.03))
    film = rng.random()
    if film < 0.04:
        picture = infrared(rng, picture * contrast + offset)
    else:
        saturation = 0.0 if film < 0.1 else float(np.clip(rng.normal(1.0, 0.25), 0, 2))
        mixed = contrast * (saturation * np.eye(3) + (1 - saturation) * np.array([0.299, 0.587, 0.114]))
        picture = cv2.transform(picture, np.hstack([mixed, np.full((3, 1), offset)]))
    if rng.random() < 0.3:
        y, x = np.ogrid[-1:1:height * 1j, -1:1:width * 1j]
        picture = picture * (1 - float(rng.uniform(0.05, 0.35)) * (x * x + y * y)).astype(np.float32)[..., None]
    if rng.random() < 0.05:
        picture = banded(rng, picture)
    if rng.random() < 0.7:
        strength = float(np.exp(rng.uniform(np.log(0.003), np.log(0.045))))
        grain: FloatArray = rng.standard_normal((height, width, 3), dtype=np.float32)
        if rng.random() < 0.5:
            grain = cv2.GaussianBlur(grain, (0, 0), 0.7) * 2
        weight = np.clip(picture, 0, 1)
        np.sqrt(weight, out=weight)
        weight += 0.5
        weight *= grain
        picture = cv2.scaleAdd(weight, strength, picture)
    pixels = quantize(picture)
    codec = rng.random()
    if codec < 0.12:
        return through_h264(pixels, int(rng.integers(22, 44)))
    if codec < 0.65:
        quality = int(rng.uniform(25, 95))
        sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if rng.random() < 0.7 else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
        _, packed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality,
                                                  cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling])
        decoded = cv2.imdecode(packed, cv2.IMREAD_COLOR)
        assert decoded is not None
        return np.ascontiguousarray(decoded)
    return np.ascontiguousarray(pixels)
