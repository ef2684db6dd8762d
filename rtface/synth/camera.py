"""What a camera does to a picture: blur, exposure, colour, noise, vignetting, low resolution, compression."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.io.lossy import through_h264

FloatArray = NDArray[Any]
"""Floating point, float32 unless said otherwise (NumPy's and OpenCV's stubs do not follow dtypes)."""
LUMA: Final = (0.299, 0.587, 0.114)
"""Of red, green and blue in gray (ITU-R BT.601)."""


def motion_kernel(length: float, angle: float) -> FloatArray:
    """Normalised line kernel (K, K) of ``length`` px at ``angle`` rad."""
    side = max(3, int(np.ceil(length)) | 1)
    kernel = np.zeros((side, side), np.float32)
    center = side / 2
    dx, dy = np.cos(angle) * length / 2, np.sin(angle) * length / 2
    cv2.line(kernel, (round((center - dx) * 16 - 8), round((center - dy) * 16 - 8)),
             (round((center + dx) * 16 - 8), round((center + dy) * 16 - 8)), 1.0, 1, cv2.LINE_AA, 4)
    return kernel / max(float(kernel.sum()), 1e-6)


class Settings(NamedTuple):
    """How one picture is taken; 0 stands for "not at all". Lengths are shares of the picture's longer side."""

    low_resolution: float
    """Side of the smaller picture that is enlarged again, over the side."""
    cubic: bool
    """Enlarged by cubics, else linearly."""
    motion: float
    motion_rad: float
    blur: float
    """Standard deviation."""
    sharpening: float
    gain: FloatArray
    """(3,) float64."""
    gamma: float
    contrast: float
    offset: float
    infrared: tuple[float, float, float]
    """Narrowness of the lamp's light, gamma and strength; the first is 0 for visible light."""
    saturation: float
    vignette: float
    bands: tuple[float, float, float]
    """Periods over the picture's height, phase in rad, strength, of the bands of flickering lamps (rolling shutter)."""
    tones: int
    """Steps of brightness."""
    noise: float
    coarse: bool
    """Whether the noise is blurred."""
    grain: FloatArray
    """The noise itself, as drawn: standard normal, float32 of the shape that was asked for."""
    qp: int
    """Quantiser of H.264."""
    quality: int
    """Of JPEG, 1..100."""
    halved: bool
    """JPEG's colours at half the resolution."""


def draw(rng: np.random.Generator, grain: tuple[int, ...]) -> Settings:
    """A random camera with noise of shape ``grain``."""
    low_resolution, cubic, motion, motion_rad, soft, sharpening = 0.0, False, 0.0, 0.0, 0.0, 0.0
    if rng.random() < 0.25:  # a far face, enlarged
        low_resolution, cubic = float(rng.uniform(0.25, 0.8)), bool(rng.choice([False, True]))
    choice = rng.random()
    if choice < 0.12:
        motion, motion_rad = float(rng.uniform(0.008, 0.045)), float(rng.uniform(0, np.pi))
    elif choice < 0.55:
        soft = float(np.exp(rng.uniform(np.log(0.3), np.log(1.6)))) / 256
    elif choice < 0.65:
        sharpening = float(rng.uniform(0.2, 1.0))
    gain = np.exp(rng.normal(0, 0.18)) * np.exp(rng.normal(0, 0.06, 3))
    gamma, contrast = float(np.exp(rng.normal(0, 0.15))), float(np.exp(rng.normal(0, 0.12)))
    offset = 0.5 - 0.5 * contrast + float(rng.normal(0, 0.03))
    film, infrared, saturation = rng.random(), (0.0, 0.0, 0.0), 0.0
    if film < 0.04:
        infrared = (float(rng.uniform(0.3, 1.6)), float(rng.uniform(0.5, 0.8)), float(rng.uniform(0.8, 1.3)))
    elif film >= 0.1:
        saturation = float(np.clip(rng.normal(1.0, 0.25), 0, 2))
    vignette, bands, tones = float(rng.uniform(0.05, 0.35)) if rng.random() < 0.3 else 0.0, (0.0, 0.0, 0.0), 0
    if rng.random() < 0.05:
        bands, tones = draw_bands(rng)
    noise, coarse, drawn = 0.0, False, np.zeros(0, np.float32)
    if rng.random() < 0.7:
        noise = float(np.exp(rng.uniform(np.log(0.003), np.log(0.045))))
        drawn = rng.standard_normal(grain, dtype=np.float32)
        coarse = rng.random() < 0.5
    codec, qp, quality, halved = rng.random(), 0, 0, False
    if codec < 0.12:
        qp = int(rng.integers(22, 44))
    elif codec < 0.65:
        quality, halved = int(rng.uniform(25, 95)), rng.random() < 0.7
    return Settings(low_resolution, cubic, motion, motion_rad, soft, sharpening, gain, gamma, contrast, offset,
                    infrared, saturation, vignette, bands, tones, noise, coarse, drawn, qp, quality, halved)


