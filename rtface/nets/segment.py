"""Segmentation network: crop → background, visible face, something before the face.

The task and classes of the consensus paper (§3): K = 3 logits at the crop's size. ``compact`` trades its encoder of
dense convolutions for MobileNetV3 with a sub-pixel decoder (Shi et al., CVPR 2016, as in the paper), which a CPU can
afford on every frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor, nn

from rtface.nets.encoder import PIXEL_MEAN, PIXEL_SCALE
from rtface.nets.mobilenet import InvertedResidual, MobileNetConfig, MobileNetV3

CLASSES: Final = 3


@dataclass(frozen=True, slots=True)
class SegmentNetConfig:
    """``compact``: MobileNetV3-small at 128 px."""

    trunk: MobileNetConfig = field(default_factory=lambda: MobileNetConfig("small"))
    size: int = 128
    classes: int = CLASSES
    widths: tuple[int, int, int, int] = (64, 40, 24, 16)
    """Channels of the decoder at strides 16, 8, 4, 2."""


class _Up(nn.Module):
    """Double the resolution by sub-pixel convolution, join the encoder's features, mix."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.Conv2d(inputs, 4 * outputs, 1, bias=False), nn.BatchNorm2d(4 * outputs),
                                nn.Hardswish(inplace=True), nn.PixelShuffle(2))
        joined = outputs + skip
        self.mix = nn.Sequential(nn.Conv2d(joined, joined, 3, 1, 1, groups=joined, bias=False), nn.BatchNorm2d(joined),
                                 nn.Hardswish(inplace=True), nn.Conv2d(joined, outputs, 1, bias=False),
                                 nn.BatchNorm2d(outputs), nn.Hardswish(inplace=True))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.mix(torch.cat([self.up(x), skip], dim=1))


class SegmentNet(nn.Module):
    """(N, 3, S, S) RGB 0..1 → (N, K, S, S) logits; S a multiple of 32."""

    def __init__(self, config: SegmentNetConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = MobileNetV3(config.trunk)
        skips = self._skips()
        inputs, ups = config.trunk.features, []
        for skip, width in zip(reversed(skips), config.widths, strict=True):
            ups.append(_Up(inputs, skip, width))
            inputs = width
        self.ups = nn.ModuleList(ups)
        self.head = nn.Sequential(nn.Conv2d(inputs, 4 * config.classes, 3, 1, 1), nn.PixelShuffle(2))

    def _skips(self) -> list[int]:
        """Channels at strides 2, 4, 8, 16, the last feature map of each."""
        with torch.no_grad():
            return [int(f.shape[1]) for f in self._features(torch.zeros(1, 3, 64, 64))[0]]

    def _features(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        x = self.trunk.stem(x)
        features = []
        for block in self.trunk.early:
            assert isinstance(block, InvertedResidual)
            if any(isinstance(m, nn.Conv2d) and m.stride != (1, 1) for m in block.body):
                features.append(x)
            x = block(x)
        return [*features, x], self.trunk.late(x)

    def forward(self, crops: Tensor) -> Tensor:
        features, x = self._features((crops - PIXEL_MEAN) * PIXEL_SCALE)
        for up, skip in zip(self.ups, reversed(features), strict=True):
            x = up(x, skip)
        return self.head(x).float()
