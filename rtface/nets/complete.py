"""Completion generator N_syn (contour paper, §3.3): fills what is hidden, guided by contours."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from rtface.nets.encoder import PIXEL_MEAN, PIXEL_SCALE
from rtface.nets.generator import DilatedGenerator
from rtface.nets.mobile_unet import MobileUNet
from rtface.nets.mobilenet import MobileNetConfig

INPUTS = 5
"""RGB without the hole, mask, contours of the whole face."""


@dataclass(frozen=True, slots=True)
class CompletionNetConfig:
    """``compact``: MobileNetV3-small at 128 px; ``paper``: the dilated generator with attention at 256 px."""

    trunk: MobileNetConfig | None = field(default_factory=lambda: MobileNetConfig("small", inputs=INPUTS))
    """None: the dilated generator."""
    size: int = 128

    @classmethod
    def profile(cls, name: str) -> CompletionNetConfig:
        """The configuration behind ``--profile``."""
        if name == "compact":
            return cls()
        if name == "paper":
            return cls(None, 256)
        raise ValueError(f"profile: got {name!r}, expected 'compact' or 'paper'")


class CompletionNet(nn.Module):
    """crops (N, 3, S, S) RGB 0..1, mask and contour (N, 1, S, S) 0..1 → (N, 3, S, S) RGB, everywhere.

    What lies under the mask (1 = hidden) is not looked at. The result is not clipped: losses want gradients.
    """

    def __init__(self, config: CompletionNetConfig) -> None:
        super().__init__()
        self.config = config
        self.body = (MobileUNet(config.trunk, 3) if config.trunk is not None
                     else DilatedGenerator(INPUTS, 3, attention=True))

    def forward(self, crops: Tensor, mask: Tensor, contour: Tensor) -> Tensor:
        seen = (crops - PIXEL_MEAN) * PIXEL_SCALE * (1 - mask)
        return PIXEL_MEAN + self.body(torch.cat([seen, mask, contour], dim=1)) / PIXEL_SCALE


class CompletionExport(nn.Module):
    """The engine's view: what was drawn, clipped to 0..1; who calls it keeps the visible pixels."""

    def __init__(self, net: CompletionNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor, mask: Tensor, contour: Tensor) -> Tensor:
        return self.net(crops, mask, contour).clamp(0, 1)
