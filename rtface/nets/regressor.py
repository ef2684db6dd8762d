"""Coefficient regressor (all four papers, §4 of each): residual trunk → global mean → 239 numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor, nn

from rtface.nets.resnet import ResNet, ResNetConfig
from rtface.types import ALBEDO_SIZE, EXPRESSION_SIZE, IDENTITY_SIZE, ILLUMINATION_SIZE, VECTOR_SIZE

PIXEL_MEAN: Final = 0.45
PIXEL_SCALE: Final = 4.0


@dataclass(frozen=True, slots=True)
class RegressorConfig:
    """``paper`` is ResNet-50 at 224 px; ``compact`` a ResNet-18 of three quarters width."""

    trunk: ResNetConfig = field(default_factory=lambda: ResNetConfig((2, 2, 2, 2), 48))
    size: int = 224

    @classmethod
    def profile(cls, name: str) -> RegressorConfig:
        """The configuration behind ``--profile``."""
        if name == "compact":
            return cls()
        if name == "paper":
            return cls(ResNetConfig((3, 4, 6, 3), 64, bottleneck=True))
        raise ValueError(f"profile: got {name!r}, expected 'compact' or 'paper'")


def output_scale() -> tuple[Tensor, Tensor]:
    """Typical (offset, spread) of the 239 outputs for a 224-px crop, so that the last layer works on unit values."""
    offset, spread = torch.zeros(VECTOR_SIZE), torch.ones(VECTOR_SIZE)
    start = IDENTITY_SIZE
    offset[start:start + EXPRESSION_SIZE] = 0.05
    spread[start:start + EXPRESSION_SIZE] = 0.2
    start += EXPRESSION_SIZE + ALBEDO_SIZE
    offset[start] = 1.0
    spread[start:start + ILLUMINATION_SIZE] = 0.3
    start += ILLUMINATION_SIZE
    offset[start + 3:] = torch.tensor([0.9, 112.0, 112.0])
    spread[start:] = torch.tensor([0.35, 0.6, 0.3, 0.12, 12.0, 12.0])
    return offset, spread


class Regressor(nn.Module):
    """(N, 3, 224, 224) RGB 0..1 → (N, 239) float32 y = (α, β, τ, γ, pitch, yaw, roll, f, t_x, t_y) in crop px."""

    def __init__(self, config: RegressorConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = ResNet(config.trunk)
        self.head = nn.Linear(config.trunk.features, VECTOR_SIZE)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        offset, spread = output_scale()
        self.offset: Tensor
        self.spread: Tensor
        self.register_buffer("offset", offset)
        self.register_buffer("spread", spread)

    def forward(self, crops: Tensor) -> Tensor:
        features = self.trunk((crops - PIXEL_MEAN) * PIXEL_SCALE).mean(dim=(2, 3))
        return self.offset + self.spread * self.head(features).float()
