"""Crops → feature vectors, for everything that is read off an aligned face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from rtface.nets.mobilenet import MobileNetConfig, MobileNetV3
from rtface.nets.resnet import ResNet, ResNetConfig

PIXEL_MEAN: Final = 0.45
PIXEL_SCALE: Final = 4.0
"""Networks see (RGB − mean) · scale, about −2..2."""
LOCAL: Final = 64
"""Channels of the grid of stride-32 features."""
FINE: Final = 16
"""Channels of the grid of stride-16 features."""


class MobileEncoder(nn.Module):
    """(N, 3, S, S) RGB 0..1 → (N, hidden) through MobileNetV3.

    The pooled stride-32 descriptor is joined with grids of stride-32 and stride-16 features, which keep where things
    are: global pooling alone loses it, and learning geometry without it took several times as many samples.
    """

    def __init__(self, trunk: MobileNetConfig, size: int, hidden: int) -> None:
        super().__init__()
        self.trunk = MobileNetV3(trunk)
        self.grid = grid = size // 32
        self.local = nn.Sequential(nn.Conv2d(trunk.features, LOCAL, 1, bias=False), nn.BatchNorm2d(LOCAL),
                                   nn.Hardswish(inplace=True))
        self.fine = nn.Sequential(nn.Conv2d(self.trunk.level_features[-2], FINE, 1, bias=False), nn.BatchNorm2d(FINE),
                                  nn.Hardswish(inplace=True))
        features = trunk.features + LOCAL * grid**2 + FINE * (2 * grid) ** 2
        self.hidden = nn.Sequential(nn.Linear(features, hidden), nn.Hardswish(inplace=True))

    def resampled(self, weight: Tensor) -> Tensor:
        """(hidden, F) of the first linear layer for crops of another size → (hidden, features) for this one's.

        What it weighs on both grids is spread over the cells of the other one; ValueError when F fits no size.
        """
        pooled = self.trunk.config.features
        cells = (weight.shape[1] - pooled) / (LOCAL + 4 * FINE)
        old = round(max(cells, 0) ** 0.5)
        if old < 1 or old * old != cells:
            raise ValueError(f"weight: got {weight.shape[1]} features, expected {pooled} + {LOCAL + 4 * FINE} · grid²")
        parts, start = [weight[:, :pooled]], pooled
        for channels, was, side in ((LOCAL, old, self.grid), (FINE, 2 * old, 2 * self.grid)):
            grid = weight[:, start:start + channels * was * was].reshape(-1, channels, was, was)
            start += channels * was * was
            grid = functional.interpolate(grid, (side, side), mode="bilinear") * (was / side) ** 2
            parts.append(grid.flatten(1))
        return torch.cat(parts, dim=1)

    def pyramid(self, crops: Tensor) -> tuple[Tensor, ...]:
        """Feature maps of the crops, finest first; see :meth:`MobileNetV3.pyramid`."""
        return self.trunk.pyramid((crops - PIXEL_MEAN) * PIXEL_SCALE)

    def forward(self, crops: Tensor) -> Tensor:
        return self.describe(self.pyramid(crops))

    def describe(self, levels: Sequence[Tensor]) -> Tensor:
        """Feature maps → (N, hidden)."""
        middle, late = levels[-2:]
        joined = torch.cat([late.mean(dim=(2, 3)), self.local(late).flatten(1), self.fine(middle).flatten(1)], dim=1)
        return self.hidden(joined)


def widened(stored: Tensor, own: Tensor) -> Tensor:
    """``stored`` in the shape of ``own``, a convolution's further input channels filled with zeros."""
    if stored.ndim == own.ndim == 4 and stored.shape[1] < own.shape[1]:
        more = own.new_zeros(stored.shape[0], own.shape[1] - stored.shape[1], *stored.shape[2:])
        stored = torch.cat([stored, more], dim=1)
    return stored.reshape(own.shape) if stored.numel() == own.numel() else stored


class ResNetEncoder(nn.Module):
    """(N, 3, S, S) RGB 0..1 → (N, features): residual trunk and global mean, as in the papers."""

    def __init__(self, trunk: ResNetConfig) -> None:
        super().__init__()
        self.trunk = ResNet(trunk)

    def forward(self, crops: Tensor) -> Tensor:
        return self.trunk((crops - PIXEL_MEAN) * PIXEL_SCALE).mean(dim=(2, 3))
