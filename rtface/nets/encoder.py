"""Crops → feature vectors, for everything that is read off an aligned face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtface.nets.mobilenet import MobileNetConfig, MobileNetV3
from rtface.nets.point_maps import PointMaps, mean_positions
from rtface.nets.resnet import ResNet, ResNetConfig

PIXEL_MEAN: Final = 0.45
PIXEL_SCALE: Final = 4.0
"""Networks see (RGB − mean) · scale, about −2..2."""
LOCAL: Final = 64
"""Channels of the grid of stride-32 features."""
FINE: Final = 16
"""Channels of the grid of stride-16 features."""
SURE: Final = 8.0
"""A sharp heat map has about an eighth of its mass in one cell."""


class MobileEncoder(nn.Module):
    """(N, 3, S, S) RGB 0..1 → (N, hidden) through MobileNetV3.

    The pooled stride-32 descriptor is joined with grids of stride-32 and stride-16 features, which keep where things
    are: global pooling alone loses it, and learning geometry without it took several times as many samples.
    """

    def __init__(self, trunk: MobileNetConfig, size: int, hidden: int) -> None:
        super().__init__()
        self.trunk = MobileNetV3(trunk)
        grid = size // 32
        self.local = nn.Sequential(nn.Conv2d(trunk.features, LOCAL, 1, bias=False), nn.BatchNorm2d(LOCAL),
                                   nn.Hardswish(inplace=True))
        self.fine = nn.Sequential(nn.Conv2d(self.trunk.level_features[-2], FINE, 1, bias=False), nn.BatchNorm2d(FINE),
                                  nn.Hardswish(inplace=True))
        features = trunk.features + LOCAL * grid**2 + FINE * (2 * grid) ** 2
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


class PointEncoder(nn.Module):
    """(N, 3, S, S) RGB 0..1 and (N, 1, S, S) what hides the face → (N, features): what lies beneath each landmark.

    The landmark network's trunk and heat maps find the points again. Fine features are read off there, where lids, lips
    and irises are, beside the points' places, how sure they are, the mask on them and the whole's pooled descriptor.
    """

    def __init__(self, trunk: MobileNetConfig, size: int, points: int, maps: int) -> None:
        super().__init__()
        self.size = size
        self.trunk = MobileNetV3(trunk)
        self.maps = PointMaps(self.trunk.level_features[1:], points, maps)
        self.features = points * (maps + 1 + 2 + 1) + trunk.features

    def forward(self, crops: Tensor, mask: Tensor) -> Tensor:
        levels = self.trunk.pyramid((crops - PIXEL_MEAN) * PIXEL_SCALE)
        fine = self.maps.features(levels[1:])
        logits = self.maps.out(fine)
        points = mean_positions(logits, self.size)
        fine = torch.cat([fine, F.avg_pool2d(mask, self.size // fine.shape[-1]).to(fine.dtype)], dim=1)
        beneath = F.grid_sample(fine, (points * (2 / self.size) - 1)[:, :, None].to(fine.dtype), align_corners=False)
        sure = torch.softmax(logits.float().flatten(2), dim=-1).amax(dim=-1)
        return torch.cat([beneath.flatten(1).float(), levels[-1].mean(dim=(2, 3)).float(),
                          (points * (4 / self.size) - 2).flatten(1), sure * SURE], dim=1)


class ResNetEncoder(nn.Module):
    """(N, 3, S, S) RGB 0..1 → (N, features): residual trunk and global mean, as in the papers."""

    def __init__(self, trunk: ResNetConfig) -> None:
        super().__init__()
        self.trunk = ResNet(trunk)

    def forward(self, crops: Tensor) -> Tensor:
        return self.trunk((crops - PIXEL_MEAN) * PIXEL_SCALE).mean(dim=(2, 3))
