"""Crops → feature vectors, for everything that is read off an aligned face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from rtface.nets.mobilenet import MobileNetConfig, MobileNetV3
from rtface.nets.resnet import ResNet, ResNetConfig

PIXEL_MEAN: Final = 0.45
PIXEL_SCALE: Final = 4.0
"""Networks see (RGB − mean) · scale, about −2..2."""


class MobileEncoder(nn.Module):
    """(N, 3, S, S) RGB 0..1 → (N, hidden) through MobileNetV3.

    The pooled stride-32 descriptor is joined with grids of stride-32 and stride-16 features, which keep where things
    are: global pooling alone loses it, and learning geometry without it took several times as many samples.
    """

    def __init__(self, trunk: MobileNetConfig, size: int, hidden: int) -> None:
        super().__init__()
        self.trunk = MobileNetV3(trunk)
        grid = size // 32
        self.local = nn.Sequential(nn.Conv2d(trunk.features, 64, 1, bias=False), nn.BatchNorm2d(64),
                                   nn.Hardswish(inplace=True))
        self.fine = nn.Sequential(nn.Conv2d(self.trunk.level_features[-2], 16, 1, bias=False), nn.BatchNorm2d(16),
                                  nn.Hardswish(inplace=True))
        features = trunk.features + 64 * grid**2 + 16 * (2 * grid) ** 2
        self.hidden = nn.Sequential(nn.Linear(features, hidden), nn.Hardswish(inplace=True))

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


class ResNetEncoder(nn.Module):
    """(N, 3, S, S) RGB 0..1 → (N, features): residual trunk and global mean, as in the papers."""

    def __init__(self, trunk: ResNetConfig) -> None:
        super().__init__()
        self.trunk = ResNet(trunk)

    def forward(self, crops: Tensor) -> Tensor:
        return self.trunk((crops - PIXEL_MEAN) * PIXEL_SCALE).mean(dim=(2, 3))
