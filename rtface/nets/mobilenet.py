"""MobileNetV3 trunks (Howard et al., ICCV 2019), the backbone that the landmark paper names for N_L."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

# kernel, expanded channels, output channels, squeeze-and-excitation, hard-swish, stride (tables 1 and 2 of the paper)
LARGE: Final = (
    (3, 16, 16, False, False, 1), (3, 64, 24, False, False, 2), (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2), (5, 120, 40, True, False, 1), (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2), (3, 200, 80, False, True, 1), (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1), (3, 480, 112, True, True, 1), (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2), (5, 960, 160, True, True, 1), (5, 960, 160, True, True, 1),
)
SMALL: Final = (
    (3, 16, 16, True, False, 2), (3, 72, 24, False, False, 2), (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2), (5, 240, 40, True, True, 1), (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1), (5, 144, 48, True, True, 1), (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1), (5, 576, 96, True, True, 1),
)


@dataclass(frozen=True, slots=True)
class MobileNetConfig:
    """Which table of the paper, and a channel multiplier."""

    variant: str = "large"
    width: float = 1.0
    inputs: int = 3
    """Channels of the picture."""

    @property
    def features(self) -> int:
        """Channels after the last 1×1 convolution."""
        return scaled(960 if self.variant == "large" else 576, self.width)


def scaled(channels: int, width: float) -> int:
    """Channels times the multiplier, rounded to a multiple of 8 (never below 90 % of the wish)."""
    wish = channels * width
    rounded = max(8, int(wish + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wish else rounded


class SqueezeExcite(nn.Module):
    """Channel attention: global mean → 1/4 bottleneck → hard sigmoid gate."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = scaled(channels // 4, 1.0)
        self.gate = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.ReLU(inplace=True),
                                  nn.Conv2d(inner, channels, 1), nn.Hardsigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(torch.mean(x, dim=(2, 3), keepdim=True))


class InvertedResidual(nn.Module):
    """Expand 1×1 → depthwise → gate → project 1×1, with a shortcut where shapes allow."""

    def __init__(self, inputs: int, kernel: int, expanded: int, outputs: int, gate: bool, swish: bool,
                 stride: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if expanded != inputs:
            layers += [nn.Conv2d(inputs, expanded, 1, bias=False), nn.BatchNorm2d(expanded), _activation(swish)]
        layers += [nn.Conv2d(expanded, expanded, kernel, stride, kernel // 2, groups=expanded, bias=False),
                   nn.BatchNorm2d(expanded)]
        if gate:
            layers.append(SqueezeExcite(expanded))
        layers += [_activation(swish), nn.Conv2d(expanded, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.body = nn.Sequential(*layers)
        self.stride = stride
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.residual else self.body(x)


def _activation(swish: bool) -> nn.Module:
    return nn.Hardswish(inplace=True) if swish else nn.ReLU(inplace=True)


class MobileNetV3(nn.Module):
    """Trunk without a classifier: (N, C, S, S) → stride-16 and stride-32 feature maps."""

    def __init__(self, config: MobileNetConfig) -> None:
        super().__init__()
        if config.variant not in ("large", "small"):
            raise ValueError(f"MobileNetConfig.variant: got {config.variant!r}, expected 'large' or 'small'")
        self.config = config
        table = LARGE if config.variant == "large" else SMALL
        channels = scaled(16, config.width)
        self.stem = nn.Sequential(nn.Conv2d(config.inputs, channels, 3, 2, 1, bias=False), nn.BatchNorm2d(channels),
                                  nn.Hardswish(inplace=True))
        last_stride = max(i for i, row in enumerate(table) if row[5] == 2)
        blocks: list[nn.Module] = []
        levels: list[int] = []
        for kernel, expanded, outputs, gate, swish, stride in table:
            if stride == 2:
                levels.append(channels)
            wide = scaled(outputs, config.width)
            blocks.append(InvertedResidual(channels, kernel, scaled(expanded, config.width), wide, gate, swish,
                                           stride))
            channels = wide
        self.level_features = (*levels, config.features)
        """Channels of the maps that :meth:`pyramid` gives."""
        self.early = nn.Sequential(*blocks[:last_stride])
        self.late = nn.Sequential(*blocks[last_stride:], nn.Conv2d(channels, config.features, 1, bias=False),
                                  nn.BatchNorm2d(config.features), nn.Hardswish(inplace=True))

    def pyramid(self, x: Tensor) -> tuple[Tensor, ...]:
        """Feature maps of strides 2, 4, 8, 16 and 32."""
        levels, x = [], self.stem(x)
        for block in self.early:
            assert isinstance(block, InvertedResidual)
            if block.stride == 2:
                levels.append(x)
            x = block(x)
        return (*levels, x, self.late(x))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.pyramid(x)[-2:]  # type: ignore[return-value]