def draw_bands(rng: np.random.Generator) -> tuple[tuple[float, float, float], int]:
    """:attr:`Settings.bands` or :attr:`Settings.tones`; the other is 0."""
    if rng.random() < 0.5:
        return (float(rng.uniform(1.0, 6.0)), float(rng.uniform(0, 7)), float(rng.uniform(0.05, 0.3))), 0
    return (0.0, 0.0, 0.0), int(rng.integers(8, 40))


def infrared(picture: FloatArray, lamp: tuple[float, float, float]) -> FloatArray:
    """(H, W, 3) sRGB as a camera with an infrared lamp sees it: gray, skin bright, the lamp in the middle, soft."""
    height, width = picture.shape[:2]
    gray = np.maximum(picture @ np.array([0.75, 0.2, 0.05], np.float32), 0.0)
    y, x = np.ogrid[-1:1:height * 1j, -1:1:width * 1j]
    fall = np.exp(-(x * x + y * y) * lamp[0]).astype(np.float32)
    gray = gray ** np.float32(lamp[1]) * fall * lamp[2]
    gray = cv2.GaussianBlur(gray, (0, 0), 0.4 + max(height, width) / 400)
    return np.repeat(gray[..., None], 3, axis=2)


def banded(picture: FloatArray, bands: tuple[float, float, float], tones: int) -> FloatArray:
    """(H, W, 3) sRGB with :attr:`Settings.bands`, or with few :attr:`Settings.tones`."""
    if tones:
        return np.asarray(np.round(np.clip(picture, 0, 1) * tones) / tones, np.float32)
    rows = np.arange(picture.shape[0], dtype=np.float32)[:, None, None]
    wave = np.sin(rows * np.float32(2 * np.pi / (picture.shape[0] / bands[0])) + np.float32(bands[1]))
    return np.asarray(picture * (1 - bands[2] * (0.5 + 0.5 * wave)), np.float32)


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
    """Take (H, W, 3) float32 sRGB 0..1 as a random camera would → uint8."""
    return develop(picture, draw(rng, picture.shape))


def develop(picture: FloatArray, take: Settings) -> NDArray[Any]:
    """Take (H, W, 3) float32 sRGB 0..1 as the camera ``take`` does → uint8; its grain has the picture's shape."""
    height, width = picture.shape[:2]
    size = max(height, width)
    if take.low_resolution:
        fewer = [max(8, int(side * take.low_resolution)) for side in (width, height)]
        small = cv2.resize(picture, fewer, interpolation=cv2.INTER_AREA)
        picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC if take.cubic else cv2.INTER_LINEAR)
    if take.motion:
        picture = cv2.filter2D(picture, -1, motion_kernel(size * take.motion, take.motion_rad))
    elif take.blur:
        picture = cv2.GaussianBlur(picture, (0, 0), size * take.blur)
    elif take.sharpening:
        picture = picture + take.sharpening * (picture - cv2.GaussianBlur(picture, (0, 0), 1.2))
    picture = cv2.transform(np.maximum(picture, 0), np.diag(take.gain))
    picture = cv2.pow(picture, take.gamma)
    if take.infrared[0]:
        picture = infrared(picture * take.contrast + take.offset, take.infrared)
    else:
        mixed = take.contrast * (take.saturation * np.eye(3) + (1 - take.saturation) * np.array(LUMA))
        picture = cv2.transform(picture, np.hstack([mixed, np.full((3, 1), take.offset)]))
    if take.vignette:
        y, x = np.ogrid[-1:1:height * 1j, -1:1:width * 1j]
        picture = picture * (1 - take.vignette * (x * x + y * y)).astype(np.float32)[..., None]
    if take.bands[0] or take.tones:
        picture = banded(picture, take.bands, take.tones)
    if take.noise:
        grain = cv2.GaussianBlur(take.grain, (0, 0), 0.7) * 2 if take.coarse else take.grain
        weight = np.clip(picture, 0, 1)
        np.sqrt(weight, out=weight)
        weight += 0.5
        weight *= grain
        picture = cv2.scaleAdd(weight, take.noise, picture)
    pixels = quantize(picture)
    if take.qp:
        return through_h264(pixels, take.qp)
    if take.quality:
        sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if take.halved else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
        _, packed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, take.quality,
                                                  cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling])
        decoded = cv2.imdecode(packed, cv2.IMREAD_COLOR)
        assert decoded is not None
        return np.ascontiguousarray(decoded)
    return np.ascontiguousarray(pixels)
