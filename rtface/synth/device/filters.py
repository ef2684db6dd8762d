"""Filters with one setting per picture, as OpenCV computes them: pictures (N, C, H, W) float32 on any device."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

CUBIC: Final = -0.75
"""Slope of OpenCV's cubic kernel."""


def gaussian(pictures: Tensor, sigma: Tensor) -> Tensor:
    """Blur each picture by its own sigma (N,) px > 0; borders are mirrored, kernels end where OpenCV's do."""
    if not len(pictures):
        return pictures
    radius = torch.floor((torch.round(sigma * 8 + 1)) / 2)
    reach = min(int(radius.max()), min(pictures.shape[-2:]) - 1)
    offset = torch.arange(-reach, reach + 1, device=pictures.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offset / sigma[:, None]) ** 2) * (offset.abs() <= radius[:, None])
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    once = _each(pictures, kernel[:, None, :], (0, reach))
    return _each(once, kernel[:, :, None], (reach, 0))


def correlate(pictures: Tensor, kernels: Tensor) -> Tensor:
    """Correlate each picture with its own odd kernel (N, K, K); borders are mirrored."""
    reach = kernels.shape[-1] // 2
    return _each(pictures, kernels, (reach, reach)) if len(pictures) else pictures


def _each(pictures: Tensor, kernels: Tensor, pad: tuple[int, int]) -> Tensor:
    count, channels, height, width = pictures.shape
    padded = F.pad(pictures, (pad[1], pad[1], pad[0], pad[0]), mode="reflect")
    weights = kernels.repeat_interleave(channels, dim=0)[:, None].to(pictures)
    return F.conv2d(padded.reshape(1, count * channels, *padded.shape[2:]), weights,
                    groups=count * channels).reshape(count, channels, height, width)


def resize(pictures: Tensor, rows: Tensor, columns: Tensor | None = None) -> Tensor:
    """Apply matrices (N, M, H) or (M, H) along the height and, the same or others, along the width."""
    other = rows if columns is None else columns
    return torch.matmul(torch.matmul(rows[:, None] if rows.ndim == 3 else rows, pictures),
                        (other[:, None] if other.ndim == 3 else other).transpose(-1, -2))


def area_matrix(fewer: Tensor, many: int, *, most: int | None = None) -> Tensor:
    """(N, most, many): means over the pixels that each of ``fewer`` (N,) ones covers; rows beyond are 0."""
    count = int(fewer.max()) if most is None else most
    ratio = (many / fewer.double())[:, None, None]
    target = torch.arange(count, device=fewer.device, dtype=torch.float64)[None, :, None]
    source = torch.arange(many, device=fewer.device, dtype=torch.float64)
    overlap = torch.minimum((target + 1) * ratio, source + 1) - torch.maximum(target * ratio, source)
    return ((overlap.clamp(min=0) / ratio) * (target < fewer[:, None, None])).float()


def enlarging_matrix(fewer: Tensor, many: int, cubic: Tensor, *, most: int | None = None) -> Tensor:
    """(N, many, most): interpolation from ``fewer`` (N,) pixels, by cubics where ``cubic`` (N,), else linearly.

    Pixels beyond the border repeat the last one.
    """
    count = int(fewer.max()) if most is None else most
    at = (torch.arange(many, device=fewer.device, dtype=torch.float64) + 0.5) * (fewer / many).double()[:, None] - 0.5
    low = torch.floor(at)
    out = torch.zeros(len(fewer), many, count, device=fewer.device, dtype=torch.float64)
    for tap in range(-1, 3):
        away = (at - low - tap).abs()
        linear = (1 - away).clamp(min=0)
        near = (CUBIC + 2) * away**3 - (CUBIC + 3) * away**2 + 1
        far = CUBIC * (away**3 - 5 * away**2 + 8 * away - 4)
        weight = torch.where(cubic[:, None], torch.where(away <= 1, near, far), linear)
        row = torch.minimum((low + tap).clamp(min=0), fewer[:, None].double() - 1).long()
        out.scatter_add_(2, row[..., None], weight[..., None])
    return out.float()


LUMINANCE: Final = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99))
"""Quantisation at quality 50 (ITU-T T.81, table K.1)."""
CHROMINANCE: Final = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))
"""Table K.2's corner; the rest is 99."""


def jpeg(pixels: Tensor, quality: Tensor, halved: Tensor) -> Tensor:
    """What baseline JPEG leaves of pictures (N, 3, H, W), values 0..255, sides of a multiple of 16.

    quality (N,) 1..100; halved (N,) bool: colours at half the resolution. The first channel is taken for blue, as
    OpenCV takes it.
    """
    blue, green, red = pixels.unbind(dim=1)
    y = torch.round(0.299 * red + 0.587 * green + 0.114 * blue)
    colors = torch.stack([torch.round(128 - 0.168736 * red - 0.331264 * green + 0.5 * blue),
                          torch.round(128 + 0.5 * red - 0.418688 * green - 0.081312 * blue)], dim=1)
    scale = torch.where(quality < 50, torch.floor(5000 / quality), 200 - 2 * quality)[:, None, None]
    corner = torch.full((8, 8), 99.0, device=pixels.device)
    corner[:4, :4] = torch.tensor(CHROMINANCE, dtype=torch.float32)
    bright, tint = (torch.floor((table * scale + 50) / 100).clamp(1, 255)
                    for table in (torch.tensor(LUMINANCE, dtype=torch.float32, device=pixels.device), corner))
    y = _coded(y[:, None], bright)[:, 0]
    small = F.interpolate(_coded(torch.floor(F.avg_pool2d(colors, 2) + 0.5), tint), scale_factor=2, mode="bilinear",
                          align_corners=False)
    colors = torch.where(halved[:, None, None, None], torch.round(small), _coded(colors, tint)) - 128
    cb, cr = colors.unbind(dim=1)
    decoded = torch.stack([y + 1.772 * cb, y - 0.344136 * cb - 0.714136 * cr, y + 1.402 * cr], dim=1)
    return torch.round(decoded).clamp(0, 255)


def _coded(planes: Tensor, table: Tensor) -> Tensor:
    """Planes (N, C, H, W) through the cosine transform of 8×8 blocks, quantised by (N, 8, 8)."""
    count, channels, height, width = planes.shape
    k = torch.arange(8, device=planes.device, dtype=torch.float32)
    basis = torch.cos((2 * k[None] + 1) * k[:, None] * (math.pi / 16)) * 0.5
    basis[0] *= math.sqrt(0.5)
    high, wide = (height + 7) // 8 * 8, (width + 7) // 8 * 8
    padded = F.pad(planes, (0, wide - width, 0, high - height), mode="replicate")
    blocks = padded.reshape(count, channels, high // 8, 8, wide // 8, 8).transpose(3, 4) - 128
    steps = table[:, None, None, None]
    coefficients = torch.round(basis @ blocks @ basis.T / steps) * steps
    back = (basis.T @ coefficients @ basis).transpose(3, 4).reshape(count, channels, high, wide) + 128
    return torch.round(back[..., :height, :width]).clamp(0, 255)
