"""Residual networks (He et al., CVPR 2016): the trunk of the coefficient regressor."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class ResNetConfig:
    """Shape of a residual trunk."""

    blocks: tuple[int, ...] = (2, 2, 2, 2)
    """Residual blocks per stage."""
    width: int = 64
    """Channels of the first stage; each later stage doubles it."""
    bottleneck: bool = False
    """1×1–3×3–1×1 blocks (ResNet-50) instead of two 3×3 (ResNet-18)."""
    inputs: int = 3
    """Channels of the picture."""

    @property
    def features(self) -> int:
        """Channels of the trunk's output."""
        return self.width * 2 ** (len(self.blocks) - 1) * (4 if self.bottleneck else 1)


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution without bias and batch normalisation, "same" padding."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
                         nn.BatchNorm2d(outputs))


class ResidualBlock(nn.Module):
    """y = ReLU(F(x) + shortcut(x)); F is two 3×3 convolutions or a bottleneck with expansion 4."""

    def __init__(self, inputs: int, channels: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        outputs = channels * (4 if bottleneck else 1)
        if bottleneck:
            self.body = nn.Sequential(conv_bn(inputs, channels, 1), nn.ReLU(inplace=True),
                                      conv_bn(channels, channels, 3, stride), nn.ReLU(inplace=True),
                                      conv_bn(channels, outputs, 1))
        else:
            self.body = nn.Sequential(conv_bn(inputs, channels, 3, stride), nn.ReLU(inplace=True),
                                      conv_bn(channels, outputs, 3))
        self.shortcut = (nn.Identity() if stride == 1 and inputs == outputs
                         else conv_bn(inputs, outputs, 1, stride))
        self.activation = nn.ReLU(inplace=True)
        nn.init.zeros_(self.body[-1][1].weight)  # type: ignore[index]  # each block starts as identity

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.body(x) + self.shortcut(x))


class ResNet(nn.Module):
    """Trunk without a classifier: (N, C, S, S) → (N, config.features, S/32, S/32)."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Sequential(conv_bn(config.inputs, config.width, 7, 2), nn.ReLU(inplace=True),
                                  nn.MaxPool2d(3, 2, 1))
        stages: list[nn.Module] = []
        channels = config.width
        for stage, count in enumerate(config.blocks):
            for index in range(count):
                outputs = config.width * 2**stage
                stages.append(ResidualBlock(channels, outputs, 2 if stage and not index else 1, config.bottleneck))
                channels = outputs * (4 if config.bottleneck else 1)
        self.stages = nn.Sequential(*stages)

    def forward(self, x: Tensor) -> Tensor:
        return self.stages(self.stem(x))
