"""Coefficient regressor (all four papers, §4 of each): face crop, and what was hidden in it → 239 numbers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import torch
from torch import Tensor, nn

from rtface.irises import EYES
from rtface.nets.encoder import PIXEL_MEAN, PointEncoder, ResNetEncoder
from rtface.nets.mobilenet import MobileNetConfig
from rtface.nets.resnet import ResNetConfig
from rtface.types import ALBEDO_SIZE, EXPRESSION_SIZE, IDENTITY_SIZE, ILLUMINATION_SIZE, LANDMARKS, VECTOR_SIZE

HIDDEN: Final = 512
DROPPED: Final = 0.3
"""Share of the features that training hides: what lies beneath one point is known to its neighbours, too."""


@dataclass(frozen=True, slots=True)
class RegressorConfig:
    """``paper`` is ResNet-50 at 224 px; ``compact`` looks beneath the landmarks, by MobileNetV3-small at 224 px."""

    trunk: MobileNetConfig | ResNetConfig = field(default_factory=lambda: MobileNetConfig("small"))
    size: int = 224
    mask: bool = True
    """Whether the network is told which pixels something hides, as a second input; the papers' is not."""
    points: int = LANDMARKS + EYES
    """Points of a MobileNetV3, as the landmark network has them."""
    maps: int = 64
    """Channels of the features that are read off there."""

    @classmethod
    def profile(cls, name: str) -> RegressorConfig:
        """The configuration behind ``--profile``."""
        if name == "compact":
            return cls()
        if name == "paper":
            return cls(ResNetConfig((3, 4, 6, 3), 64, bottleneck=True), 224)
        raise ValueError(f"profile: got {name!r}, expected 'compact' or 'paper'")


def output_scale(size: int) -> tuple[Tensor, Tensor]:
    """Typical (offset, spread) of the 239 outputs for a crop of ``size`` px, so that the last layer has unit values."""
    offset, spread = torch.zeros(VECTOR_SIZE), torch.ones(VECTOR_SIZE)
    start = IDENTITY_SIZE
    offset[start:start + EXPRESSION_SIZE] = 0.05
    spread[start:start + EXPRESSION_SIZE] = 0.2
    start += EXPRESSION_SIZE + ALBEDO_SIZE
    offset[start] = 1.0
    spread[start:start + ILLUMINATION_SIZE] = 0.3
    start += ILLUMINATION_SIZE
    offset[start + 3:] = torch.tensor([0.9 / 224, 0.5, 0.5]) * size
    spread[start:start + 3] = torch.tensor([0.35, 0.6, 0.3])
    spread[start + 3:] = torch.tensor([0.12, 12.0, 12.0]) * (size / 224)
    return offset, spread


class Regressor(nn.Module):
    """(N, 3, S, S) RGB 0..1 → (N, 239) float32 y = (α, β, τ, γ, pitch, yaw, roll, f, t_x, t_y) in crop px.

    With ``config.mask`` also (N, 1, S, S) float32, 1 where something hides the face, whether or not the crop was
    completed there.
    """

    def __init__(self, config: RegressorConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder: nn.Module
        if isinstance(config.trunk, ResNetConfig):
            self.encoder = ResNetEncoder(replace(config.trunk, inputs=3 + config.mask))
            self.hidden: nn.Module = nn.Identity()
            features = config.trunk.features
        else:
            self.encoder = encoder = PointEncoder(config.trunk, config.size, config.points, config.maps)
            self.hidden = nn.Sequential(nn.BatchNorm1d(encoder.features), nn.Dropout(DROPPED),
                                        nn.Linear(encoder.features, HIDDEN), nn.Hardswish())
            features = HIDDEN
        self.head = nn.Linear(features, VECTOR_SIZE)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        offset, spread = output_scale(config.size)
        self.offset: Tensor
        self.spread: Tensor
        self.register_buffer("offset", offset)
        self.register_buffer("spread", spread)

    def describe(self, crops: Tensor, mask: Tensor | None = None) -> Tensor:
        """The encoder's features (N, F) float32; :meth:`answer` goes on from there."""
        if self.config.mask and mask is None:
            raise ValueError("mask: got None, expected (N, 1, S, S), for this network is told what hides the face")
        if mask is None:
            mask = torch.zeros_like(crops[:, :1])
        if isinstance(self.encoder, PointEncoder):
            return self.encoder(crops, mask)
        if self.config.mask:
            crops = torch.cat([crops, mask + PIXEL_MEAN], dim=1)  # 0 is "nothing hides it" behind the normalisation
        return self.encoder(crops)

    def answer(self, features: Tensor) -> Tensor:
        """Features (N, F) → (N, 239) float32."""
        return self.offset + self.spread * self.head(self.hidden(features)).float()

    def forward(self, crops: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.answer(self.describe(crops, mask))
