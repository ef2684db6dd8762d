"""Picture → picture on a small trunk: MobileNetV3 with a sub-pixel decoder and shortcuts between equal strides.

The ``compact`` form of every network that answers per pixel. Depthwise convolutions and 1×1 mixing keep it at a few
milliseconds on one CPU core; sub-pixel convolution (Shi et al., CVPR 2016) is what the consensus paper decodes with.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rtface.nets.mobilenet import InvertedResidual, MobileNetConfig, MobileNetV3

WIDTHS = (64, 40, 24, 16)
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


class MobileUNet(nn.Module):
    """(N, C, S, S) of about −2..2 → (N, K, S, S); S a multiple of 32, C by the trunk's configuration."""

    def __init__(self, trunk: MobileNetConfig, outputs: int, widths: tuple[int, int, int, int] = WIDTHS) -> None:
        super().__init__()
        self.trunk = MobileNetV3(trunk)
        with torch.no_grad():
            features, _ = self.features(torch.zeros(1, trunk.inputs, 64, 64))
        inputs, ups = trunk.features, []
        for skip, width in zip(reversed(features), widths, strict=True):
            ups.append(_Up(inputs, int(skip.shape[1]), width))
            inputs = width
        self.ups = nn.ModuleList(ups)
        self.head = nn.Sequential(nn.Conv2d(inputs, 4 * outputs, 3, 1, 1), nn.PixelShuffle(2))

    def features(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The trunk's last feature maps at strides 2, 4, 8, 16, and the one at stride 32."""
        x = self.trunk.stem(x)
        features = []
        for block in self.trunk.early:
            assert isinstance(block, InvertedResidual)
            if any(isinstance(m, nn.Conv2d) and m.stride != (1, 1) for m in block.body):
                features.append(x)
            x = block(x)
        return [*features, x], self.trunk.late(x)

    def forward(self, x: Tensor) -> Tensor:
        features, x = self.features(x)
        for up, skip in zip(self.ups, reversed(features), strict=True):
            x = up(x, skip)
        return self.head(x).float()
